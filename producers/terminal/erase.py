"""Which orders of erasure are obeyed, and what is told about it?

Preconditions of the edge are checked at the moment of acting; then intent, wipe (`producers.terminal.wipe`) and
evidence, each durable before the next. Design section 7; security-and-reliability section 3.3.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version

from pipeline.custody import Custody
from pipeline.envelope import Envelope, WireEvent, enclose, write
from pipeline.events import ErasureFailed, ErasureOrder, FileErased, FileVanished
from producers.terminal import copies, evidence, intents
from producers.terminal.copies import Copy
from producers.terminal.folders import Folders, ShareAwayError, ShareFolder
from producers.terminal.handles import filesystem_type
from producers.terminal.intents import Intent, Phase
from producers.terminal.ledger import Ledger
from producers.terminal.seals import Seals
from producers.terminal.trust import EdgeClock
from producers.terminal.wipe import (
    Failure,
    Taken,
    Target,
    Wiped,
    destroy,
    give_back,
    inspect,
    quarantine_name,
    reopen,
    take,
    take_quarantined,
)

SOFTWARE = version("onshi")
OVERWRITTEN = "overwritten once, flushed, read back, removed"
REMOVED = "removed"
SEEN_HERE = ("C1", "C2", "C4", "C7", "C8")
_CENTRE = frozenset({"C3", "C5", "C6"})
_log = logging.getLogger("onshi.terminal")


@dataclass(frozen=True, slots=True)
class ErasureRules:
    """Ages in seconds since a copy was first seen."""

    clinic: str
    edge: str
    minimum_age: float


@dataclass(frozen=True, slots=True)
class Work:
    """One erasure under way."""

    copy: Copy
    target: Target
    intent: Intent


class Eraser:
    """Belongs to the thread of the orders."""

    def __init__(self, rules: ErasureRules, folders: Folders, ledger: Ledger, seals: Seals, clock: EdgeClock) -> None:
        self._rules = rules
        self._folders = folders
        self._ledger = ledger
        self._seals = seals
        self._clock = clock

    def obey(self, orders: Sequence[tuple[Envelope, ErasureOrder]]) -> None:
        """Carry out what may be carried out now, and answer the rest. An order whose time has passed is dropped.

        Raises:
            sqlite3.Error: the ledger cannot be written; what was begun is finished by `recover`.
        """
        now = self._clock.now()
        live = {order.copy_id: (envelope, order) for envelope, order in orders if now < order.until}
        with self._ledger.reading() as db:
            known = copies.find(db, list(live))
            begun = intents.find(db, list(live))
            held = copies.held(db, list(live))
        self._repeat([copy for copy in known.values() if copy.state.is_gone], begun, now)
        refused: list[tuple[ErasureOrder, Envelope, str]] = []
        ready: list[tuple[Copy, Envelope]] = []
        is_reliable = self._clock.is_reliable()
        for copy_id, (envelope, order) in live.items():
            copy = known.get(copy_id)
            if (copy and copy.state.is_gone) or copy_id in begun:
                continue
            reason = self._obstacle(copy, order, now, is_held=copy_id in held, is_reliable=is_reliable)
            if reason or copy is None:
                refused.append((order, envelope, reason or "unknown"))
            else:
                ready.append((copy, envelope))
        unknown = [order for order, _, reason in refused if reason == "unknown"]
        if unknown and self._knows_all():
            self._disown(unknown, now)
            refused = [each for each in refused if each[2] != "unknown"]
        self._refuse(refused, now)
        for label in sorted({copy.folder for copy, _ in ready}):
            self._erase_in(label, [(copy, envelope) for copy, envelope in ready if copy.folder == label])

    def _knows_all(self) -> bool:
        """Say whether the ledger was made anew and has every file that lies here under an id of its own."""
        if not self._ledger.succeeds_lost:
            return False
        with self._ledger.reading() as db:
            looked_at = {label for (label,) in db.execute("SELECT label FROM folders")}
            (unsettled,) = db.execute("SELECT coalesce(sum(value), 0) FROM counts WHERE name = 'seen'").fetchone()
            # Below a share that is not mounted lies an empty folder, and this ledger never knew another.
            (has_found,) = db.execute("SELECT EXISTS (SELECT 1 FROM copies)").fetchone()
        is_whole = looked_at.issuperset(folder.label for folder in self._folders.scanned)
        return is_whole and bool(has_found) and not unsettled

    def _disown(self, orders: Sequence[ErasureOrder], now: datetime) -> None:
        """Answer for copies of a ledger that was lost: gone, or known and in custody under another id by now."""
        gone = [FileVanished(**self._whose(), file_id=o.file_id, copy_id=o.copy_id, noticed_at=now) for o in orders]
        with self._ledger.transaction() as db:
            evidence.add(db, [(event, None) for event in gone], now)
        _log.warning("copies of a lost ledger", extra={"count": len(gone)})

    def _obstacle(
        self, copy: Copy | None, order: ErasureOrder, now: datetime, *, is_held: bool, is_reliable: bool
    ) -> str | None:
        if copy is None:
            return "unknown"
        folder = self._folders.labelled(copy.folder)
        if folder is None or folder.is_rescue:
            return "rescue"
        if is_held or copy.state is Custody.HELD:
            return "held"
        if not is_reliable:
            return "clock"
        # C1 and C2: in the spool and read back; C4: confirmed by the broker or answered by the centre.
        is_safe = copy.place is not None and (copy.published_at is not None or copy.stored_at is not None)
        if not is_safe or not _CENTRE.issubset(order.preconditions):
            return "unproven"
        # When the centre had it, where that is known: this clock may have been wrong when the copy was seen.
        age = (now - (copy.stored_at or copy.seen_at)).total_seconds()
        return "too_young" if self._rules.minimum_age > 0 and age < self._rules.minimum_age else None

    def _refuse(self, refused: Iterable[tuple[ErasureOrder, Envelope, str]], now: datetime) -> None:
        events = [
            (self._failed(order.file_id, order.copy_id, reason, now), envelope) for order, envelope, reason in refused
        ]
        if events:
            with self._ledger.transaction() as db:
                evidence.add(db, events, now)

    def _failed(self, file_id: str, copy_id: str, reason: str, now: datetime) -> ErasureFailed:
        _log.warning("not erased", extra={"copy_id": copy_id, "reason": reason})
        return ErasureFailed(**self._whose(), file_id=file_id, copy_id=copy_id, reason=reason, failed_at=now)

    def _whose(self) -> dict[str, str]:
        return {"clinic": self._rules.clinic, "edge": self._rules.edge}

    def _repeat(self, gone: Sequence[Copy], begun: dict[str, Intent], now: datetime) -> None:
        """Tell again how a copy went: the centre asks because it lost or never had the answer."""
        if not gone:
            return
        with self._ledger.transaction() as db:
            evidence.tell_vanished(
                db, [c for c in gone if c.state is Custody.VANISHED], self._rules.clinic, self._rules.edge, now
            )
            done = [intent for copy in gone if (intent := begun.get(copy.copy_id)) and intent.evidence]
            evidence.add_written(db, [_again(intent, now) for intent in done])

    def _erase_in(self, label: str, batch: Sequence[tuple[Copy, Envelope]]) -> None:
        now = self._clock.now()
        folder = self._folders.labelled(label)
        descriptor = _descriptor(folder)
        if folder is None or descriptor is None:
            self._answer([(copy, envelope, "share_away") for copy, envelope in batch], now)
            return
        checked = [(copy, envelope, self._target(copy)) for copy, envelope in batch]
        absent = "gone" if self._is_known(folder) else "share_away"
        found = {copy.copy_id: inspect(descriptor, target) for copy, _, target in checked}
        reasons = {copy_id: absent if reason == "gone" else reason for copy_id, reason in found.items()}
        self._answer([(c, e, reasons[c.copy_id]) for c, e, _ in checked], now)
        going = [(c, e, target) for c, e, target in checked if reasons[c.copy_id] is None]
        if not going:
            return
        with self._ledger.transaction() as db:
            intents.begin(db, [(c.copy_id, target.quarantine, e) for c, e, target in going], now)
            begun = intents.find(db, [c.copy_id for c, _, _ in going])
        works = [Work(c, target, begun[c.copy_id]) for c, _, target in going]
        self._carry_out(descriptor, works, partial(take, mac_of=self._seals.content_mac))

    def _is_known(self, folder: ShareFolder) -> bool:
        """Say whether absence means anything here: below a share that is not mounted lies an empty folder."""
        with self._ledger.reading() as db:
            row = db.execute("SELECT identity FROM folders WHERE label = ?", (folder.label,)).fetchone()
        return row is None or row[0] == folder.identity

    def _answer(self, batch: Iterable[tuple[Copy, Envelope, str | None]], now: datetime) -> None:
        """Answer for copies that are not touched; one that is gone was removed by another program."""
        failed = [(copy, envelope, reason) for copy, envelope, reason in batch if reason]
        if not failed:
            return
        events = [
            (self._failed(c.file_id, c.copy_id, reason, now), envelope)
            for c, envelope, reason in failed
            if reason != "gone"
        ]
        with self._ledger.transaction() as db:
            evidence.add(db, events, now)
            gone = copies.not_ours_to_end(db, [c.copy_id for c, _, reason in failed if reason == "gone"])
            evidence.vanish(db, gone, self._rules.clinic, self._rules.edge, now)
            _depart(db, gone)

    def _target(self, copy: Copy, quarantine: str | None = None) -> Target:
        name = self._seals.open_name(copy.copy_id, copy.sealed_name)
        return Target(copy.copy_id, name, quarantine or quarantine_name(), copy.stamp, copy.mac)

    def _carry_out(self, folder: int, works: Sequence[Work], taking: "partial[Taken | Failure]") -> None:
        by_key = {work.target.key: work for work in works}
        results = [taking(folder, work.target) for work in works]
        taken = [result for result in results if isinstance(result, Taken)]
        failures = [result for result in results if isinstance(result, Failure)]
        with self._ledger.transaction() as db:
            intents.advance(db, [held.target.key for held in taken], Phase.OVERWRITING)
            self._record_failures(db, failures, by_key)
        self._destroy(folder, taken, by_key)

    def _destroy(self, folder: int, taken: Sequence[Taken], by_key: dict[str, Work]) -> None:
        if not taken:
            return
        filesystem = filesystem_type(taken[0].target.stamp.dev)
        results = list(destroy(folder, taken, filesystem))
        now = self._clock.now()
        wiped = [result for result in results if isinstance(result, Wiped)]
        events = [self._erased(by_key[w.target.key], w, filesystem, now) for w in wiped]
        with self._ledger.transaction() as db:
            self._record(db, events, by_key, now)
            for failure in results:
                if isinstance(failure, Failure):
                    copy = by_key[failure.target.key].copy
                    evidence.add(db, [(self._failed(copy.file_id, copy.copy_id, failure.reason, now), None)], now)
        _log.info("erased", extra={"count": len(wiped)})

    def _record(
        self, db: sqlite3.Connection, events: Sequence[FileErased], by_key: dict[str, Work], now: datetime
    ) -> None:
        written = [_continuing(event, by_key[event.copy_id].intent, now) for event in events]
        intents.finish(db, [(e.copy_id, w.body) for e, w in zip(events, written, strict=True)])
        copies.mark_gone(db, [event.copy_id for event in events], Custody.ERASED, now)
        _depart(db, [by_key[event.copy_id].copy for event in events])
        evidence.add_written(db, written)

    def _record_failures(self, db: sqlite3.Connection, failures: Sequence[Failure], by_key: dict[str, Work]) -> None:
        now = self._clock.now()
        stranded = [failure.target.key for failure in failures if failure.is_stranded]
        intents.advance(db, stranded, Phase.STRANDED)
        intents.drop(db, [failure.target.key for failure in failures if not failure.is_stranded])
        for failure in failures:
            copy = by_key[failure.target.key].copy
            if failure.reason == "gone":
                evidence.vanish(db, [copy], self._rules.clinic, self._rules.edge, now)
                _depart(db, [copy])
            elif by_key[failure.target.key].intent.phase is not Phase.STRANDED:
                evidence.add(db, [(self._failed(copy.file_id, copy.copy_id, failure.reason, now), None)], now)

    def _erased(self, work: Work, wiped: Wiped | None, filesystem: str, now: datetime) -> FileErased:
        copy = work.copy
        is_overwritten = wiped is not None and wiped.read_back == copy.stamp.size
        return FileErased(
            **self._whose(),
            file_id=copy.file_id,
            copy_id=copy.copy_id,
            level="L1" if is_overwritten else "L0",
            method=OVERWRITTEN if is_overwritten else REMOVED,
            mac=copy.mac,
            size=copy.stamp.size,
            first_seen_at=copy.seen_at,
            stored_at=copy.stored_at,
            intended_at=work.intent.intended_at,
            erased_at=now,
            verified_absent=wiped.is_absent if wiped else True,
            bytes_read_back=wiped.read_back if wiped else 0,
            filesystem=filesystem,
            clock_offset_seconds=self._clock.offset_seconds(),
            preconditions=SEEN_HERE,
            software=SOFTWARE,
        )

    # After a crash, and for what could not be finished

    def unfinished(self) -> frozenset[str]:
        """Name the copies whose erasure has begun and not ended."""
        with self._ledger.reading() as db:
            return frozenset(intent.copy_id for intent in intents.unfinished(db))

    def recover(self) -> None:
        """Finish what was begun. Harmless to call at any time; does nothing in a folder that is away."""
        with self._ledger.reading() as db:
            open_ = intents.unfinished(db)
            known = copies.find(db, [intent.copy_id for intent in open_])
        for intent in open_:
            copy = known[intent.copy_id]
            share = self._folders.labelled(copy.folder)
            descriptor = _descriptor(share)
            if share is not None and descriptor is not None:
                work = Work(copy, self._target(copy, intent.quarantine), intent)
                self._resume(descriptor, work, is_known=self._is_known(share))

    def _resume(self, folder: int, work: Work, *, is_known: bool) -> None:
        is_quarantined = inspect(folder, _as_quarantined(work.target)) != "gone"
        if not (is_quarantined or is_known):
            return
        if work.intent.phase is Phase.OVERWRITING:
            if is_quarantined:
                self._finish_overwriting(folder, work)
            else:
                self._finish_unseen(work)
        elif is_quarantined and work.intent.phase is Phase.INTENDED:
            self._carry_out(folder, [work], partial(take_quarantined, mac_of=self._seals.content_mac))
        elif is_quarantined:
            failure = give_back(folder, work.target, "changed")
            if not failure.is_stranded:
                self._drop(work)
        else:
            # The rename did not happen, or another program removed the file: the scan will say which.
            self._drop(work)

    def _finish_overwriting(self, folder: int, work: Work) -> None:
        held = reopen(folder, work.target)
        if isinstance(held, Taken):
            self._destroy(folder, [held], {work.target.key: work})

    def _finish_unseen(self, work: Work) -> None:
        """It is gone and nobody saw how far the overwriting went: only the removal is certified."""
        now = self._clock.now()
        event = self._erased(work, None, filesystem_type(work.copy.stamp.dev), now)
        with self._ledger.transaction() as db:
            self._record(db, [event], {work.target.key: work}, now)

    def _drop(self, work: Work) -> None:
        with self._ledger.transaction() as db:
            intents.drop(db, [work.copy.copy_id])


def _as_quarantined(target: Target) -> Target:
    return Target(target.key, target.quarantine, target.quarantine, target.stamp, target.mac)


def _descriptor(folder: ShareFolder | None) -> int | None:
    if folder is None:
        return None
    try:
        return folder.descriptor()
    except ShareAwayError:
        return None


def _depart(db: sqlite3.Connection, gone: Iterable[Copy]) -> None:
    """Let the capturing thread forget them."""
    db.executemany("INSERT OR IGNORE INTO departed (copy_id) VALUES (?)", [(copy.copy_id,) for copy in gone])


def _continuing(event: FileErased, intent: Intent, now: datetime) -> WireEvent:
    fresh = write(enclose(event, now))
    return WireEvent(
        fresh.id,
        fresh.type,
        fresh.exchange,
        fresh.routing_key,
        fresh.batched,
        fresh.body,
        fresh.at,
        intent.cause,
        intent.correlation,
        intent.traceparent,
    )


def _again(intent: Intent, now: datetime) -> WireEvent:
    return _continuing(FileErased.model_validate_json(intent.evidence or b""), intent, now)
