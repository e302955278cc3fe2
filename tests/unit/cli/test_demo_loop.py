"""What does the proof of a full demo say when the two records differ? Each fault is named, none of a patient."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.cli import demo_loop
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind, parse_name, request_name
from pipeline.oqs.records import ReturnedHeader, ReturnedRequest
from pipeline.request_row import RequestDetail
from producers.simulator.entitlements import Entitlement, entitlements
from producers.simulator.run import prepare
from producers.simulator.service import Asked
from producers.simulator.terminal import Folders
from producers.simulator.visits import Visit

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=24)
MONTHS = ["202604"]
_Held = tuple[Any, RequestDetail]


def _asked(one: Entitlement, serial: int) -> Asked:
    insurer, symbol, number, branch = one.insured
    name = parse_name(request_name(one.kind, "01", f"{serial:016d}"))
    assert name
    header = ReturnedHeader(
        arbitrary_file_identifier=f"A{serial}",
        insurer_number=insurer,
        symbol=symbol,
        number=number,
        branch_number=branch,
    )
    request = ReturnedRequest(
        schema_kind="returned_request", header=header, file_category=one.file_category, start=one.month
    )
    return Asked(name, NOW, b"", request, (), {ConsentCategory.MEDICATION: UNTIL})


def _held(one: Asked) -> _Held:
    assert one.request
    row = SimpleNamespace(
        kind=one.name.kind.value,
        state="answered",
        reason=None,
        outcome="delivered",
        category="medication",
        grant_id="g",
        treatment_grant_id=None,
    )
    identifier = one.request.header.arbitrary_file_identifier or ""
    return row, RequestDetail(base_name=one.name.base_name, arbitrary_file_identifier=identifier)


@pytest.fixture
def visits(tmp_path: Path) -> tuple[Visit, ...]:
    folders = Folders(*(tmp_path / name for name in ("face", "res", "req")))
    return prepare(folders, count=27, seed=3, institution_code="9919000011", has_mixed_consents=True).visits


@pytest.fixture
def asked(visits: tuple[Visit, ...]) -> list[Asked]:
    wished = [one for visit in visits if not visit.age for one in entitlements(visit, MONTHS)]
    return [_asked(one, serial) for serial, one in enumerate(wished)]


def _consents(asked: list[Asked], visits: tuple[Visit, ...]) -> list[str]:
    return list(demo_loop.against_consents(asked, visits, MONTHS))


def test_asking_for_all_that_was_consented_to_is_no_fault(asked: list[Asked], visits: tuple[Visit, ...]) -> None:
    assert _consents(asked, visits) == []


def test_what_was_asked_twice_never_or_too_late_is_named(asked: list[Asked], visits: tuple[Visit, ...]) -> None:
    kind = "薬剤情報" if asked[0].name.kind is MessageKind.MEDICATION else "特定健診情報"
    assert _consents([*asked, asked[0]], visits) == [f"{kind}: 1 × was asked twice"]
    assert _consents(asked[1:], visits) == [f"{kind}: 1 × was consented to and never asked"]
    late = replace(asked[0], at=UNTIL)
    assert _consents([late, *asked[1:]], visits) == [f"{kind}: 1 × was asked after its consent had ended"]


def test_what_nobody_consented_to_is_named(asked: list[Asked], visits: tuple[Visit, ...]) -> None:
    strange = _asked(Entitlement(MessageKind.CHECKUP, ("06999999", "1", "404", "00"), "2"), 999)
    assert _consents([*asked, strange], visits) == ["特定健診情報: 1 × was asked without consent"]


def _requests(asked: list[Asked], held: list[_Held]) -> list[str]:
    return list(demo_loop.against_requests(asked, held, {"g": SimpleNamespace(category="medication", until=UNTIL)}))


def test_two_records_that_agree_are_no_fault(asked: list[Asked]) -> None:
    assert _requests(asked, [_held(one) for one in asked]) == []


def _set(**values: Any) -> Callable[[list[_Held]], None]:
    return lambda held: held[0][0].__dict__.update(values)


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (lambda held: held.pop(0), "reached the service, and the store has no record of it"),
        (_set(state="refused"), "was sent and is not answered"),
        (_set(outcome="rejected"), "was answered, and the chart has no answer"),
        (_set(grant_id="another"), "other consents stand behind it at the service"),
        (_set(state="expired", reason="no_consent"), "was not sent for another reason than its limit"),
    ],
)
def test_store_that_tells_otherwise_than_the_service_is_named(
    asked: list[Asked], breaks: Callable[[list[_Held]], None], said: str
) -> None:
    held = [_held(one) for one in asked]
    breaks(held)
    assert any(said in fault for fault in _requests(asked, held))


def test_request_that_the_service_never_saw_is_named(asked: list[Asked]) -> None:
    faults = _requests(asked[1:], [_held(one) for one in asked])
    assert [fault.partition("× ")[2] for fault in faults] == ["is in the store, and the service has no record of it"]
    other = [_held(one) for one in asked]
    other[0] = (other[0][0], other[0][1].model_copy(update={"arbitrary_file_identifier": "B"}))
    assert any("another ArbitraryFileIdentifier" in fault for fault in _requests(asked, other))
