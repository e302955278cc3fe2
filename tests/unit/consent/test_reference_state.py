"""What a result says of a reference number (照会番号), whatever came before."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from consumers.consent.references.rows import ReferenceDetail, entry_of, insurance_hash
from consumers.consent.references.state import Held, Reason, ReferenceState, Seen, judge, next_time
from pipeline.oqs.requests import RegistrationEntry
from pipeline.sealing import IdentityKey

AT = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CODE = "9919000011"
S = ReferenceState
DETAIL = ReferenceDetail(
    patient_id="10234", number="10234", insurer_number="06999999", symbol="7", card_number="12", branch_number="1"
)


def seen(carried: str | None = None, **changes: object) -> Seen:
    return replace(Seen(at=AT, code=CODE, own="10234", carried=carried), **changes)  # type: ignore[arg-type]


def state(what: Seen, held: Held | None = None, *, automatic: bool = True) -> ReferenceState | None:
    judged = judge(what, held, CODE, automatic=automatic)
    return judged.state if judged else None


def test_a_missing_number_is_wanted_only_where_that_is_configured() -> None:
    assert state(seen()) is S.WANTED
    assert state(seen(), automatic=False) is None


def test_nothing_is_registered_for_an_insurance_that_is_not_in_force() -> None:
    assert state(seen(may_register=False)) is None


def test_the_number_that_comes_back_is_verified() -> None:
    assert state(seen("10234"), Held(S.REGISTERED, AT - HOUR, AT - HOUR)) is S.VERIFIED
    assert state(seen("10234")) is S.VERIFIED


@pytest.mark.parametrize("held", [None, Held(S.REGISTERED), Held(S.VERIFIED), Held(S.REFUSED)])
def test_another_number_is_wrong_and_never_registered_over(held: Held | None) -> None:
    assert state(seen("777"), held) is S.WRONG
    assert state(seen("10234", is_conflict=True), held) is S.WRONG


def test_the_old_number_may_still_come_back_while_a_registration_is_under_way() -> None:
    assert state(seen("777"), Held(S.ASKED, AT - HOUR)) is None


def test_a_number_that_waits_by_itself_is_not_registered_over_one_that_came_back_meanwhile() -> None:
    assert state(seen("777"), Held(S.WANTED, AT - HOUR)) is S.WRONG
    assert state(seen("777"), Held(S.WANTED, AT - HOUR, is_by_hand=True)) is None


def test_an_older_result_changes_nothing() -> None:
    assert state(seen("777"), Held(S.VERIFIED, AT)) is None
    assert state(seen("777"), Held(S.VERIFIED, AT + HOUR)) is None


def test_a_result_from_before_the_registration_proves_nothing() -> None:
    held = Held(S.REGISTERED, AT - HOUR, AT + HOUR)
    assert state(seen(), held) is None
    assert state(seen("777"), held) is None


def test_a_number_that_does_not_come_back_is_not_registered_again_and_again() -> None:
    judged = judge(seen(), Held(S.REGISTERED, AT - HOUR, AT - HOUR), CODE, automatic=True)
    assert judged is not None
    assert (judged.state, judged.reason) == (S.REGISTERED, Reason.NOT_RETURNED)


def test_a_verified_number_that_is_gone_is_registered_again() -> None:
    assert state(seen(), Held(S.VERIFIED, AT - HOUR)) is S.WANTED
    assert state(seen(), Held(S.VERIFIED, AT - HOUR), automatic=False) is S.REGISTERED


def test_a_refusal_is_asked_again_only_by_a_person() -> None:
    assert state(seen(), Held(S.REFUSED, AT - HOUR)) is None


def test_a_result_under_an_older_institution_code_proves_nothing() -> None:
    assert state(seen("10234", code="9919000099")) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"branch_number": ""}, Reason.BRANCH_NUMBER_MISSING),
        ({"number": "カルテ1"}, Reason.NUMBER_NOT_ALLOWED),
        ({"number": "1" * 51}, Reason.NUMBER_NOT_ALLOWED),
        ({"card_number": ""}, Reason.CARD_NOT_ALLOWED),
    ],
)
def test_what_the_service_would_refuse_is_not_asked(changes: dict[str, str], reason: Reason) -> None:
    assert entry_of(DETAIL.model_copy(update=changes)) is reason


def test_the_late_elderly_need_no_branch_number_and_six_digits_are_padded_with_blanks() -> None:
    elderly = entry_of(DETAIL.model_copy(update={"insurer_number": "39999990", "branch_number": ""}))
    assert isinstance(elderly, RegistrationEntry)
    municipal = entry_of(DETAIL.model_copy(update={"insurer_number": "138057"}))
    assert isinstance(municipal, RegistrationEntry)
    assert (municipal.insurer_number, municipal.branch_number) == ("  138057", "01")


def test_one_insurance_is_one_however_it_is_padded() -> None:
    identity = IdentityKey(b"k" * 32)
    one = insurance_hash(identity, "  138057", "７", "0012", "1")
    assert one == insurance_hash(identity, "00138057", "7", "12", "01")
    assert one != insurance_hash(identity, "00138057", "7", "12", "02")


def test_a_time_of_day_is_one_in_japan() -> None:
    assert next_time(None, AT) is None
    assert next_time(time(18), AT) == datetime(2026, 5, 12, 9, 0, tzinfo=UTC)
    assert next_time(time(9), AT) == datetime(2026, 5, 13, 0, 0, tzinfo=UTC)
