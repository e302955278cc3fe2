"""What is written into a request, given whom it is about?"""

from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from lxml import etree

from consumers.consent import inquiries
from consumers.consent.asking import Wanted
from consumers.consent.composing import compose_download, text_of
from consumers.consent.inquiries import Period, Permission, Person
from consumers.consent.inquiries.booking import request as booked
from consumers.consent.inquiries.history import checkup_request, medication_request
from consumers.consent.inquiries.listing import visit_request
from consumers.consent.inquiries.registration import request_many, request_one
from consumers.consent.inquiries.single import request as asked
from consumers.consent.inquiries.withdrawal import request as withdrawn
from pipeline.errors import PermanentError
from pipeline.oqs.names import MessageKind, parse_name
from pipeline.oqs.requests import (
    BulkEligibilityRequest,
    BulkRegistrationRequest,
    EligibilityRequest,
    MedicationRequest,
    Request,
    read_request,
)
from pipeline.oqs.writer import render
from pipeline.patient_row import PatientRow
from pipeline.persons import patient_hash
from pipeline.request_row import RequestDetail
from tests.support.centre import Centre
from tests.support.consents import NOW

SAMPLES = Path(__file__).parents[2] / "samples" / "req"
CODE = "9919000011"
DAY = date(2026, 5, 12)


def _card(  # noqa: PLR0917 - in the order of a card
    insurer: str, symbol: str | None, number: str, branch: str | None, born: str, own: str = ""
) -> Person:
    return Person(
        patient_id=own or None,
        insurer_number=insurer,
        symbol=symbol,
        number=number,
        branch_number=branch,
        birthdate=born,
    )


# A chart writes width, zeros and days in its own way; a request has one form.
HANAKO = _card("６９９９９９９", "7001", "0001234 ", "０", "1985-04-12", "10234")
TARO = _card("39999990", "", "00776655", "", "１９４１－０２－０３", "00518")
CHILD = _card("00999995", "例示・５６", "3310", None, "20190303", "10777")
JIRO = _card("06999981", "15", "402", "1", "19780909", "10999")
Make = Callable[[str], Request]


def _single(person: Person, *, limit: bool = False, own: str | None = None) -> Make:
    return lambda it: asked(CODE, person, DAY, it, limit_consent=limit, arbitrary_identifier=own)


def _booked(identifier: str) -> Request:
    people = [HANAKO, TARO, JIRO]
    return booked(CODE, people, date(2026, 5, 13), [person.patient_id for person in people], identifier)


def _download(name: str, number: str) -> Make:
    kind = MessageKind(name)
    upload = RequestDetail(base_name="x", arbitrary_file_identifier="y")
    return lambda _: read_request(kind, compose_download(kind, CODE, number, upload, "0f" * 32).content, "02")


_SAME = "202605120700123456789012345678901234"
FROM_DATA: dict[str, Make] = {
    "OQSmuhvq01req_202605120006": lambda it: visit_request(CODE, date(2026, 5, 1), DAY, it),
    "OQSmuhvq02req_202605120007": _download("OQSmuhvq", f"{_SAME}99"),
    "OQSmuimm01req_202605120004": lambda it: request_many(CODE, [HANAKO, TARO, CHILD], it),
    "OQSmuimm02req_202605120005": _download("OQSmuimm", f"{_SAME}88"),
    "OQSmuquc01req_202605120001": _booked,
    "OQSmuquc02req_202605120002": _download("OQSmuquc", f"{_SAME}56"),
    "OQSmuquc02req_202605120003": _download("OQSmuquc", f"{_SAME}57"),
    "OQSsihvd01req_202605120008": lambda it: withdrawn(
        CODE, _card("39999990", None, "00881122", None, "19350815"), "2", it
    ),
    "OQSsiimm01req_202605120021": lambda it: request_one(CODE, HANAKO, it),
    "OQSsiimm01req_202605120022": lambda it: request_one(CODE, CHILD, it),
    "OQSsiquc01req_202605120011": _single(HANAKO, limit=True, own="10234"),
    "OQSsiquc01req_202605120012": _single(CHILD),
    "OQSsiquc01req_202605120013": _single(_card("06999999", "7001", "9999999", "01", "19900101")),
    "OQSsiquc01req_202605120014": _single(JIRO),
    "OQSsiquc01req_202605120015": _single(_card("999995", "例示・９０", "17", "02", "19601224")),
    "OQSsiquc01req_202605120017": _single(_card("06999999", "7001", "1", "01", "20010230")),
    "OQSsiquc01req_202605120019": _single(_card("12999991", None, "0012345", None, "19660606")),
    "TKKsiquc01req_202605120032": lambda it: checkup_request(CODE, HANAKO, it),
    "YZKsiquc01req_202605120031": lambda it: medication_request(
        CODE, HANAKO, Period(date(2026, 2, 1)), it, treatments=True, prescriptions=True
    ),
}


def _leaves(content: bytes) -> list[tuple[str, str | None]]:
    root = etree.fromstring(content)
    tree = root.getroottree()
    return [(tree.getpath(node), node.text) for node in root.iter() if not len(node)]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_every_sample_is_made_from_the_data_of_a_chart(path: Path) -> None:
    content = path.read_bytes()
    identifier = etree.fromstring(content).findtext("MessageHeader/ArbitraryFileIdentifier") or ""
    request = FROM_DATA[path.stem](identifier)
    assert _leaves(render(request)) == _leaves(content)
    assert path.name.startswith(f"{request.kind}{request.phase}")


def _read(wanted: Wanted) -> Request:
    return read_request(MessageKind(wanted.kind), wanted.file.content)


def _crowd(count: int) -> list[Person]:
    return [_card("06999999", "1", str(number), "00", "19850412", f"p{number}") for number in range(count)]


