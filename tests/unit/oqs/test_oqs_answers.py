from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pipeline.oqs.answers import (
    Answer,
    Layer,
    answer_of,
    arbitrary_file_identifier,
    institution_code,
    layer_of,
    people,
    processed_at,
    reception_number,
    registration_answers,
    results,
)
from pipeline.oqs.eligibility import Header
from pipeline.oqs.records import (
    BulkRegistrationRecord,
    EligibilityRecord,
    PdfDocument,
    Record,
    RegistrationRecord,
)

RecordOf = Callable[[str], Record]

ANSWERS = [
    ("OQSsiquc01req_202605120018.xml", Layer.RETURNED, None),
    ("OQSsiquc01res_202605120016.xml", Layer.MESSAGE_ERROR, "SAMPLE001"),
    ("YZKsiquc01res_202605120033.xml", Layer.MESSAGE_ERROR, "SAMPLE004"),
    ("OQSmuquc02res_202605120003.xml", Layer.STILL_PROCESSING, None),
    ("OQSsiquc01res_202605120017.xml", Layer.PERSON_ERROR, "SAMPLE002"),
    ("OQSsiimm01res_202605120022.xml", Layer.PERSON_ERROR, "SAMPLE003"),
    ("OQSsiquc01res_202605120012.xml", Layer.NEGATIVE_VALIDITY, None),
    ("OQSsiquc01res_202605120013.xml", Layer.NEGATIVE_VALIDITY, None),
    ("OQSsiquc01res_202605120014.xml", Layer.NEGATIVE_VALIDITY, None),
    ("OQSsiquc01res_202605120015.xml", Layer.NEGATIVE_VALIDITY, None),
    ("OQSsiquc01res_202605120011.xml", Layer.OK, None),
    ("OQSmuquc01res_202605120001.xml", Layer.OK, None),
    ("OQSmuquc02res_202605120002.xml", Layer.OK, None),
    ("OQSmuimm02res_202605120005.xml", Layer.OK, None),
    ("YZKsiquc01res_202605120031.xml", Layer.OK, None),
    ("TKKsiquc01res_202605120032.xml", Layer.OK, None),
]


@pytest.mark.parametrize(("ending", "layer", "code"), ANSWERS)
def test_the_answer_is_found_at_its_layer(ending: str, layer: Layer, code: str | None, record_of: RecordOf) -> None:
    answer = answer_of(record_of(ending))
    assert (answer.layer, answer.code) == (layer, code)
    assert (answer.message is None) == (code is None)


def _eligibility(
    *, segment: str | None = "1", status: str | None = "1", validity: str | None = "1"
) -> EligibilityRecord:
    return EligibilityRecord(
        schema_kind="eligibility", header=Header(segment=segment), status=status, validity=validity
    )


LAYERS = [
    ({}, Layer.OK),
    ({"segment": None}, Layer.OK),
    ({"segment": "9", "status": "2"}, Layer.MESSAGE_ERROR),
    ({"segment": "3"}, Layer.MESSAGE_ERROR),
    ({"segment": "2"}, Layer.STILL_PROCESSING),
    ({"status": "2", "validity": "4"}, Layer.PERSON_ERROR),
    ({"status": "7"}, Layer.PERSON_ERROR),
    ({"validity": "6"}, Layer.OK),
    ({"validity": "2"}, Layer.NEGATIVE_VALIDITY),
    ({"validity": None}, Layer.NEGATIVE_VALIDITY),
    ({"validity": "8"}, Layer.NEGATIVE_VALIDITY),
    ({"segment": "1 ", "status": " 1"}, Layer.OK),
]


@pytest.mark.parametrize(("told", "layer"), LAYERS, ids=range(len(LAYERS)))
def test_layers_are_asked_in_order_and_the_unknown_is_never_good(told: dict[str, str], layer: Layer) -> None:
    assert layer_of(_eligibility(**told)) is layer


def test_a_note_beside_a_return_gives_its_text(record_of: RecordOf) -> None:
    answer = answer_of(record_of("OQSsiquc01req_202605120018.err"))
    assert answer.layer is Layer.RETURNED
    assert (answer.message or "").startswith("（見本）")


