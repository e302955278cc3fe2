"""Was everything on the disk before what relies on it began? Read from a trace, for a kill keeps the page cache.

Each check counts what it looked at, so that one which saw nothing is not taken for one that found nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.sweep.strace import Call, read

WRITES = frozenset({"write", "pwrite64", "ftruncate"})
FLUSHES = frozenset({"fsync", "fdatasync"})
RENAMES = frozenset({"rename", "renameat", "renameat2"})
UNLINKS = frozenset({"unlink", "unlinkat"})
_COPY = re.compile(r"\\\"copy_id\\\":\s*\\\"([0-9a-f-]{36})")
_FILE = re.compile(r"\\\"file_id\\\":\s*\\\"([0-9a-f-]{36})")
_ACK = r"\0<\0P"
"""Basic.Ack, class 60 method 80, as strace writes it."""


@dataclass(slots=True)
class Findings:
    looked_at: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def note(self, check: str, *, is_held: bool, what: str) -> None:
        self.looked_at[check] += 1
        if not is_held:
            self.broken.append(f"{check}: {what}")


class Trace:
    """The calls of one process that succeeded, in the order of their beginning."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.calls = [call for call in read(lines) if call.is_done]
        self._ledger = [c for c in self.calls if c.name == "pwrite64" and is_ledger(c.path())]

    def of_threads(self) -> Iterator[Sequence[Call]]:
        for thread in dict.fromkeys(call.thread for call in self.calls):
            yield [call for call in self.calls if call.thread == thread]

    def is_durable(self, text: str, by: Call) -> bool:
        """Say whether the ledger held this text, flushed, before a call began."""
        return any(
            text in written.text and self.is_flushed(written, by)
            for written in self._ledger
            if written.ended < by.began
        )

    def is_flushed(self, written: Call, by: Call) -> bool:
        """Say whether a write was flushed, itself or with its folder's file system, before a call began."""
        path = written.path()
        folder = str(Path(path).parent)
        return any(
            written.ended < call.began
            and call.ended < by.began
            and ((call.name in FLUSHES and call.path() == path) or (call.name == "syncfs" and call.path() == folder))
            for call in self.calls
        )

    def last_write(self, path: str, before: Call) -> Call | None:
        made = [c for c in self.calls if c.name in WRITES and c.path() == path and c.began < before.began]
        return made[-1] if made else None


def is_ledger(path: str) -> bool:
    return path.endswith(".db-wal")


def is_segment(path: str) -> bool:
    return path.endswith(".seg")


def check(trace: Path) -> Findings:
    """Check everything that a trace of a terminal or of a chart can show."""
    made, found = Trace(trace.read_text(errors="replace").splitlines()), Findings()
    for calls in made.of_threads():
        _spool_before_ledger(calls, found)
        _folder_before_ledger(calls, found)
    for look in (_ledger_before_publish, _confirm_before_mark, _intent_before_rename, _flush_before_unlink):
        look(made, found)
    for look in (_only_temporary_names, _flush_before_name, _effect_before_receipt):
        look(made, found)
    return found


# The terminal


def _spool_before_ledger(calls: Sequence[Call], found: Findings) -> None:
    dirty = False
    was_written = False
    for call in calls:
        path = call.path()
        if is_segment(path):
            if call.name in WRITES:
                dirty = was_written = True
            elif call.name in FLUSHES:
                dirty = False
        elif call.name == "pwrite64" and is_ledger(path) and was_written:
            found.note("spool flushed before ledger", is_held=not dirty, what="the ledger was written on an open flush")
            was_written = dirty = False


def _ledger_before_publish(trace: Trace, found: Findings) -> None:
    for call in trace.calls:
        if call.name == "sendto" and (match := _COPY.search(call.text)) and r"\"sealed\":" in call.text:
            known = trace.is_durable(match[1], call)
            found.note("ledger flushed before publish", is_held=known, what="a copy was sent before it was on the disk")


