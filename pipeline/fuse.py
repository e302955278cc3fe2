"""Does this consumer park everything? Then it stops, for a bad release must not empty a queue into the parking lot."""

from typing import Final

MOST_IN_A_ROW: Final = 25


class Fuse:
    """Blows after 25 parked events without one success between them. Reset only by a restart."""

    def __init__(self, most: int = MOST_IN_A_ROW) -> None:
        self._most = most
        self._in_a_row = 0

    def passed(self) -> None:
        if not self.is_blown:
            self._in_a_row = 0

    def parked(self) -> None:
        self._in_a_row += 1

    @property
    def is_blown(self) -> bool:
        return self._in_a_row >= self._most
