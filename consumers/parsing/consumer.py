"""What does a file of the terminal say, or why can it not be used?

Queue    parsing
Listens  file.captured; file.reparse: a stored original is read again by today's parser
Emits    file.stored, record.parsed, file.rejected (for vendors)
Parks    unknown_clinic, seal_broken, key_missing: not ours to read; foreign_clinic: another clinic's file;
         bug_…: the parser failed, and the sealed original is stored all the same; no_longer_read: read again, and
         worse than before
Repeats  safe: rows are keyed by file and copy; a second copy of a known file writes only its copy
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from sqlalchemy import Connection, exists, select, update

from consumers.parsing import rereading
from consumers.parsing.reading import Reading, read
from consumers.parsing.rereading import Held, Reread, StoreAgain
from pipeline.consumer import Consumer
from pipeline.contents import SealedFile, file_context, name_context, record_context
from pipeline.custody import Custody, FileOutcome, Receipt
from pipeline.envelope import Envelope
from pipeline.errors import PermanentError
from pipeline.events import Event, FileCaptured, FileRejected, FileReparse, FileStored, RecordParsed
from pipeline.keyring import Keyring
from pipeline.outcome import Outcome
from pipeline.sealing import KeyClass, Opener, Sealer, recipient_of
from pipeline.settings import Settings
from pipeline.storage.engine import insert_new, upsert
from pipeline.storage.schema import copies, files, receipts
from pipeline.topology import Role

FIRST_REVISION = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A captured copy, opened and read."""

    event: FileCaptured
    reading: Reading
    sealed_name: bytes = field(repr=False)
    sealed_record: bytes | None = field(repr=False)
    correlation_hash: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Which files were finished with before, by an earlier copy or an earlier delivery; `held`: those read again;
    `clinics`: whose the known files are.
    """

    finished: frozenset[str]
    clinics: Mapping[str, str]
    held: Mapping[str, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreFile:
    prepared: Prepared
    at: datetime


@dataclass(frozen=True, slots=True)
class StoreCopy:
    prepared: Prepared
    at: datetime


class Parsing(Consumer[Prepared | Reread, Facts]):
    role: ClassVar[Role] = Role.PARSING
    listens: ClassVar[tuple[type[Event], ...]] = (FileCaptured, FileReparse)

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._sealer = Sealer()

    def prepare(self, envelope: Envelope) -> Prepared | Reread:
        event = envelope.event
        assert isinstance(event, FileCaptured | FileReparse)
        clinic = self._settings.clinic(event.clinic)
        if clinic is None:
            raise PermanentError("unknown_clinic")
        identity = self._keyring.identity(event.clinic)
        original = SealedFile.from_bytes(self._opener.open(event.clinic, file_context(event.file_id), event.sealed))
        if isinstance(event, FileReparse):
            again = read(original, clinic)
            base = again.correlation
            hashed = identity.mac("correlation", base.encode()) if base else None
            return Reread(event, again, self._seal_record(self._public_key(event, again), event, again), hashed)
        if identity.mac("content", original.content) != event.mac:
            raise PermanentError("content_changed")
        reading = read(original, clinic)
        public = self._public_key(event, reading)
        # A name may hold a chart number: it is sealed like the content, so that it ends when the content does.
        name = self._sealer.seal(public, event.clinic, name_context(event.copy_id), original.name.encode())
        correlation = reading.correlation
        return Prepared(
            event,
            reading,
            name,
            self._seal_record(public, event, reading),
            identity.mac("correlation", correlation.encode()) if correlation else None,
        )

    def _public_key(self, event: FileCaptured | FileReparse, reading: Reading) -> bytes:
        key_class = KeyClass.CLINICAL if reading.is_clinical else KeyClass.ORIGINAL
        return self._keyring.epoch_key(event.clinic, key_class, event.captured_at)

    def _seal_record(self, public: bytes, event: FileCaptured | FileReparse, reading: Reading) -> bytes | None:
        if reading.record is None:
            return None
        return self._sealer.seal(public, event.clinic, record_context(event.file_id), reading.record)

    def key(self, prepared: Prepared | Reread) -> Hashable:
        return prepared.event.file_id

    def gather(self, connection: Connection, batch: Sequence[Prepared | Reread]) -> Facts:
        ids = sorted({prepared.event.file_id for prepared in batch})
        # A message may have been discarded before its file ever reached the store: then nothing is finished.
        query = (
            select(receipts.c.file_id)
            .join(files, files.c.file_id == receipts.c.file_id)
            .where(receipts.c.consumer == self.role.value, receipts.c.file_id.in_(ids))
        )
        known = connection.execute(select(files.c.file_id, files.c.clinic).where(files.c.file_id.in_(ids)))
        clinics = {row.file_id: row.clinic for row in known}
        again = [prepared for prepared in batch if isinstance(prepared, Reread)]
        return Facts(frozenset(connection.scalars(query)), clinics, rereading.gather(connection, again, self._opener))

    def decide(self, prepared: Prepared | Reread, facts: Facts, now: datetime) -> Outcome:
        if isinstance(prepared, Reread):
            return rereading.decide(prepared, facts.held, now)
        event, reading = prepared.event, prepared.reading
        if facts.clinics.get(event.file_id, event.clinic) != event.clinic:
            raise PermanentError("foreign_clinic")
        stored = FileStored(
            clinic=event.clinic, edge=event.edge, file_id=event.file_id, copy_id=event.copy_id, stored_at=now
        )
        if event.file_id in facts.finished:
            return Outcome("second_copy", (stored,), (StoreCopy(prepared, now),))
        writes = (StoreFile(prepared, now), StoreCopy(prepared, now))
        if reading.bug:
            return Outcome("bug", (stored,), writes, park=reading.bug)
        if reading.outcome is FileOutcome.REJECTED:
            rejected = FileRejected(clinic=event.clinic, file_id=event.file_id, reason=reading.reason or "unknown")
            return Outcome("rejected", (stored, rejected), writes)
        parsed = RecordParsed(
            clinic=event.clinic,
            file_id=event.file_id,
            revision=FIRST_REVISION,
            kind=reading.kind,
            terminal=event.edge,
        )
        return Outcome("parsed", (stored, parsed), writes)

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        new_files = [write for outcome in outcomes for write in outcome.writes if isinstance(write, StoreFile)]
        new_copies = [write for outcome in outcomes for write in outcome.writes if isinstance(write, StoreCopy)]
        upsert(
            connection,
            files,
            [_file_row(write) for write in new_files],
            ("kind", "outcome", "reason", "correlation_hash", "sealed_record", "processed_at", "outcome_at"),
        )
        insert_new(connection, copies, [_copy_row(write) for write in new_copies])
        insert_new(
            connection,
            receipts,
            [
                {
                    "file_id": write.prepared.event.file_id,
                    "consumer": self.role.value,
                    "result": Receipt.DONE.value,
                    "at": write.at,
                }
                for write in new_files
                if not write.prepared.reading.bug
            ],
        )
        again = [write for outcome in outcomes for write in outcome.writes if isinstance(write, StoreAgain)]
        rereading.apply(connection, again)
        _reopen(connection, [write.prepared.event.file_id for write in new_copies])


def _reopen(connection: Connection, file_ids: Sequence[str]) -> None:
    """A copy that came after its file was settled unsettles it, until that copy is gone too."""
    if file_ids:
        # Of a repetition the copy is gone already, and nothing is to be settled anew.
        is_there = exists().where(copies.c.file_id == files.c.file_id, copies.c.gone_at.is_(None))
        settled = files.c.file_id.in_(file_ids) & files.c.settled_at.is_not(None) & is_there
        connection.execute(update(files).where(settled).values(settled_at=None))


def _file_row(write: StoreFile) -> dict[str, object]:
    event, reading = write.prepared.event, write.prepared.reading
    return {
        "file_id": event.file_id,
        "clinic": event.clinic,
        "terminal": event.edge,
        "kind": reading.kind,
        "outcome": reading.outcome.value,
        "reason": reading.reason,
        "revision": FIRST_REVISION,
        "correlation_hash": write.prepared.correlation_hash,
        "suffix": reading.suffix,
        "sealed_original": event.sealed,
        "original_key": recipient_of(event.sealed),
        "sealed_record": write.prepared.sealed_record,
        "processed_at": reading.processed_at,
        "captured_at": event.captured_at,
        "stored_at": write.at,
        "outcome_at": None if reading.outcome is FileOutcome.PENDING else write.at,
    }


def _copy_row(write: StoreCopy) -> dict[str, object]:
    event = write.prepared.event
    return {
        "copy_id": event.copy_id,
        "file_id": event.file_id,
        "clinic": event.clinic,
        "terminal": event.edge,
        "kind": write.prepared.reading.kind,
        "custody": Custody.STORED.value,
        "sealed_name": write.prepared.sealed_name,
        "mac": event.mac,
        "size": event.size,
        "seen_at": event.seen_at,
        "captured_at": event.captured_at,
        "stored_at": write.at,
    }