def test_every_person_of_a_bulk_answer_has_an_answer_of_their_own(record_of: RecordOf) -> None:
    told = people(record_of("OQSmuquc02res_202605120002.xml"))
    assert [(person.unit, person.answer.layer, person.validity) for person in told] == [
        (0, Layer.OK, "1"),
        (1, Layer.NEGATIVE_VALIDITY, "3"),
        (2, Layer.PERSON_ERROR, None),
    ]
    assert told[0].reference_numbers == ("10234",)
    assert told[2].answer.code == "SAMPLE005"
    assert told[2].search is not None
    assert told[2].search.number == "00776655"


def test_results_are_flat_and_keep_persons_without_one(record_of: RecordOf) -> None:
    bulk = results(record_of("OQSmuquc02res_202605120002.xml"))
    assert [entry.result and entry.result.branch_number for entry in bulk] == ["00", "01", None]
    twins = results(record_of("OQSsiquc01res_202605120012.xml"))
    assert [entry.result and entry.result.branch_number for entry in twins] == ["03", "04"]
    assert {entry.person.unit for entry in twins} == {None}
    assert results(record_of("OQSmuquc01res_202605120001.xml")) == ()


@pytest.mark.parametrize("ending", ["YZKsiquc01res_202605120031.xml", "TKKsiquc01res_202605120032.xml"])
def test_a_history_names_its_person_like_an_eligibility_result(ending: str, record_of: RecordOf) -> None:
    (entry,) = results(record_of(ending))
    assert entry.result is not None
    assert (entry.result.insurer_number, entry.result.number, entry.result.branch_number) == (
        "06999999",
        "0001234",
        "00",
    )
    assert (entry.result.name, entry.result.birthdate, entry.result.sex1) == ("見本　花子", "19850412", "2")
    assert entry.person.reference_numbers == ("10234",)


def test_a_refused_history_still_names_whom_it_was_asked_for(record_of: RecordOf) -> None:
    (entry,) = results(record_of("YZKsiquc01res_202605120033.xml"))
    assert entry.result is None
    assert entry.person.search is not None
    assert entry.person.search.number == "0001234"


def test_registrations_are_answered_one_by_one(record_of: RecordOf) -> None:
    bulk = record_of("OQSmuimm02res_202605120005.xml")
    single = record_of("OQSsiimm01res_202605120021.xml")
    assert isinstance(bulk, BulkRegistrationRecord)
    assert isinstance(single, RegistrationRecord)
    assert [(entry.reference_number, answer.layer) for entry, answer in registration_answers(bulk)] == [
        ("10234", Layer.OK),
        ("00518", Layer.OK),
        ("10777", Layer.PERSON_ERROR),
    ]
    assert [answer.layer for _, answer in registration_answers(single)] == [Layer.OK]


@pytest.mark.parametrize(
    ("ending", "identifier"),
    [
        ("_20260512091533.xml", "Qx7LmW2aNjMCR0s="),
        ("YZKsiquc01res_202605120031.xml", "0000010234_8c0de6b2-7e0c-4d0b-9a50-0d1b8c3f4a11"),
        ("OQSsiquc01req_202605120018.xml", "0000011004_0018"),
    ],
)
def test_institution_and_identifier_are_found_in_every_frame(ending: str, identifier: str, record_of: RecordOf) -> None:
    record = record_of(ending)
    assert institution_code(record) == "9919000011"
    assert arbitrary_file_identifier(record) == identifier


def test_the_instant_of_processing_is_utc(record_of: RecordOf) -> None:
    assert processed_at(record_of("_20260512091533.xml")) == datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
    assert processed_at(PdfDocument(schema_kind="pdf", size=1)) is None


def test_the_reception_number_is_found_in_body_or_header(record_of: RecordOf) -> None:
    first, second = record_of("OQSmuquc01res_202605120001.xml"), record_of("OQSmuquc02res_202605120002.xml")
    assert reception_number(first) == reception_number(second) == "20260512070012345678901234567890123456"


def test_no_repr_shows_what_the_service_said(record_of: RecordOf) -> None:
    assert repr(Answer(Layer.OK, "code", "secret")) == "Answer(layer=<Layer.OK: 'ok'>)"
    assert "0001234" not in repr(results(record_of("OQSmuquc02res_202605120002.xml")))
