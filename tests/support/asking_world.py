"""How does a test let patients, clocks, processes and reports come in any order, and know what may be asked?

The oracle knows nothing of the product: it reads the digits that stand in the files itself.
"""

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from consumers.consent import Consent
from pipeline.clock import ClockWatch
from pipeline.contents import SealedFile, request_context
from pipeline.events import Event, RequestPlace, RequestPlaced, RequestWithdrawn
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup
from pipeline.oqs.history import HistoryHeader
from pipeline.oqs.names import MessageKind, parse_name
from pipeline.oqs.records import CheckupRecord, MedicationRecord
from pipeline.sealing import Opener
from tests.support.centre import Centre
from tests.support.consents import face, store_file

START: Final = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MARGIN: Final = timedelta(seconds=60)
_JAPAN_AHEAD: Final = timedelta(hours=9)


def digits(at: datetime) -> str:
    """Write an instant as a Japanese file does, without the product's help."""
    return (at.replace(tzinfo=None) + _JAPAN_AHEAD).strftime("%Y%m%d%H%M%S")


def instant(written: str) -> datetime:
    return (datetime.strptime(written, "%Y%m%d%H%M%S") - _JAPAN_AHEAD).replace(tzinfo=UTC)  # noqa: DTZ007


@dataclass(frozen=True)
class Answer:
    """What a patient answered to one question, as the files of a reader say it."""

    category: ConsentCategory
    is_given: bool
    at: str
    until: str

    @property
    def group(self) -> ConsentGroup:
        if not self.is_given:
            return ConsentGroup(category=self.category, flag="0")
        return ConsentGroup(category=self.category, flag="1", consented_at=self.at, available_until=self.until)


@dataclass
class Wall:
    """A wall clock that may be set; `steady` goes on whatever becomes of it."""

    at: datetime = START
    steady: float = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.steady

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.steady += seconds


@dataclass
class World:
    """One patient, two consent processes, one terminal. What leaves is kept with the time it left."""

    centre: Centre
    wall: Wall = field(default_factory=Wall)
    heard: list[Answer] = field(default_factory=list)
    orders: list[tuple[datetime, RequestPlace]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _last: RequestPlace | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._processes = [Consent(self.centre.settings, self.centre.keyring) for _ in range(2)]
        self._watches = [ClockWatch(self.wall) for _ in self._processes]

    def hear(self, answers: list[Answer], times: int = 1, *, is_timed: bool = True) -> None:
        """Let a face file arrive, perhaps more than once, perhaps without a time of its own."""
        record = face(*(answer.group for answer in answers))
        processed = instant(answers[0].at) if is_timed else None
        # A refusal has no time but its file's; without that it counts from when the file came, which here is the start.
        refused_at = digits(processed or START)
        self.heard += [answer if answer.is_given else replace(answer, at=refused_at) for answer in answers]
        event = store_file(self.centre, f"face-{next(self._numbers)}", record, processed)
        for _ in range(times):
            self._handle(event)

    def come_near_a_limit(self, number: int, seconds: int) -> None:
        """Let time pass until so many seconds after the limit of one of the answers, if that is still to come."""
        if self.heard:
            at = instant(self.heard[number % len(self.heard)].until) + seconds * SECOND
            if at > self.wall.at:
                self.wall.pass_time((at - self.wall.at).total_seconds())

    def tick(self) -> None:
        """Let each process do what is due, as its runner would: never while its clock cannot be believed."""
        for process, watch in zip(self._processes, self._watches, strict=True):
            if not watch.is_reliable():
                continue
            for event in self.centre.due(process, self.wall.at):
                if isinstance(event, RequestPlace):
                    self._judge(event)

    def report(self, *, is_answered: bool) -> None:
        """Let the terminal place the last order, and the service answer it or nobody take it."""
        order, self._last = self._last, None
        if order is None:
            return
        now = self.wall.at
        self._handle(RequestPlaced(clinic="c1", edge=order.edge, request_id=order.request_id, placed_at=now))
        if not is_answered:
            self._handle(RequestWithdrawn(clinic="c1", edge=order.edge, request_id=order.request_id, withdrawn_at=now))
            return
        name = parse_name(self._opened(order).name)
        assert name is not None
        good = HistoryHeader(result_code="1")
        record = (
            CheckupRecord(schema_kind="checkup", header=good)
            if name.kind is MessageKind.CHECKUP
            else MedicationRecord(schema_kind="medication", header=good)
        )
        self._handle(store_file(self.centre, name.base_name, record, now, kind=name.kind, correlation=name.correlation))

    def _handle(self, event: Event) -> None:
        self.centre.handle(self._processes[next(self._numbers) % 2], event, self.wall.at)

    def _opened(self, order: RequestPlace) -> SealedFile:
        raw = Opener(self.centre.keyring).open("c1", request_context(order.request_id), order.sealed)
        return SealedFile.from_bytes(raw)

    def _judge(self, order: RequestPlace) -> None:
        now = self.wall.at
        self.orders.append((now, order))
        self._last = order
        inside = self._opened(order)
        needed = [ConsentCategory.CHECKUP] if inside.name.startswith("TKK") else [ConsentCategory.MEDICATION]
        if b"<FileCategory>4" in inside.content:
            needed.append(ConsentCategory.DIAGNOSIS)
        self.faults += [f"{category} outside its window" for category in needed if not self._is_open(category, now)]

    def _is_open(self, category: ConsentCategory, now: datetime) -> bool:
        """Look at the digits alone: the newest answer heard so far is a yes, and one yes has time left."""
        said = [answer for answer in self.heard if answer.category is category]
        newest = max((instant(answer.at) for answer in said), default=None)
        if any(instant(answer.at) == newest and not answer.is_given for answer in said):
            return False
        return any(
            answer.is_given and instant(answer.at) - MARGIN <= now < instant(answer.until) - MARGIN for answer in said
        )