def test_bookings_go_in_files_of_at_most_three_hundred(centre: Centre) -> None:
    made = inquiries.booking(centre.settings.clinics[0], centre.keyring, _crowd(601), "s1", NOW)
    sizes = []
    for wanted in made:
        request = _read(wanted)
        assert isinstance(request, BulkEligibilityRequest)
        assert request.header.confirmed_on == "20260513"
        sizes.append(len(request.searches))
    assert sizes == [300, 300, 1]
    assert len({wanted.file.base_name for wanted in made}) == 3


def test_registrations_go_in_files_of_at_most_five_thousand(centre: Centre) -> None:
    made = inquiries.registration(centre.settings.clinics[0], centre.keyring, _crowd(5001), "s1", NOW)
    requests = [_read(wanted) for wanted in made]
    assert all(isinstance(request, BulkRegistrationRequest) for request in requests)
    assert [len(request.registrations) for request in requests] == [5000, 1]  # type: ignore[union-attr]


def test_one_person_is_registered_singly_under_the_key_that_is_given(centre: Centre) -> None:
    person = HANAKO.model_copy(update={"reference_number": "K-1"})
    (wanted,) = inquiries.registration(centre.settings.clinics[0], centre.keyring, [person], "s1", NOW)
    assert (wanted.kind, wanted.file.reference_number, wanted.file.patient_id) == ("OQSsiimm", "K-1", "10234")
    (bulk,) = inquiries.registration(centre.settings.clinics[0], centre.keyring, [person], "s1", NOW, bulk=True)
    assert bulk.kind == "OQSmuimm"


def test_a_booking_tells_what_the_chart_holds_of_a_limit_certificate(centre: Centre) -> None:
    row = PatientRow(
        patient_id="1", insurer_number="06999999", number="2", birthdate="1950-01-01", limit_class="1", limit_flag="A03"
    )
    (wanted,) = inquiries.booking(centre.settings.clinics[0], centre.keyring, [Person.of_row(row)], "s1", NOW)
    request = _read(wanted)
    assert isinstance(request, BulkEligibilityRequest)
    limit = request.searches[0].limit_on_file
    assert limit is not None
    assert (limit.classification, limit.flag) == ("01", "A03")


@pytest.mark.parametrize(("care", "kind"), [(None, "OQSsiquc"), ("2", "OQSsihvq"), ("3", "OQSsionq")])
def test_a_single_inquiry_asks_for_today_in_japan_and_takes_the_name_of_its_care(
    centre: Centre, care: inquiries.Care | None, kind: str
) -> None:
    midnight = NOW.replace(hour=15)
    (wanted,) = inquiries.single(centre.settings.clinics[0], centre.keyring, [HANAKO], "s1", midnight, care=care)
    request = _read(wanted)
    assert isinstance(request, EligibilityRequest)
    assert (wanted.kind, request.header.confirmed_on) == (kind, "20260513")
    assert parse_name(f"{wanted.file.base_name}.xml") is not None


def test_a_request_carries_its_person_by_keyed_hash_and_its_name_says_nothing(centre: Centre) -> None:
    person = HANAKO.model_copy(update={"kana": "ﾐﾎﾝ ﾊﾅｺ"})
    (wanted,) = inquiries.single(centre.settings.clinics[0], centre.keyring, [person], "s1", NOW)
    identity = centre.keyring.identity("c1")
    assert wanted.patient_hash == patient_hash(identity, "10234")
    assert wanted.person_hash == person.hashed(centre.keyring, "c1") is not None
    assert "10234" not in wanted.file.base_name + wanted.file.arbitrary_file_identifier
    assert "0001234" not in repr(wanted)
    assert wanted.file.arbitrary_file_identifier.encode() in wanted.file.content


@pytest.mark.parametrize(
    ("pdf", "treatments", "category"), [(True, False, "1"), (False, False, "2"), (True, True, "3"), (False, True, "4")]
)
def test_medication_is_asked_under_its_grant_by_form_and_content(
    centre: Centre, *, pdf: bool, treatments: bool, category: str
) -> None:
    (wanted,) = inquiries.medication(
        centre.settings.clinics[0],
        centre.keyring,
        HANAKO,
        "s1",
        NOW,
        permission=Permission("medication", "g1", NOW, "2"),
        period=Period(date(2026, 3, 1), date(2026, 3, 31)),
        pdf=pdf,
        treatments=treatments,
    )
    request = _read(wanted)
    assert isinstance(request, MedicationRequest)
    assert (request.start, request.end, request.file_category, request.treatment_flag) == (
        *("202603", "202603"),
        category,
        "2",
    )
    assert (wanted.category, wanted.grant_id, wanted.window_until) == ("medication", "g1", NOW)
    assert wanted.period == (None if pdf else "202603")


def test_a_value_the_service_would_refuse_is_named_without_being_shown(centre: Centre) -> None:
    with pytest.raises(ValueError, match="birthdate") as caught:
        inquiries.single(centre.settings.clinics[0], centre.keyring, [_card("1", None, "2", None, "1985")], "s1", NOW)
    assert "1985" not in str(caught.value)


def test_a_terminal_of_another_clinic_is_refused(centre: Centre) -> None:
    with pytest.raises(PermanentError, match="unknown_terminal"):
        inquiries.single(centre.settings.clinics[0], centre.keyring, [HANAKO], "s1", NOW, terminal="t9")


def test_equal_causes_get_equal_names_that_no_other_program_mistakes() -> None:
    texts = [text_of(sha256(bytes([number])).hexdigest()) for number in range(256)]
    assert len(set(texts)) == 256
    assert text_of("ab" * 32) == text_of("ab" * 32)
    assert all(len(text) == 20 and "req" not in text and "res" not in text for text in texts)
