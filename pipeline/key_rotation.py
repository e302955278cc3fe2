"""How is a month's key replaced before its time, as when its private half may have been seen?

Nothing is lost: the former key still opens what was sealed to it, until its month is destroyed. The centre seals to
the new one at once, an edge from when it hears `keys.published`.
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from pipeline.keyring import EpochKey, KeyringError, changing, new_epochs, read_ring, write_ring
from pipeline.sealing import KeyClass, epoch_of


def rotate(directory: Path, key_class: KeyClass, clinics: Collection[str], now: datetime) -> tuple[EpochKey, ...]:
    """Draw new keys for this month and those ahead; returns them.

    Raises:
        KeyringError: the standing key, under which rows are found again, is not replaced like this.
    """
    if key_class is KeyClass.STANDING:
        raise KeyringError("the standing key has no months")
    this = epoch_of(key_class, now)
    with changing(directory):
        ring = read_ring(directory)[0]
        newest: dict[tuple[str, KeyClass, str], int] = {}
        for key in ring.epochs:
            if key.clinic in clinics and key.key_class is key_class and key.epoch >= this and key.is_usable:
                name = (key.clinic, key.key_class, key.epoch)
                newest[name] = max(key.generation, newest.get(name, 0))
        drawn = new_epochs(directory, list(newest), 1 + max((key.slot for key in ring.epochs), default=-1))
        made = tuple(
            key.model_copy(update={"generation": next_generation(generation, now)})
            for key, generation in zip(drawn, newest.values(), strict=True)
        )
        write_ring(directory, ring.model_copy(update={"epochs": (*ring.epochs, *made)}))
        return made


def next_generation(newest: int, now: datetime) -> int:
    """Number a key that replaces another.

    Not by counting alone: a ring that was restored from before a replacement would give that one's number once more,
    and no edge that had heard of it would take the key.
    """
    return max(newest + 1, int(now.timestamp()))
