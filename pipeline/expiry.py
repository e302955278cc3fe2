"""Until when do the certificates last: those of this process, and in a group those its authority has signed?

Files are read anew every time, so that a renewed one counts from then on. Clinics' machines and vendors are not
scraped, and the broker says nothing of its own pair; the authority's register names the newest of each.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from pipeline.authority import Authority, AuthorityError
from pipeline.clock import Clock
from pipeline.metrics import CERTIFICATE_EXPIRY

EVERY_SECONDS: Final = 60.0
FORGOTTEN_SECONDS: Final = 7 * 86400.0
"""How long an ended certificate that nobody renewed is still shown."""
UNREADABLE: Final = 0.0
"""A file that is gone or damaged is as good as ended: nobody can connect with it."""


def ends_at(path: Path) -> float:
    """Read when the first of a file's certificates ends, as seconds since 1970."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return UNREADABLE
    return min((each.not_valid_after_utc.timestamp() for each in found), default=UNREADABLE)


def signed_by(directory: Path, now: datetime) -> dict[str, float]:
    """Say for each name with a certificate that counts when its newest ends; nothing where no authority is."""
    ends: dict[str, float] = {}
    with suppress(AuthorityError):
        for each in Authority(directory).issued():
            if not each.revoked_at:
                ends[each.name] = max(ends.get(each.name, 0.0), each.not_after.timestamp())
    return {name: end for name, end in ends.items() if end > now.timestamp() - FORGOTTEN_SECONDS}


class ExpiryWatch:
    """Sets the gauges. `directory`: where the group's authority is, for the one role that speaks for the group."""

    def __init__(self, files: Mapping[str, Path], directory: Path | None, clock: Clock) -> None:
        self._files = dict(files)
        self._directory = directory
        self._clock = clock
        self._signed: set[str] = set()

    def look(self) -> None:
        for name, path in self._files.items():
            CERTIFICATE_EXPIRY.labels(name).set(ends_at(path))
        signed = signed_by(self._directory, self._clock.now()) if self._directory else {}
        for name in self._signed - signed.keys():
            CERTIFICATE_EXPIRY.remove(name)
        for name, end in signed.items():
            CERTIFICATE_EXPIRY.labels(name).set(end)
        self._signed = set(signed)


def watcher(watch: ExpiryWatch) -> Callable[[threading.Event], None]:
    """Make the part that looks once a minute."""

    def run(stop: threading.Event) -> None:
        watch.look()
        while not stop.wait(EVERY_SECONDS):
            watch.look()

    return run
