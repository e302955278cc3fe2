"""Does this consumer park everything? Then it stops, for a bad release must not empty a queue into the parking lot."""

from typing import Final

MOST_IN_A_ROW: Final = 25


class Fuse:
    """Blows after 25 parked events without one success between them. Reset only by a restart."""

    def __init__(self, most: int = MOST_IN_A_ROW) -> None:
        self._most = most
        self._in_a_row: set[str] = set()

    def passed(self) -> None:
        if not self.is_blown:
            self._in_a_row.clear()

    def parked(self, event_id: str) -> None:
        """Count an event; one that is decided again, because its parking could not be published, counts once."""
        self._in_a_row.add(event_id)

    @property
    def is_blown(self) -> bool:
        return len(self._in_a_row) >= self._most
