"""What is wrong at this edge now, in stable words?"""

import threading

from pipeline.edge_words import EdgeFault


class Faults:
    """A set of words with the parts that raised them; a word stands until every part has cleared it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raised: set[tuple[EdgeFault, str]] = set()

    def raise_(self, word: EdgeFault, part: str) -> bool:
        """Note a fault; true when this part had not raised it yet."""
        with self._lock:
            is_new = (word, part) not in self._raised
            self._raised.add((word, part))
            return is_new

    def clear(self, word: EdgeFault, part: str) -> None:
        with self._lock:
            self._raised.discard((word, part))

    def words(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted({word for word, _ in self._raised}))
