"""What happens to a file that somebody puts into `req`?

The connection program takes it within a moment and, when the service has answered, writes the answer into `res`
under the same base name (oqs-interface section 1.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipeline.clock import Clock
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import Direction, FileName, Folder, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import ReturnedRequest
from pipeline.oqs.rejection import RejectedError
from producers.simulator.chance import chance
from producers.simulator.desk import Behaviour, Desk, MalformedError, Reply, returned
from producers.simulator.writing import Pace, write_file


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """One request that was taken. `replies` are the names written or still to be written for it.

    `consents`: those it relies on, with their ends, as the service knew them when it took the request.
    """

    name: FileName
    at: datetime
    content: bytes
    request: ReturnedRequest | None
    replies: tuple[str, ...]
    consents: Mapping[ConsentCategory, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class _Due:
    at: float
    reply: Reply


class Service:
    """The terminal's connection to the service (連携アプリケーション). Not safe for several threads at once."""

    def __init__(self, req: Path, res: Path, desk: Desk, clock: Clock, pace: Pace, *, seed: int) -> None:
        self._req = req
        self._res = res
        self._desk = desk
        self._clock = clock
        self._pace = pace
        self._die = chance(seed, "service")
        self._due: list[_Due] = []
        self.asked: list[Asked] = []

    @property
    def behaviour(self) -> Behaviour:
        return self._desk.behaviour

    def poll(self) -> int:
        """Take what lies in `req`, write what is due into `res`; return how many requests were taken."""
        taken = 0
        for path in sorted(self._req.iterdir()):
            name = parse_name(path.name)
            if name is not None and name.direction is Direction.REQUEST and name.belongs_in(Folder.REQ):
                taken += self._take(name, path)
        self._write_due()
        return taken

    def _take(self, name: FileName, path: Path) -> bool:
        try:
            content = path.read_bytes()
            path.unlink()
        except FileNotFoundError:
            return False  # withdrawn by whoever asked
        request, replies = self._replies(name, content)
        consents = {} if request is None else self._desk.consents_behind(name, request)
        names = tuple(reply.name for reply in replies)
        self.asked.append(Asked(name, self._clock.now(), content, request, names, consents))
        wait = self.behaviour.answer_after + self._die.random() * self.behaviour.answer_within
        at = self._clock.monotonic() + wait.total_seconds()
        self._due += [_Due(at, reply) for reply in replies]
        return True

    def _replies(self, name: FileName, content: bytes) -> tuple[ReturnedRequest | None, Sequence[Reply]]:
        request = _read(name, content)
        if self.behaviour.is_silent:
            return request, ()
        if request is None:
            return None, returned(name, content)
        try:
            return request, (self._desk.answer(name, request),)
        except MalformedError:
            return request, returned(name, content)

    def _write_due(self) -> None:
        now = self._clock.monotonic()
        due = [one for one in self._due if one.at <= now]
        self._due = [one for one in self._due if one.at > now]
        for one in due:
            write_file(self._res / one.reply.name, one.reply.content, self._pace)


def _read(name: FileName, content: bytes) -> ReturnedRequest | None:
    try:
        record = parse(name, content)
    except RejectedError:
        return None
    return record if isinstance(record, ReturnedRequest) and not record.unreadable else None
