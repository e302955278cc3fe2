"""What follows from an answer within a bulk exchange (一括照会)?

A bulk request is uploaded; its receipt names a reception number (受付番号), under which the result is downloaded; while
the service is still at work (処理中) the next download waits twice as long, up to a limit. Each download is a request
of its own under a new name that follows from the exchange and its place in it, so that an answer that comes twice, or
late, leads to one. Pure. Sources: oqs-interface sections 2 and 3.5.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose_download
from consumers.consent.request_state import Happening
from pipeline.oqs.answers import Layer
from pipeline.oqs.names import MessageKind
from pipeline.request_row import RequestDetail
from pipeline.settings import CentreSettings

STILL_PROCESSING = "still_processing"
NO_RECEPTION_NUMBER = "no_reception_number"


@dataclass(frozen=True, slots=True)
class Step:
    """The request of ours that a file answers. `begun_at`: when its exchange began; `digest`: names the next one."""

    request_id: str
    clinic: str
    terminal: str
    kind: str
    phase: str
    attempt: int
    inquiry_id: str
    asked_by: str
    begun_at: datetime
    detail: RequestDetail = field(repr=False)
    digest: str = field(repr=False)

    @property
    def is_upload(self) -> bool:
        return self.is_bulk and self.phase == "01"

    @property
    def is_download(self) -> bool:
        return self.is_bulk and self.phase == "02"

    @property
    def is_bulk(self) -> bool:
        return MessageKind(self.kind).is_bulk


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer tells of the exchange. `institution_code`: as the answer names it."""

    layer: Layer
    institution_code: str
    reception_number: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Follow:
    """What happened to the request, and what is asked next."""

    happening: Happening
    reason: str | None = None
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the service is given."""

    first: timedelta
    most: timedelta
    limit: timedelta

    @classmethod
    def of(cls, settings: CentreSettings) -> "Patience":
        return cls(
            timedelta(seconds=settings.download_first_seconds),
            timedelta(seconds=settings.download_most_seconds),
            timedelta(hours=settings.download_hours),
        )

    def wait(self, attempt: int) -> timedelta:
        """Say how long before the n-th download, from 1: twice as long each time, up to the most."""
        factor: int = 2 ** min(attempt - 1, 30)
        return min(self.most, self.first * factor)


def follow(step: Step, said: Said, patience: Patience, now: datetime) -> Follow | None:
    """Say what an answer within an exchange means; none when it is no matter of the exchange."""
    if step.is_upload and said.layer in (Layer.OK, Layer.STILL_PROCESSING):
        return _received(step, said, patience, now)
    if step.is_download and said.layer is Layer.STILL_PROCESSING:
        return _still_processing(step, said, patience, now)
    return None


def untaken(step: Step, said: Said, patience: Patience, now: datetime) -> Wanted | None:
    """Ask for the result anew when nobody took a download: nothing was asked, so nothing is asked twice."""
    attempt, number = step.attempt + 1, step.detail.reception_number
    not_before, until = now + patience.wait(attempt), step.begun_at + patience.limit
    if not step.is_download or not number or not_before > until:
        return None
    return _download(step, said, number, attempt, not_before, until)


def _received(step: Step, said: Said, patience: Patience, now: datetime) -> Follow | None:
    if not said.reception_number:
        return Follow(Happening.SERVICE_REFUSED, NO_RECEPTION_NUMBER) if said.layer is Layer.OK else None
    not_before = now + patience.wait(1)
    try:
        wanted = _download(step, said, said.reception_number, 1, not_before, now + patience.limit)
    except ValidationError:
        return Follow(Happening.SERVICE_REFUSED, NO_RECEPTION_NUMBER)
    return Follow(Happening.ANSWERED, wanted=wanted)


def _still_processing(step: Step, said: Said, patience: Patience, now: datetime) -> Follow:
    attempt = step.attempt + 1
    not_before = now + patience.wait(attempt)
    if not_before > step.begun_at + patience.limit:
        return Follow(Happening.TIME_OVER, STILL_PROCESSING)
    number = step.detail.reception_number or ""
    wanted = _download(step, said, number, attempt, not_before, step.begun_at + patience.limit)
    return Follow(Happening.STILL_PROCESSING, STILL_PROCESSING, wanted)


def _download(  # noqa: PLR0917 - of which exchange, and when
    step: Step, said: Said, reception_number: str, attempt: int, not_before: datetime, until: datetime
) -> Wanted:
    kind = MessageKind(step.kind)
    file = compose_download(kind, said.institution_code, reception_number, step.detail, step.digest)
    return Wanted(
        clinic=step.clinic,
        terminal=step.terminal,
        kind=step.kind,
        file=file,
        person_hash=None,
        inquiry_id=step.inquiry_id,
        phase="02",
        attempt=attempt,
        asked_by=step.asked_by,
        not_before=not_before,
        # A terminal that is switched off in the evening downloads in the morning: the service keeps the result.
        wanted_until=until,
    )
