"""What a terminal does again by itself: say its evidence, take up an erasure, find what a lost ledger left."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import standing_keys
from pipeline.cli import check
from pipeline.clock import SystemClock
from pipeline.contents import orphan_context
from pipeline.events import ErasureFailed, EvidenceStored, FileErased, FileRefused, FileVanished, RequestPlaced
from pipeline.keyring import KeyringError
from pipeline.sealing import Opener, recipient_of
from producers.terminal import orphans, spool_holdings, succeed
from producers.terminal.erase import Eraser
from producers.terminal.recovery import MOST_SECONDS, Recovery
from producers.terminal.seals import Seals
from producers.terminal.trust import EdgeClock
from producers.terminal.wipe import Failure, Taken, Wiped, destroy
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker, TerminalBench, content

ORPHAN = ".onshi-0123456789abcdef01234567.erasing"


def answer(terminal: TerminalBench, *ids: str) -> None:
    terminal.order(*[EvidenceStored(clinic="c001", edge="t1", evidence_id=one) for one in ids])


def test_a_refusal_is_said_again_until_the_centre_has_it(bench: BenchMaker) -> None:
    terminal = bench(edge={"size_limit_bytes": 10}, centre={"republish_seconds": 0.3})
    terminal.drop(1)
    said = terminal.wait_for(FileRefused, 3)
    assert len({event.id for event in said}) == 1
    answer(terminal, said[0].id)
    eventually(lambda: terminal.rows("SELECT count(*) FROM outbox") == [(0,)])


def test_a_refusal_that_waits_sealed_to_the_former_standing_key_keeps_that_key(bench: BenchMaker) -> None:
    terminal = bench(edge={"size_limit_bytes": 10})
    terminal.drop(1)
    (said,) = terminal.wait_for(FileRefused)
    assert terminal.role
    assert terminal.role.snapshot().standing_key == recipient_of(said.sealed_name)
    (new,) = standing_keys.rotate(terminal.keyring.directory, ["c001"], terminal.clock.now())
    assert not terminal.role.snapshot().standing_key
    answer(terminal, said.id)
    eventually(lambda: terminal.role and terminal.role.snapshot().standing_key == new.identifier)


def test_what_becomes_of_a_request_is_said_again_until_the_centre_has_it(bench: BenchMaker) -> None:
    terminal = bench(centre={"republish_seconds": 0.3})
    terminal.order(terminal.request("a1b2c3d4"))
    said = terminal.wait_for(RequestPlaced, 2)
    answer(terminal, said[0].id)
    eventually(lambda: terminal.rows("SELECT count(*) FROM outbox") == [(0,)])


def test_evidence_that_is_asked_for_is_said_at_once_although_its_repetition_is_not_due(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.store(event)
    terminal.order(terminal.erasure(event))
    terminal.wait_for(FileErased)
    eventually(lambda: terminal.rows("SELECT said FROM outbox WHERE next_at IS NOT NULL") == [(1,)])
    terminal.order(terminal.erasure(event))
    assert len(terminal.wait_for(FileErased, 2)) == 2


class Manual(EdgeClock):
    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Stuck(Eraser):
    """An eraser whose share is away; notes when it was tried."""

    def __init__(self, clock: Manual) -> None:
        self.open: set[str] = set()
        self.tried: list[float] = []
        self._time = clock

    def unfinished(self) -> frozenset[str]:
        return frozenset(self.open)

    def recover(self) -> None:
        self.tried.append(self._time.monotonic())


def tried(eraser: Stuck, recovery: Recovery, clock: Manual, seconds: int) -> list[float]:
    eraser.tried.clear()
    began = clock.seconds
    for _ in range(seconds * 2):
        recovery.turn()
        clock.seconds += 0.5
    return [at - began for at in eraser.tried]


def test_an_erasure_cut_short_is_taken_up_after_a_second_then_twice_as_rarely_up_to_a_minute() -> None:
    clock = Manual()
    eraser = Stuck(clock)
    recovery = Recovery(eraser, clock)
    assert tried(eraser, recovery, clock, 100) == []
    eraser.open = {"one"}
    assert tried(eraser, recovery, clock, 250) == [0, 2, 6, 14, 30, 62, 122, 182, 242]
    assert MOST_SECONDS == 60
    eraser.open = {"one", "another"}
    assert tried(eraser, recovery, clock, 4)[0] <= 1, "what is new waits for nothing that is old"


def test_the_spool_tells_what_it_holds_and_until_when(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.drop(1)
    terminal.drop(2)
    first, _ = terminal.captured(2)
    role = terminal.role
    assert role is not None
    report = role.snapshot()
    assert (report.spool_files, report.spool_until) == (2, None)
    assert report.spool_segments >= 1
    assert report.spool_oldest_at == min(event.captured_at for event in terminal.captured(2))
    terminal.store(*terminal.captured(2))
    eventually(lambda: terminal.custody() == {"stored": 2})
    held = spool_holdings(terminal.settings.edge.state, "c001", "t1", 7)
    assert held is not None
    assert held.until is not None
    assert abs(held.until - terminal.clock.now() - timedelta(days=7)) < timedelta(minutes=5)
    (shown,) = check._spools(terminal.settings)
    assert (shown["terminal"], shown["files"], shown["bytes"]) == ("t1", 2, held.size)
    assert held.size > 0
    assert first.copy_id


def lose_ledger(terminal: TerminalBench) -> None:
    terminal.stop()
    for path in terminal.settings.edge.state.glob("c001.t1.db*"):
        if path.suffix != ".lock":
            path.unlink()


def test_a_copy_id_is_never_given_twice_and_old_copies_end_when_the_ledger_was_lost(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.drop(1)
    (before,) = terminal.captured()
    terminal.store(before)
    eventually(lambda: terminal.custody() == {"stored": 1})
    lose_ledger(terminal)
    terminal.start()
    both = terminal.captured(2)
    (after,) = [event for event in both if event.copy_id != before.copy_id]
    assert after.file_id == before.file_id
    eventually(lambda: terminal.rows("SELECT 1 FROM folders WHERE label = 'res'"))
    terminal.order(terminal.erasure(before))
    (gone,) = terminal.wait_for(FileVanished)
    assert (gone.copy_id, gone.file_id) == (before.copy_id, before.file_id)
    terminal.store(after)
    terminal.order(terminal.erasure(after))
    assert [event.copy_id for event in terminal.wait_for(FileErased)] == [after.copy_id]


def test_no_copy_of_a_lost_ledger_is_called_gone_while_the_share_is_not_mounted(bench: BenchMaker) -> None:
    terminal = bench()
    path = terminal.drop(1)
    (before,) = terminal.captured()
    terminal.store(before)
    eventually(lambda: terminal.custody() == {"stored": 1})
    lose_ledger(terminal)
    share = path.parent.rename(path.parent.with_name("share"))
    path.parent.mkdir()
    terminal.start()
    eventually(lambda: terminal.ledger.exists() and terminal.rows("SELECT 1 FROM sqlite_master WHERE name = 'folders'"))
    eventually(lambda: terminal.rows("SELECT count(*) FROM folders") == [(2,)])
    terminal.order(terminal.erasure(before))
    assert [failed.reason for failed in terminal.wait_for(ErasureFailed)] == ["unknown"]
    assert not terminal.of(FileVanished)
    path.parent.rmdir()
    share.rename(path.parent)
    terminal.captured(2)
    terminal.order(terminal.erasure(before))
    assert [gone.copy_id for gone in terminal.wait_for(FileVanished)] == [before.copy_id]


def test_an_unknown_copy_is_refused_where_no_ledger_was_lost(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.order(terminal.erasure(event, copy_id="another"))
    (failed,) = terminal.wait_for(ErasureFailed)
    assert failed.reason == "unknown"
    assert not terminal.of(FileVanished)


def test_a_machine_in_the_place_of_another_calls_its_copies_gone(bench: BenchMaker) -> None:
    terminal = bench(start=False)
    succeed(terminal.settings.edge.state, "c001", "t1")
    terminal.start()
    terminal.drop(1)
    (event,) = terminal.captured()
    eventually(lambda: terminal.rows("SELECT 1 FROM folders WHERE label = 'res'"))
    terminal.order(terminal.erasure(event, copy_id="another"))
    assert [gone.copy_id for gone in terminal.wait_for(FileVanished)] == ["another"]
    assert not terminal.of(ErasureFailed)


def test_a_file_left_in_quarantine_by_a_lost_ledger_is_erased_and_kept_sealed(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "APART_SECONDS", 0.2)
    terminal = bench(start=False)
    orphan = terminal.terminal.face / ORPHAN
    orphan.write_bytes(content(1))
    (terminal.terminal.face / ".onshi-foreign.erasing").write_bytes(b"not a name that we give")
    terminal.start()
    eventually(lambda: not orphan.exists())
    (kept,) = sealed(terminal)
    opened = Opener(terminal.keyring).open("c001", orphan_context(ORPHAN), kept.read_bytes())
    assert opened == content(1)
    assert [path.name for path in terminal.terminal.face.iterdir()] == [".onshi-foreign.erasing"]


def sealed(terminal: TerminalBench) -> list[Path]:
    return list((terminal.settings.edge.state / "c001.t1.orphans").glob("*.sealed"))


def test_an_orphan_that_cannot_be_erased_is_shown(bench: BenchMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "APART_SECONDS", 0.2)
    terminal = bench(start=False)
    victim = terminal.terminal.face / "victim"
    victim.write_bytes(b"linked")
    (terminal.terminal.face / ORPHAN).hardlink_to(victim)
    terminal.start()
    eventually(lambda: terminal.role and "orphan" in terminal.role.snapshot().faults)
    assert victim.read_bytes() == b"linked"


@pytest.mark.parametrize("missing", ["key", "share"])
def test_a_terminal_works_on_when_an_orphan_can_be_neither_kept_nor_erased(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(orphans, "APART_SECONDS", 0.2)
    if missing == "key":
        monkeypatch.setattr(Seals, "seal_orphan", raising(KeyringError("no key of this month")))
    else:
        monkeypatch.setattr(orphans, "destroy", raising(OSError(errno.EHOSTDOWN, "away")))
    terminal = bench(start=False)
    orphan = terminal.terminal.face / ORPHAN
    orphan.write_bytes(content(1))
    terminal.start()
    eventually(lambda: terminal.role and "orphan" in terminal.role.snapshot().faults)
    terminal.drop(2)
    assert terminal.captured()
    assert orphan.read_bytes() == content(1)


def test_an_orphan_that_was_half_overwritten_does_not_take_the_place_of_what_was_kept(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "APART_SECONDS", 0.2)
    monkeypatch.setattr(orphans, "EVERY_SECONDS", 0.2)
    tries: list[str] = []

    def fail_once(folder: int, batch: Sequence[Taken], filesystem: str) -> Iterator[Wiped | Failure]:
        tries.append(filesystem)
        if len(tries) > 1:
            yield from destroy(folder, batch, filesystem)
            return
        os.pwrite(batch[0].handle, b"\0" * 10, 0)
        os.close(batch[0].handle)
        yield Failure(batch[0].target, "io", is_stranded=True)

    monkeypatch.setattr(orphans, "destroy", fail_once)
    terminal = bench(start=False)
    orphan = terminal.terminal.face / ORPHAN
    orphan.write_bytes(content(1))
    terminal.start()
    eventually(lambda: not orphan.exists())
    (kept,) = sealed(terminal)
    assert Opener(terminal.keyring).open("c001", orphan_context(ORPHAN), kept.read_bytes()) == content(1)


def test_no_orphan_is_touched_while_the_clock_cannot_be_believed(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "APART_SECONDS", 0.0)
    believed: list[bool] = []
    monkeypatch.setattr(EdgeClock, "is_reliable", lambda _: bool(believed))
    terminal = bench(start=False)
    orphan = terminal.terminal.face / ORPHAN
    orphan.write_bytes(content(1))
    terminal.start()
    terminal.drop(2)
    terminal.order(terminal.erasure(*terminal.captured()))
    assert [failed.reason for failed in terminal.wait_for(ErasureFailed)] == ["clock"]
    assert orphan.exists()
    believed.append(True)
    eventually(lambda: not orphan.exists())


def raising(fault: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise fault

    return fail
