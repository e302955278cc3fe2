import contextlib
import random
import string
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from pipeline.oqs.names import FileName, MessageKind, parse_name, request_name, response_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import parse_record_json, record_json
from pipeline.oqs.rejection import RejectedError
from pipeline.oqs.requests import (
    CURRENT_MONTH,
    BookingQuery,
    BulkEligibilityRequest,
    DatedHeader,
    EligibilityQuery,
    EligibilityRequest,
    Header,
    HistoryHeader,
    MedicationRequest,
    RegistrationEntry,
    RegistrationRequest,
    Request,
    read_request,
)
from pipeline.oqs.times import format_instant, parse_instant, parse_until
from pipeline.oqs.whole import is_complete
from pipeline.oqs.writer import render

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*/*.xml"))
CONTENTS = {path.name: path.read_bytes() for path in SAMPLES}

digits = st.text(string.digits, min_size=8, max_size=8)
insurer_numbers = st.one_of(digits, st.text(string.digits, min_size=6, max_size=6))
branch_numbers = st.none() | st.text(string.digits, min_size=2, max_size=2)
identifiers = st.text(string.ascii_letters + string.digits + string.punctuation, min_size=1, max_size=50)
card_texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), min_size=1, max_size=80
).filter(lambda text: not text.isspace())
codes = st.text(string.digits, min_size=10, max_size=10)
dated = st.builds(DatedHeader, confirmed_on=digits, institution_code=codes, arbitrary_file_identifier=identifiers)
person = {"insurer_number": insurer_numbers, "symbol": st.none() | card_texts, "number": card_texts}

requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(
        EligibilityRequest,
        header=dated,
        search=st.builds(
            EligibilityQuery,
            **person,
            branch_number=branch_numbers,
            birthdate=digits,
            limit_consent_flag=st.sampled_from("01"),
            arbitrary_identifier=st.none() | identifiers,
            prescription_issue=st.none() | st.sampled_from("12"),
            limit_display=st.none(),
            specific_disease_display=st.none(),
            histories=st.just(()),
            treatment_flag=st.none() | st.sampled_from("123"),
        ),
    ),
    st.builds(
        BulkEligibilityRequest,
        header=dated,
        searches=st.lists(
            st.builds(
                BookingQuery,
                **person,
                branch_number=branch_numbers,
                birthdate=digits,
                arbitrary_identifier=st.none() | identifiers,
            ),
            min_size=1,
            max_size=4,
        ).map(tuple),
    ),
    st.builds(
        RegistrationRequest,
        header=st.builds(Header, institution_code=codes, arbitrary_file_identifier=st.none() | identifiers),
        registration=st.builds(RegistrationEntry, reference_number=identifiers, **person, branch_number=branch_numbers),
    ),
    st.builds(
        MedicationRequest,
        header=st.builds(HistoryHeader, institution_code=codes, **person, branch_number=branch_numbers),
        start=st.sampled_from(["202109", "202602"]),
        end=st.just(CURRENT_MONTH),
        file_category=st.sampled_from("1234"),
    ),
)


def _name(text: str) -> FileName:
    name = parse_name(text)
    assert name is not None
    return name


@given(requests)
def test_reading_what_was_written_gives_the_same_request(request: Request) -> None:
    assert read_request(request.kind, render(request), request.phase) == request


@given(requests)
def test_a_request_that_comes_back_is_read_with_all_its_values(request: Request) -> None:
    name = _name(request_name(request.kind, request.phase, "202605120001"))
    returned = parse(name, render(request))
    assert getattr(returned, "unknown") == ()  # noqa: B009
    assert returned.header.model_dump(exclude_none=True) == request.header.model_dump(exclude_none=True)


def _shuffled(content: bytes, seed: int) -> bytes:
    """Move elements about; those of one name keep their order among themselves, for that is the order of a list."""
    text = content.decode("cp932" if b"Shift_JIS" in content else "utf-8").partition("?>")[2]
    root = etree.fromstring(text)
    chance = random.Random(seed)
    for element in list(root.iter()):
        tags = [child.tag for child in element]
        queues = {tag: [child for child in element if child.tag == tag] for tag in tags}
        chance.shuffle(tags)
        element[:] = [queues[tag].pop(0) for tag in tags]
    return etree.tostring(root, encoding="utf-8")


@given(st.sampled_from(sorted(CONTENTS)), st.integers(0, 10_000))
def test_the_order_of_elements_means_nothing(name: str, seed: int) -> None:
    content = CONTENTS[name]
    assert parse(_name(name), _shuffled(content, seed)) == parse(_name(name), content)


@given(st.sampled_from(sorted(CONTENTS)), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused_and_never_half_read(name: str, part: float) -> None:
    content = CONTENTS[name].rstrip()
    cut = content[: int(len(content) * part)]
    assert not is_complete(_name(name), cut) or not cut.strip()
    with contextlib.suppress(RejectedError):
        record = parse(_name(name), cut)
        assert getattr(record, "unreadable") is not None  # noqa: B009 - only a returned request may be unreadable


names = st.sampled_from(
    [
        "OQSsiquc01res_face_20260512091533.xml",
        "OQSsiquc01res_1.xml",
        "OQSsiquc01res_1.zip",
        "OQSmuquc02res_1.xml",
        "OQSsiquc01req_1.xml",
        "OQSsiquc01req_1.err",
        "YZKsiquc01res_1.pdf",
        "YZKsiquc01res_1.xml",
        "TKKsiquc01res_1.zip",
    ]
)


@given(names, st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(name: str, content: bytes) -> None:
    is_complete(_name(name), content)
    with contextlib.suppress(RejectedError):
        parse(_name(name), content)


@given(st.sampled_from(sorted(CONTENTS)), st.data())
def test_no_damage_to_a_real_file_raises_anything_but_a_refusal(name: str, data: st.DataObject) -> None:
    content = bytearray(CONTENTS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RejectedError):
        record = parse(_name(name), bytes(content))
        assert parse_record_json(record_json(record)) == record


@given(st.text(max_size=60))
def test_no_name_raises(name: str) -> None:
    found = parse_name(name)
    assert found is None or name.lower().startswith(("oqs", "yzk", "tkk"))


free_parts = st.text(string.ascii_letters + string.digits, min_size=12, max_size=20).filter(
    lambda text: "req" not in text.lower() and "res" not in text.lower()
)


@given(st.sampled_from([kind for kind in MessageKind if kind is not MessageKind.FACE]), free_parts)
def test_a_request_and_its_answer_share_one_correlation(kind: MessageKind, free_part: str) -> None:
    asked = request_name(kind, "01", free_part)
    request, answer = _name(asked), _name(response_name(asked))
    assert request.correlation == answer.correlation == request.base_name


@given(st.datetimes(datetime(1900, 1, 1), datetime(9998, 1, 1)))  # noqa: DTZ001 - Hypothesis wants bounds without zone
def test_an_instant_reads_back_the_same(at: datetime) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    assert parse_instant(format_instant(at)) == at
    assert parse_until(format_instant(at)) == at


@given(st.text(max_size=20))
@settings(max_examples=200)
def test_no_text_breaks_the_clock(raw: str) -> None:
    parse_instant(raw)
    parse_until(raw)