def _confirm_before_mark(trace: Trace, found: Findings) -> None:
    """After a window was read for sending, the ledger is written only when the broker has answered it."""
    writers = {call.thread for call in trace.calls if is_segment(call.path()) and call.name in WRITES}
    for calls in trace.of_threads():
        last_read: Call | None = None
        for call in calls:
            if call.name == "pread64" and is_segment(call.path()) and call.thread not in writers:
                last_read = call
            elif last_read and call.name == "pwrite64" and is_ledger(call.path()):
                held = _is_confirmed(trace, last_read, call)
                found.note("confirm before mark", is_held=held, what="a copy was marked as sent before its confirm")
                last_read = None


def _is_confirmed(trace: Trace, after: Call, before: Call) -> bool:
    window = [c for c in trace.calls if after.ended < c.began and c.ended < before.began]
    sent = [c for c in window if c.name == "sendto" and _COPY.search(c.text)]
    return bool(sent) and any(
        c.name == "recvfrom" and _ACK in c.text and c.path() == sent[-1].path() and c.ended > sent[-1].began
        for c in window
    )


def _intent_before_rename(trace: Trace, found: Findings) -> None:
    for call in trace.calls:
        if call.name in RENAMES and call.strings()[-1].endswith(".erasing"):
            known = trace.is_durable(call.strings()[-1], call)
            found.note("intent flushed before rename", is_held=known, what="a file was taken without a durable intent")


def _flush_before_unlink(trace: Trace, found: Findings) -> None:
    for call in trace.calls:
        if call.name not in UNLINKS or not call.strings()[-1].endswith(".erasing"):
            continue
        written = trace.last_write(f"{call.path()}/{call.strings()[-1]}", call)
        held = written is not None and trace.is_flushed(written, call)
        found.note(
            "overwriting flushed before unlink", is_held=held, what="a file was removed before it was overwritten"
        )


# The chart


def _only_temporary_names(trace: Trace, found: Findings) -> None:
    for call in trace.calls:
        if call.name == "openat" and "O_CREAT" in call.text and _folder_of(call).endswith("/inbox"):
            held = call.strings()[0].startswith(".")
            found.note("only temporary names are written", is_held=held, what="a file grew under its final name")


def _flush_before_name(trace: Trace, found: Findings) -> None:
    for call in trace.calls:
        if call.name not in RENAMES or not call.strings()[0].endswith(".tmp"):
            continue
        written = trace.last_write(f"{call.path()}/{call.strings()[0]}", call)
        held = written is not None and trace.is_flushed(written, call)
        found.note("file flushed before its name", is_held=held, what="a file was named before it was on the disk")
        staged = trace.is_durable(call.strings()[0], call)
        found.note("stage flushed before its name", is_held=staged, what="a file was named without a durable stage")


def _effect_before_receipt(trace: Trace, found: Findings) -> None:
    for call in trace.calls:
        if call.name != "sendto" or "delivery.done" not in call.text:
            continue
        for file_id in _FILE.findall(call.text):
            named = [c for c in trace.calls if c.name in RENAMES and c.strings()[-1] == f"{file_id}.json"]
            held = any(_folder_flushed(trace, c, call) for c in named if c.ended < call.began)
            found.note("effect before receipt", is_held=held, what="the chart's receipt left before its file was there")


def _folder_flushed(trace: Trace, change: Call, by: Call) -> bool:
    return any(
        call.name in FLUSHES and call.path() == change.path() and change.ended < call.began and call.ended < by.began
        for call in trace.calls
    )


# Both


def _folder_before_ledger(calls: Sequence[Call], found: Findings) -> None:
    """A changed name is on the disk before the same thread's ledger says that it is."""
    changed: set[str] = set()
    for call in calls:
        is_named = call.name in RENAMES and call.strings()[0].endswith(".tmp")
        is_erased = call.name in UNLINKS and call.strings()[-1].endswith(".erasing")
        if is_named or is_erased:
            changed.add(call.path())
        elif call.name in FLUSHES:
            if call.path() in changed:
                found.note("folder flushed before ledger", is_held=True, what="")
            changed.discard(call.path())
        elif call.name == "pwrite64" and is_ledger(call.path()) and changed:
            found.note("folder flushed before ledger", is_held=False, what="the ledger tells of a name not yet on disk")
            changed.clear()


def _folder_of(call: Call) -> str:
    match = re.match(r"(?:AT_FDCWD|\d+)<(.*?)>", call.text)
    return match[1] if match else ""
