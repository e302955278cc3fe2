"""Who else may hear of results, and of which? One `[[vendors]]` table of the configuration for each."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from pipeline.setting_values import Duration, Name, Table
from pipeline.vendor_events import NOTICES, PUBLIC_KINDS

PUBLIC_EVENTS: Final = tuple(f"{notice.subject}.{notice.verb}" for notice in NOTICES)


def _known(names: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    strange = [name for name in names if name not in allowed]
    if strange:
        raise ValueError(f"{strange[0]!r} is none of {', '.join(allowed)}")
    return names


Events = Annotated[tuple[str, ...], AfterValidator(lambda names: _known(names, PUBLIC_EVENTS))]
Kinds = Annotated[tuple[str, ...], AfterValidator(lambda names: _known(names, PUBLIC_KINDS))]


class Vendor(Table):
    """A vendor and its grants. What is not granted here reaches nobody."""

    id: Name
    """Part of its stream's and its user's name: never changed."""
    clinics: tuple[Name, ...] | Literal["*"]
    """The clinics it hears of; `"*"`: all."""
    events: Events = PUBLIC_EVENTS
    """What it hears of."""
    kinds: Kinds = PUBLIC_KINDS
    """Of the messages that events about files come from."""
    records: Kinds = ()
    """Kinds whose record is granted, encrypted to the public key."""
    public_key_file: Path | None = None
    """Its key, to which granted records are encrypted."""
    retention: Duration = timedelta(days=7)
    """How long its stream is kept."""
    disabled: bool = False
    """True: nobody may read its stream any more; `onshi vendors revoke` says so."""
