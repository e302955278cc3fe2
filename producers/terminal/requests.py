"""Which request files of ours lie in `req`, and may this one be placed now?

A request is placed once however often it is ordered. Its times are checked again at the moment of writing. One that
nobody takes before its time-out is taken back and overwritten. Design sections 7 and 9; oqs-interface section 1.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pipeline.contents import ContentsError, SealedFile
from pipeline.envelope import Envelope
from pipeline.events import Event, RequestPlace, RequestPlaced, RequestRefused, RequestWithdrawn
from pipeline.oqs.names import FileName, Folder, parse_name
from pipeline.sealing import UnsealError
from pipeline.topology import Edge
from producers.terminal import evidence
from producers.terminal.folders import Folders, ShareAwayError
from producers.terminal.handles import ObstacleError, Stamp, filesystem_type, look, rename_new, write_all
from producers.terminal.ledger import Ledger, from_micros, to_micros
from producers.terminal.seals import Seals
from producers.terminal.trust import EdgeClock
from producers.terminal.wipe import (
    Taken,
    Target,
    Wiped,
    destroy,
    inspect,
    names_in,
    quarantine_name,
    reopen,
    take,
)

WINDOW_MARGIN = timedelta(seconds=60)
"""How long before a consent's limit nothing is asked any more (design section 9)."""
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSING = frozenset({"clock", "expired", "share_away"})
"""Refusals that may be over when the request is ordered again: the clock was set right, the new order is fresh, the
folders are there again. Nothing was written.
"""
_log = logging.getLogger("onshi.terminal")


class State(StrEnum):
    PLACING = "placing"
    PLACED = "placed"
    TAKEN = "taken"
    WITHDRAWING = "withdrawing"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """One request of ours. Its name is random and tells nothing of a patient."""

    request_id: str
    base_name: str
    state: State
    reason: str | None
    temporary: str
    """The temporary name while placing; the quarantine name while withdrawing."""
    stamp: Stamp | None
    mac: str | None = field(repr=False)
    placed_at: datetime | None
    withdraw_at: datetime
    ended_at: datetime | None


