"""Where does a request of ours stand, and what may happen to it next?

wanted → placed → answered | refused | timed_out | expired | withdrawn. Reports overtake one another, so a later truth
may correct an end that was only assumed: an answer counts although the time-out came first, and what the terminal
placed was placed although the window had closed here meanwhile. What the service said is never undone by a report of
the terminal.
"""

from enum import StrEnum
from typing import Final


class RequestState(StrEnum):
    WANTED = "wanted"
    PLACED = "placed"
    ANSWERED = "answered"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Happening(StrEnum):
    """What can befall a request."""

    PLACED = "placed"
    NOT_PLACED = "not_placed"
    """The terminal would not place it."""
    ANSWERED = "answered"
    SERVICE_REFUSED = "service_refused"
    FOREIGN = "foreign"
    """The answer told of another person."""
    STILL_PROCESSING = "still_processing"
    """A download came before its result was ready (処理中); the next one is another request."""
    POSTPONED = "postponed"
    """The terminal could not place it now, and may later."""
    WITHDRAWN = "withdrawn"
    WINDOW_CLOSED = "window_closed"
    TIME_OVER = "time_over"


_S = RequestState
_ASSUMED: Final = frozenset({_S.TIMED_OUT, _S.EXPIRED, _S.WITHDRAWN})
_OPEN: Final = frozenset({_S.WANTED, _S.PLACED})

TABLE: Final[dict[Happening, tuple[frozenset[RequestState], RequestState]]] = {
    Happening.PLACED: (frozenset({_S.WANTED, _S.EXPIRED}), _S.PLACED),
    Happening.NOT_PLACED: (frozenset({_S.WANTED}), _S.REFUSED),
    Happening.ANSWERED: (_OPEN | _ASSUMED | {_S.REFUSED}, _S.ANSWERED),
    Happening.SERVICE_REFUSED: (_OPEN | _ASSUMED, _S.REFUSED),
    Happening.FOREIGN: (_OPEN | _ASSUMED | {_S.ANSWERED}, _S.REFUSED),
    Happening.STILL_PROCESSING: (_OPEN | _ASSUMED, _S.ANSWERED),
    Happening.POSTPONED: (frozenset({_S.WANTED}), _S.WANTED),
    Happening.WITHDRAWN: (frozenset({_S.WANTED, _S.PLACED, _S.TIMED_OUT}), _S.WITHDRAWN),
    Happening.WINDOW_CLOSED: (frozenset({_S.WANTED}), _S.EXPIRED),
    Happening.TIME_OVER: (_OPEN, _S.TIMED_OUT),
}
"""Happening → the states it may meet, and the one it leads to. Anything else is ignored."""


def after(state: RequestState, happening: Happening) -> RequestState | None:
    """Name the next state; none when this cannot happen in that state any more."""
    meets, leads_to = TABLE[happening]
    return leads_to if state in meets else None
