"""What does a result, or an answer of the service, say of a reference number (照会番号)?

Pure. A number is registered for an insurance, comes back with later results, and is then verified; another number
that comes back is wrong, and only a person registers over it (oqs-interface section 5.5). Results are judged in the
order of the service's own time, so that no order of arrival and no repetition ends otherwise.
"""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum

from pipeline.oqs.times import JST


class ReferenceState(StrEnum):
    WANTED = "wanted"
    ASKED = "asked"
    REGISTERED = "registered"
    """The service took it; no result has shown it yet."""
    VERIFIED = "verified"
    WRONG = "wrong"
    """A result carried another number, or one of another chart."""
    REFUSED = "refused"


class Reason(StrEnum):
    OTHER_NUMBER = "other_number"
    OTHER_PATIENT = "other_patient"
    """The insurance is another chart's already: perhaps one person with two charts (二重カルテ)."""
    NOT_RETURNED = "not_returned"
    """A result after the registration carried no number."""
    NUMBER_NOT_ALLOWED = "number_not_allowed"
    """The chart number is no reference number: at most 50 half-width characters, no blank."""
    BRANCH_NUMBER_MISSING = "branch_number_missing"
    CARD_NOT_ALLOWED = "card_not_allowed"
    """Insurer, symbol or number have no form that a request may have."""
    NO_ANSWER = "no_answer"
    NOT_ANSWERED = "not_answered"
    """The answer of a bulk registration did not speak of it."""
    SERVICE_REFUSED = "service_refused"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one certain result of a patient says. `code`: the institution code of its day."""

    at: datetime
    code: str
    own: str = field(repr=False)
    """The number we would register."""
    carried: str | None = field(repr=False)
    is_conflict: bool = False
    may_register: bool = True
    """The insurance is in force, and nothing about whose it is was in doubt."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is known so far."""

    state: ReferenceState
    seen_at: datetime | None = None
    registered_at: datetime | None = None
    is_by_hand: bool = False
    """A person wanted it, perhaps over another number."""


@dataclass(frozen=True, slots=True)
class Judgement:
    state: ReferenceState
    reason: Reason | None = None


_UNDER_WAY = (ReferenceState.WANTED, ReferenceState.ASKED)


def judge(seen: Seen, held: Held | None, code: str, *, automatic: bool) -> Judgement | None:
    """Say where a number stands after a result; none when the result changes nothing.

    `code`: the institution code of today; what a result under an older one says is over. `automatic`: missing numbers
    are registered without being asked for.
    """
    if seen.code != code or (held is not None and _is_stale(seen, held)):
        return None
    if seen.is_conflict or (seen.carried and seen.carried != seen.own):
        # While a registration is under way the old number may still come back. One that waits only because a number
        # was missing is none: meanwhile somebody else has registered one, and only a person registers over it.
        is_under_way = held is not None and held.state in _UNDER_WAY
        if held is not None and held.state is ReferenceState.WANTED and not held.is_by_hand:
            is_under_way = False
        return None if is_under_way else Judgement(ReferenceState.WRONG, Reason.OTHER_NUMBER)
    if seen.carried:
        return Judgement(ReferenceState.VERIFIED)
    return _without_number(held, may_register=automatic and seen.may_register)


def _is_stale(seen: Seen, held: Held) -> bool:
    is_older = held.seen_at is not None and seen.at <= held.seen_at
    # Before the registration there was another truth, whatever it was.
    return is_older or (held.registered_at is not None and seen.at < held.registered_at)


def _without_number(held: Held | None, *, may_register: bool) -> Judgement | None:
    wanted = Judgement(ReferenceState.WANTED) if may_register else None
    lost = Judgement(ReferenceState.REGISTERED, Reason.NOT_RETURNED)
    match held.state if held else None:
        case None | ReferenceState.WRONG:
            return wanted
        case ReferenceState.VERIFIED:
            return wanted or lost
        case ReferenceState.REGISTERED:
            # Not again by itself: a service that forgets what it took would be asked at every visit.
            return lost
        case _:
            # Under way, or refused: a refusal is asked again only by a person.
            return None


def next_time(at: time | None, now: datetime) -> datetime | None:
    """Say when that time of day comes next in Japan; none when there is no need to wait."""
    if at is None:
        return None
    local = now.astimezone(JST)
    today = local.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return (today if today >= local else today + timedelta(days=1)).astimezone(now.tzinfo)