class RefusedError(Exception):
    """It is not placed; `reason` is told to the centre."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Requests:
    """Belongs to the thread of the orders; `is_ours` may be asked by any thread."""

    def __init__(self, edge: Edge, *, folders: Folders, ledger: Ledger, seals: Seals, clock: EdgeClock) -> None:
        self._clinic = edge.clinic
        self._edge = edge.edge
        self._folders = folders
        self._ledger = ledger
        self._seals = seals
        self._clock = clock
        with ledger.reading() as db:
            rows = _select(db, "state != 'refused'", ())
        self._ours = {row.base_name.lower() for row in rows}

    def is_ours(self, correlation: str) -> bool:
        return correlation.lower() in self._ours

    def place(self, envelope: Envelope, order: RequestPlace) -> None:
        """Place a request, or answer again for one that was placed. Dropped silently when the lease has passed.

        Raises:
            sqlite3.Error: nothing was promised; the order comes again.
        """
        now = self._clock.now()
        if now >= order.until:
            return
        with self._ledger.reading() as db:
            held = _select(db, "request_id = ?", (order.request_id,))
        if held:
            is_anew = self._is_to_be_placed_anew(held[0])
            if is_anew is None:
                _log.warning("request left undecided", extra={"request_id": order.request_id})
                return
            if not is_anew:
                self._answer_again(held[0].request_id, envelope, now)
                return
        try:
            self._place(envelope, order, now)
        except RefusedError as refused:
            self._refuse(envelope, order, refused.reason, now)

    def _place(self, envelope: Envelope, order: RequestPlace, now: datetime) -> None:
        try:
            inside = self._seals.open_request(order.request_id, order.sealed)
        except (UnsealError, ContentsError):
            raise RefusedError("unreadable") from None
        name = parse_name(inside.name)
        if name is None or not name.belongs_in(Folder.REQ):
            raise RefusedError("unreadable")
        self._check_times(order, now)
        try:
            self._check_names(name, inside.name)
        except (ShareAwayError, OSError):
            raise RefusedError("share_away") from None
        try:
            self._write(envelope, order, name, inside)
        except ShareAwayError:
            raise RefusedError("share_away") from None
        except OSError:
            # How far it came cannot be told for certain, so it is not tried again.
            raise RefusedError("folder") from None

    def _check_times(self, order: RequestPlace, now: datetime) -> None:
        if not self._clock.is_reliable():
            raise RefusedError("clock")
        if now >= order.withdraw_at or now >= order.until:
            raise RefusedError("expired")
        if order.window_until is not None and now >= order.window_until - WINDOW_MARGIN:
            raise RefusedError("window")

    def _check_names(self, name: FileName, written: str) -> None:
        # An answer under this name would be taken for the answer to our request.
        for found in names_in(self._folders.res.descriptor()):
            other = parse_name(found)
            if other and other.correlation and name.correlation and _same(other.correlation, name.correlation):
                raise RefusedError("answer_exists")
        if any(_same(found, written) for found in names_in(self._folders.req.descriptor())):
            raise RefusedError("name_taken")

    def _write(self, envelope: Envelope, order: RequestPlace, name: FileName, inside: SealedFile) -> None:
        folder = self._folders.req.descriptor()
        temporary = f".onshi-{os.urandom(12).hex()}.tmp"
        try:
            stamp = _write_new(folder, temporary, inside.content)
            # Writing may have taken its time: the window is checked at the last moment.
            self._check_times(order, self._clock.now())
            self._intend(order, name, temporary, stamp, inside.content)
            rename_new(folder, temporary, inside.name)
        except FileExistsError:
            _remove(folder, temporary)
            raise RefusedError("name_taken") from None
        except (OSError, RefusedError, sqlite3.Error):
            _remove(folder, temporary)
            raise
        with contextlib.suppress(OSError):  # some shares cannot flush a folder
            os.fsync(folder)
        self._settle_placed(order.request_id, envelope)

    def _intend(self, order: RequestPlace, name: FileName, temporary: str, stamp: Stamp, content: bytes) -> None:
        """Durable before the rename: afterwards a crash must not lead to a second request."""
        self._ours.add((name.correlation or name.base_name).lower())
        with self._ledger.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO requests (request_id, base_name, state, temporary, dev, ino, size, mtime_ns,"
                " mac, withdraw_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    *(order.request_id, name.base_name, State.PLACING, temporary, str(stamp.dev), str(stamp.ino)),
                    *(stamp.size, stamp.mtime_ns, self._seals.content_mac(content), to_micros(order.withdraw_at)),
                ),
            )

    def _settle_placed(self, request_id: str, envelope: Envelope | None) -> None:
        now = self._clock.now()
        event = RequestPlaced(clinic=self._clinic, edge=self._edge, request_id=request_id, placed_at=now)
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE requests SET state = ?, placed_at = ? WHERE request_id = ?",
                (State.PLACED, to_micros(now), request_id),
            )
            evidence.add(db, [(event, envelope)], now)
        _log.info("request placed", extra={"request_id": request_id})

    def _refuse(self, envelope: Envelope, order: RequestPlace, reason: str, now: datetime) -> None:
        event = RequestRefused(clinic=self._clinic, edge=self._edge, request_id=order.request_id, reason=reason)
        with self._ledger.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO requests (request_id, base_name, state, reason, temporary, withdraw_at)"
                " VALUES (?, '', ?, ?, '', ?)",
                (order.request_id, State.REFUSED, reason, to_micros(order.withdraw_at)),
            )
            evidence.add(db, [(event, envelope)], now)
        _log.warning("request refused", extra={"request_id": order.request_id, "reason": reason})

    def _is_to_be_placed_anew(self, row: Row) -> bool | None:
        """Say whether it was never placed and may be now: a crash before the rename, or a refusal that has passed.

        A rename that happened is completed here. None: it cannot be seen now whether it happened, and the order comes
        again; placing it would perhaps ask twice.
        """
        if row.state is State.REFUSED:
            return row.reason in _PASSING
        if row.state is not State.PLACING:
            return False
        was_placed = self._complete(row)
        return None if was_placed is None else not was_placed

    def _complete(self, row: Row) -> bool | None:
        """Say whether the rename happened, and settle it; none while the folder cannot be looked into."""
        try:
            folder = self._folders.req.descriptor()
            look(folder, row.temporary)
        except ObstacleError as met:
            if met.reason != "gone":
                return None
            # Its temporary name is gone, so it was renamed; perhaps the service has taken it since.
            self._settle_placed(row.request_id, None)
            return True
        except (ShareAwayError, OSError):
            return None
        _remove(folder, row.temporary)
        with self._ledger.transaction() as db:
            db.execute("DELETE FROM requests WHERE request_id = ?", (row.request_id,))
        return False

    def _answer_again(self, request_id: str, envelope: Envelope, now: datetime) -> None:
        with self._ledger.reading() as db:
            (row,) = _select(db, "request_id = ?", (request_id,))
        with self._ledger.transaction() as db:
            evidence.add(db, [(self._answer(row, now), envelope)], now)

    def _answer(self, row: Row, now: datetime) -> Event:
        if row.state is State.REFUSED:
            return RequestRefused(
                clinic=self._clinic, edge=self._edge, request_id=row.request_id, reason=row.reason or ""
            )
        if row.state is State.WITHDRAWN:
            return RequestWithdrawn(
                clinic=self._clinic, edge=self._edge, request_id=row.request_id, withdrawn_at=row.ended_at or now
            )
        return RequestPlaced(
            clinic=self._clinic, edge=self._edge, request_id=row.request_id, placed_at=row.placed_at or now
        )

    # What became of those that were placed

    def tend(self) -> None:
        """Notice what the service took, complete what a crash interrupted, take back what is overdue."""
        with self._ledger.reading() as db:
            rows = _select(db, "state IN ('placing', 'placed', 'withdrawing')", ())
        if not rows:
            return
        try:
            folder = self._folders.req.descriptor()
        except ShareAwayError:
            return
        now = self._clock.now()
        for row in rows:
            if row.state is State.PLACING:
                self._complete(row)
            elif row.stamp is not None:
                self._tend(folder, row, now)

    def _tend(self, folder: int, row: Row, now: datetime) -> None:
        target = Target(row.request_id, f"{row.base_name}.xml", row.temporary, row.stamp or _NOTHING, row.mac or "")
        if row.state is State.PLACED:
            if inspect(folder, target) in ("gone", "changed", "linked"):
                self._end(row, State.TAKEN, now)
                return
            if now < row.withdraw_at:
                return
            target = Target(target.key, target.name, quarantine_name(), target.stamp, target.mac)
            self._mark_withdrawing(row, target.quarantine)
        self._take_back(folder, row, target, now)

    def _mark_withdrawing(self, row: Row, quarantine: str) -> None:
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE requests SET state = ?, temporary = ? WHERE request_id = ?",
                (State.WITHDRAWING, quarantine, row.request_id),
            )

    def _take_back(self, folder: int, row: Row, target: Target, now: datetime) -> None:
        in_quarantine = Target(target.key, target.quarantine, target.quarantine, target.stamp, target.mac)
        if inspect(folder, in_quarantine) == "gone":
            taken = take(folder, target, self._seals.content_mac)
        else:
            taken = reopen(folder, target)
        if not isinstance(taken, Taken):
            if taken.reason == "gone":
                self._end(row, State.TAKEN, now)
            return
        (result,) = destroy(folder, [taken], filesystem_type(target.stamp.dev))
        if isinstance(result, Wiped):
            self._end(row, State.WITHDRAWN, now)

    def _end(self, row: Row, state: State, now: datetime) -> None:
        event = RequestWithdrawn(clinic=self._clinic, edge=self._edge, request_id=row.request_id, withdrawn_at=now)
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE requests SET state = ?, ended_at = ? WHERE request_id = ?",
                (state, to_micros(now), row.request_id),
            )
            if state is State.WITHDRAWN:
                evidence.add(db, [(event, None)], now)


_NOTHING = Stamp(0, 0, 0, 0)


def _same(one: str, other: str) -> bool:
    """Names differ by more than case; the folders lie on Windows."""
    return one.lower() == other.lower()


def _write_new(folder: int, name: str, content: bytes) -> Stamp:
    handle = os.open(name, _CREATE, 0o644, dir_fd=folder)
    try:
        write_all(handle, content)
        os.fsync(handle)
        return Stamp.of(os.fstat(handle))
    finally:
        os.close(handle)


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _select(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[Row]:
    query = (
        "SELECT request_id, base_name, state, reason, temporary, dev, ino, size, mtime_ns, mac, placed_at,"  # noqa: S608 - fixed
        f" withdraw_at, ended_at FROM requests WHERE {where}"
    )
    return [_row(found) for found in db.execute(query, tuple(values))]


def _row(found: tuple[object, ...]) -> Row:
    request_id, base_name, state, reason, temporary, dev, ino, size, mtime_ns, mac, placed, withdraw, ended = found
    stamp = None if dev is None else Stamp(int(dev), int(ino), int(size), int(mtime_ns))  # type: ignore[call-overload]
    return Row(
        request_id=str(request_id),
        base_name=str(base_name),
        state=State(str(state)),
        reason=None if reason is None else str(reason),
        temporary=str(temporary),
        stamp=stamp,
        mac=None if mac is None else str(mac),
        placed_at=None if placed is None else from_micros(placed),  # type: ignore[arg-type]
        withdraw_at=from_micros(withdraw),  # type: ignore[arg-type]
        ended_at=None if ended is None else from_micros(ended),  # type: ignore[arg-type]
    )
