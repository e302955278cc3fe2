"""Reconciliation (突合): whose result is it, and what differs from the chart?

Queue    reconciliation
Listens  record.parsed, patients.changed
Emits    record.reconciled; file.rejected for another person's answer to a request of ours
Parks    file_unknown; key_missing, seal_broken, record_unreadable, record_missing: its record cannot be read
Repeats  safe: a file with a receipt is not decided again by an event, unless that tells of a later reading of its
         original; else only a new list or a person changes a result
Waits    without a patient list results are kept as `waiting`; `due` decides them by the same code once one is here
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from consumers.reconciliation.decision import Case, Decided, Foreign, decide_file
from consumers.reconciliation.facts import FileFacts, Gatherer
from consumers.reconciliation.ledger import FOREIGN_ANSWER, Finish, Ledger, WriteResults
from consumers.reconciliation.patient_list import (
    Lists,
    PreparedPart,
    TakePart,
    apply_part,
    decide_part,
    gather_lists,
    prepare_part,
    remove_old_rows,
)
from consumers.reconciliation.rematch import files_to_rematch, rematch
from consumers.reconciliation.reread import decide_again, is_behind
from pipeline.consumer import Consumer
from pipeline.custody import FileOutcome
from pipeline.envelope import Envelope
from pipeline.events import FileRejected, PatientsChanged, RecordParsed, RecordReconciled
from pipeline.keyring import Keyring
from pipeline.outcome import NOTHING, Outcome
from pipeline.sealing import Opener, Sealer
from pipeline.settings import Settings
from pipeline.storage import sizes
from pipeline.storage.schema import files
from pipeline.topology import Role

Prepared = RecordParsed | PreparedPart


@dataclass(frozen=True, slots=True, repr=False)
class Facts:
    """Of one batch: files by id, and the lists of each clinic that sent a part."""

    files: Mapping[str, FileFacts] = field(default_factory=dict)
    lists: Mapping[str, Lists] = field(default_factory=dict)


class Reconciliation(Consumer[Prepared, Facts]):
    role = Role.RECONCILIATION
    listens = (RecordParsed, PatientsChanged)

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._sealer = Sealer()
        self._gatherer = Gatherer(keyring, self._opener)
        self._ledger = Ledger(keyring, self._sealer)

    def prepare(self, envelope: Envelope) -> Prepared:
        event = envelope.event
        if isinstance(event, PatientsChanged):
            return prepare_part(event, self._keyring, self._opener, self._sealer)
        assert isinstance(event, RecordParsed)
        return event

    def key(self, prepared: Prepared) -> Hashable:
        # The parts of one clinic are taken in one after the other: each is judged by those that are here.
        return prepared.file_id if isinstance(prepared, RecordParsed) else ("patients", prepared.event.clinic)

    def gather(self, connection: Connection, batch: Sequence[Prepared]) -> Facts:
        parts = [prepared.event for prepared in batch if isinstance(prepared, PreparedPart)]
        lists = {event.clinic: gather_lists(connection, event) for event in sorted(parts, key=lambda e: e.clinic)}
        parsed = [prepared.file_id for prepared in batch if isinstance(prepared, RecordParsed)]
        sizes.check(connection, set(parsed), files.c.sealed_record)
        return Facts(self._gatherer.files(connection, parsed), lists)

    def decide(self, prepared: Prepared, facts: Facts, now: datetime) -> Outcome:
        del now
        if isinstance(prepared, PreparedPart):
            write = decide_part(prepared, facts.lists[prepared.event.clinic])
            return NOTHING if write is None else Outcome(write.word, writes=(write,))
        file = facts.files.get(prepared.file_id)
        if file is None:
            return Outcome("file_unknown", park="file_unknown")
        if file.was_decided and is_behind(file, prepared.revision):
            return decide_again(file, prepared.revision, self._opener)
        return decide_first(file, prepared.revision)

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        writes = [write for outcome in outcomes for write in outcome.writes]
        self._ledger.write(connection, writes, now)
        for write in writes:
            if isinstance(write, TakePart):
                apply_part(connection, write, now)

    def due(self, connection: Connection, now: datetime) -> Sequence[Outcome]:
        del now
        chosen = files_to_rematch(connection, [clinic.id for clinic in self._settings.clinics])
        if not chosen:
            remove_old_rows(connection)
            return ()
        # The rest are still due a second later.
        first = sizes.fitting(connection, chosen, files.c.sealed_record)
        facts = self._gatherer.files(connection, first)
        return [
            outcome
            for file_id in first
            if file_id in facts
            for outcome in rematch(facts[file_id], chosen[file_id], self._opener)
        ]


def decide_first(file: FileFacts, revision: int) -> Outcome:
    """Decide a file whose record has just been parsed; one that was decided before stays as it is."""
    was_kept = bool(file.held) and not is_behind(file, revision)
    if file.outcome != FileOutcome.PENDING.value or file.was_decided or was_kept:
        return NOTHING
    if file.fault is not None:
        return Outcome(file.fault.reason, park=file.fault.reason)
    if file.case is None:
        return Outcome("record_missing", park="record_missing")
    if file.list_id is None:
        return _wait(file, file.case)
    decided = decide_file(file.case)
    if isinstance(decided, Foreign):
        return reject_foreign(file)
    rows = WriteResults(
        file.file_id, file.clinic, file.revision, tuple(enumerate(decided)), file.processed_at, file.list_id
    )
    return Outcome(
        "reconciled", (reconciled(file, file.revision, decided),), (rows, Finish(file.file_id, file.revision))
    )


def _wait(file: FileFacts, case: Case) -> Outcome:
    """Keep what the file says until there is a list. Whether an answer is another person's is known without one."""
    decided = decide_file(case)
    if isinstance(decided, Foreign):
        return reject_foreign(file)
    rows = WriteResults(file.file_id, file.clinic, file.revision, tuple(enumerate(decided)), file.processed_at, None)
    return Outcome("waiting", writes=(rows,))


def reject_foreign(file: FileFacts) -> Outcome:
    """Refuse the answer to a request of ours that is about somebody else."""
    event = FileRejected(clinic=file.clinic, file_id=file.file_id, reason=FOREIGN_ANSWER)
    return Outcome(FOREIGN_ANSWER, (event,), (Finish(file.file_id, file.revision, is_foreign=True),))


def reconciled(file: FileFacts, revision: int, decided: Sequence[Decided]) -> RecordReconciled:
    return RecordReconciled(
        clinic=file.clinic,
        file_id=file.file_id,
        revision=revision,
        needs_review=any(row.needs_review for row in decided),
    )
