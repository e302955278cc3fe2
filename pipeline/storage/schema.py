"""Every table of the store: what is kept, under which key, and who writes it?

What belongs to a patient is in `sealed_…` columns (`pipeline.sealing`) or is a keyed hash (`…_hash`, hex). Instants
are `Moment`: aware UTC. Design section 6.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from pipeline.storage.clinical_tables import clinical_answers
from pipeline.storage.columns import Moment, identifier, metadata
from pipeline.storage.reference_tables import booking_lists, bookings, reference_numbers, schedules
from pipeline.storage.schema_consents import fetch_runs, unheld_answers
from pipeline.storage.schema_vendors import vendor_held

__all__ = [
    "booking_lists",
    "bookings",
    "clinical_answers",
    "fetch_runs",
    "metadata",
    "reference_numbers",
    "schedules",
    "unheld_answers",
    "vendor_held",
]

files = Table(
    "files",
    metadata,
    identifier("file_id", primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("terminal", String(31), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("outcome", String(12), nullable=False),  # Outcome
    Column("reason", String(40)),
    Column("revision", Integer, nullable=False, default=1),
    Column("correlation_hash", String(64)),  # keyed hash of the request's base name, where the name carries one
    Column("suffix", String(8), nullable=False),
    Column("sealed_original", LargeBinary),  # SealedFile
    Column("original_key", String(16)),  # id of the key it is sealed to, for key epochs
    Column("sealed_record", LargeBinary),  # the typed record as JSON
    Column("processed_at", Moment),  # ProcessExecutionTime of the message
    Column("captured_at", Moment, nullable=False),
    Column("stored_at", Moment, nullable=False),
    Column("outcome_at", Moment),
    Column("settled_at", Moment),
    Index("files_by_clinic", "clinic", "stored_at"),
    Index("files_open", "outcome", "settled_at"),
    Index("files_by_correlation", "clinic", "correlation_hash"),
)
"""One row per content and correlation in a clinic. Parsing writes it, deletion sets outcome and settled_at."""

copies = Table(
    "copies",
    metadata,
    identifier("copy_id", primary_key=True),
    identifier("file_id", nullable=False),
    Column("clinic", String(31), nullable=False),
    Column("terminal", String(31), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("custody", String(10), nullable=False),  # Custody
    Column("reason", String(40)),
    Column("sealed_name", LargeBinary, nullable=False),
    Column("mac", String(64)),
    Column("size", BigInteger, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("captured_at", Moment),
    Column("stored_at", Moment),
    Column("gone_at", Moment),
    Column("ordered_until", Moment),  # the lease of the last erasure order
    Column("orders", Integer, nullable=False, default=0),
    Column("erasure_fault", String(40)),
    Index("copies_by_file", "file_id"),
    Index("copies_by_custody", "custody", "ordered_until"),
    Index("copies_by_terminal", "clinic", "terminal"),
)
"""One row per place a file lay. Parsing writes it, deletion moves its custody."""

receipts = Table(
    "receipts",
    metadata,
    identifier("file_id", primary_key=True),
    Column("consumer", String(20), primary_key=True),
    Column("result", String(12), nullable=False),  # done | discarded
    Column("at", Moment, nullable=False),
)
"""Which consumer has finished with which file (precondition C5)."""

results = Table(
    "results",
    metadata,
    identifier("file_id", primary_key=True),
    Column("result", Integer, primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(10), nullable=False),  # waiting | open | closed
    Column("verdicts", Text, nullable=False),  # codes, blank-separated, in the order of the table of verdicts
    Column("needs_review", Boolean, nullable=False),
    Column("sealed_result", LargeBinary, nullable=False),  # ResultDetail
    Column("person_hash", String(64)),
    Column("patient_hash", String(64)),
    Column("list_id", String(36)),  # the patient list it was decided with
    Column("processed_at", Moment),
    Column("decided_at", Moment, nullable=False),
    Column("confirmed_by", String(31)),
    Column("confirmed_at", Moment),
    Column("reference_due", Boolean, nullable=False, default=False),  # consent has not looked at its reference number
    Index("results_open", "clinic", "state"),
    Index("results_reference_due", "clinic", "reference_due"),
    Index("results_by_time", "clinic", "decided_at"),
)
"""The result list (資格確認結果一覧): one row per person in a file. Reconciliation writes it."""

decisions = Table(
    "decisions",
    metadata,
    identifier("decision_id", primary_key=True),
    identifier("file_id", nullable=False),
    Column("result", Integer, nullable=False),
    Column("clinic", String(31), nullable=False),
    Column("action", String(10), nullable=False),  # confirm | reopen
    Column("staff", String(31), nullable=False),
    Column("sealed_reason", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    Index("decisions_by_file", "file_id", "result"),
)
"""What people decided, append-only."""

patient_lists = Table(
    "patient_lists",
    metadata,
    identifier("list_id", primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("taken_at", Moment, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("state", String(10), nullable=False),  # arriving | current | replaced | refused
    Column("reason", String(40)),
    Column("current_at", Moment),
    Index("patient_lists_by_clinic", "clinic", "state"),
)

patient_parts = Table(
    "patient_parts",
    metadata,
    identifier("list_id", primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""Parts of lists still arriving; emptied when the list is current."""

patients = Table(
    "patients",
    metadata,
    identifier("list_id", primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

patient_hashes = Table(
    "patient_hashes",
    metadata,
    identifier("list_id", primary_key=True),
    Column("hash", String(64), primary_key=True),
    Column("row", Integer, primary_key=True),
)
"""How patients are found: keyed hashes of patient id, insurance, kana + birthdate and birthdate, one namespace each."""

grants = Table(
    "grants",
    metadata,
    identifier("grant_id", primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("terminal", String(31), nullable=False),
    identifier("file_id", nullable=False),
    Column("person_hash", String(64), nullable=False),
    Column("patient_hash", String(64)),
    Column("category", String(20), nullable=False),
    Column("source", String(10), nullable=False),  # reader | visit | online | emergency | disaster
    Column("granted", Boolean, nullable=False),
    Column("consented_at", Moment, nullable=False),
    Column("until", Moment),
    Column("may_request", Boolean, nullable=False),  # false for vendor spellings
    Column("validity", String(1)),  # 資格有効性 of the answer it came with
    Column("sealed_person", LargeBinary),  # what a request needs to name the person
    Column("recorded_at", Moment, nullable=False),
    Index("grants_by_person", "clinic", "person_hash", "category"),
)
"""The consent ledger, append-only: one row per answer of a patient."""

standings = Table(
    "standings",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("person_hash", String(64), primary_key=True),
    Column("category", String(20), primary_key=True),
    Column("source", String(10), primary_key=True),
    identifier("grant_id", nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("consented_at", Moment, nullable=False),
    Column("until", Moment),
    Column("expiring_at", Moment),  # when it is to be announced as expiring
    Column("expiring_told", Boolean, nullable=False, default=False),
    Column("expired_told", Boolean, nullable=False, default=False),
    Column("fetch_at", Moment),  # when it is to be seen what may be asked under it; none: seen
    Index("standings_fetch", "fetch_at"),
    Index("standings_expiring", "expiring_told", "expiring_at"),
    Index("standings_expired", "expired_told", "until"),
)
"""The newest answer of each person and category; derived from `grants`, kept for the schedule."""

requests = Table(
    "requests",
    metadata,
    identifier("request_id", primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("terminal", String(31), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("state", String(12), nullable=False),  # wanted|placed|answered|refused|timed_out|expired|withdrawn
    Column("reason", String(40)),
    Column("category", String(20)),
    Column("base_hash", String(64), nullable=False),  # keyed hash of the base name
    Column("person_hash", String(64)),
    Column("patient_hash", String(64)),
    Column("sealed_request", LargeBinary, nullable=False),  # RequestFile
    Column("sealed_message", LargeBinary),  # RequestMessage: what the service said
    Column("grant_id", String(36)),
    Column("treatment_grant_id", String(36)),  # the second grant a request with treatments needs
    Column("file_category", String(1)),  # FileCategory of a history request
    identifier("answer_file_id"),
    identifier("inquiry_id"),  # of one inquiry made in several requests: a bulk upload and its downloads, months
    Column("phase", String(2), nullable=False, default="01"),  # 02: a download of a bulk exchange
    Column("attempt", Integer, nullable=False, default=1),  # which download of its exchange it is
    Column("period", String(6)),  # YYYYMM, the month a medication request asks for; none: a range or no month
    Column("asked_by", String(31), nullable=False),  # staff id, or `consent` or `schedule`
    Column("wanted_at", Moment, nullable=False),
    Column("not_before", Moment),  # it is not ordered earlier
    Column("window_until", Moment),
    Column("wanted_until", Moment),  # how long it may wait to be placed; none: until withdraw_at
    Column("withdraw_at", Moment, nullable=False),
    Column("ordered_until", Moment),
    Column("placed_at", Moment),
    Column("ended_at", Moment),
    Index("requests_by_base", "clinic", "base_hash"),
    Index("requests_by_state", "state", "ordered_until"),
    Index("requests_by_inquiry", "inquiry_id"),
    Index("requests_by_person", "clinic", "person_hash", "kind"),
)

deliveries = Table(
    "deliveries",
    metadata,
    identifier("file_id", primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("wanted_revision", Integer, nullable=False),
    Column("done_revision", Integer, nullable=False, default=0),
    Column("state", String(10), nullable=False),  # wanted | done | refused
    Column("reason", String(40)),
    Column("receipt", String(128)),
    Column("wanted_at", Moment, nullable=False),
    Column("done_at", Moment),
    Index("deliveries_by_state", "state", "wanted_at"),
)

holds = Table(
    "holds",
    metadata,
    identifier("hold_id", primary_key=True),
    identifier("file_id", nullable=False),
    Column("clinic", String(31), nullable=False),
    Column("state", String(10), nullable=False),  # asked | kept | missed | released
    Column("staff", String(31), nullable=False),
    Column("sealed_reason", LargeBinary, nullable=False),
    Column("set_at", Moment, nullable=False),
    Column("ordered_until", Moment),
    Column("released_at", Moment),
    Column("released_by", String(31)),
    Column("sealed_release_reason", LargeBinary),
    Index("holds_by_file", "file_id"),
)

hold_answers = Table(
    "hold_answers",
    metadata,
    identifier("hold_id", primary_key=True),
    identifier("copy_id", primary_key=True),
    Column("kept", Boolean, nullable=False),
    Column("at", Moment, nullable=False),
)

certificates = Table(
    "certificates",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    identifier("copy_id", nullable=False, unique=True),
    identifier("file_id", nullable=False),
    Column("content", Text, nullable=False),  # canonical JSON of what is certified
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", Moment, nullable=False),
)
"""Erasure certificates, hash-chained per clinic."""

heads = Table(
    "heads",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("at", Moment, nullable=False),
)
"""Signed heads of the certificate chains, hourly."""

access_log = Table(
    "access_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("staff", String(31), nullable=False),
    Column("os_user", String(64), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(80), nullable=False),  # file, copy, certificate ids; never a patient datum
    Column("result", String(20), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

edges = Table(
    "edges",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("edge", String(31), primary_key=True),
    Column("last_seen", Moment, nullable=False),
    Column("report", Text, nullable=False),  # EdgeReported as JSON
    Column("clock_offset_seconds", String(20)),
)

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", String(20), primary_key=True),
    identifier("event_id", primary_key=True),
    Column("at", Moment, nullable=False),
)
"""Which events a consumer has handled, written in the transaction of their effect."""

outbox = Table(
    "outbox",
    metadata,
    identifier("event_id", primary_key=True),
    Column("number", BigInteger, nullable=False),  # order of writing, per consumer
    Column("consumer", String(20), nullable=False),
    Column("cause", String(36), nullable=False),
    Column("correlation", String(36), nullable=False),
    Column("type", String(30), nullable=False),
    Column("exchange", String(30), nullable=False),
    Column("routing_key", String(120), nullable=False),
    Column("batched", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("traceparent", String(55), nullable=False),
    Column("at", Moment, nullable=False),
    Column("left_at", Moment, nullable=False),  # when somebody last took it in hand to send it
    Column("sent_at", Moment),
    Column("again_at", Moment),  # when it is published again while its file is not final; none: never again
    Index("outbox_unsent", "sent_at", "left_at"),
    Index("outbox_by_cause", "consumer", "cause"),
    Index("outbox_again", "consumer", "again_at"),
    Index("outbox_by_correlation", "correlation"),
)
"""What a consumer has to say, written in the transaction of its effect; bodies carry nothing unsealed."""

parked = Table(
    "parked",
    metadata,
    identifier("parked_id", primary_key=True),
    Column("consumer", String(20), nullable=False),
    identifier("event_id", nullable=False),
    Column("clinic", String(31)),
    Column("correlation", String(36)),
    Column("type", String(30), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("state", String(12), nullable=False),  # parked | replaying | replayed | discarded
    Column("attempts", Integer, nullable=False),
    Column("routing_key", String(120), nullable=False),
    Column("content_type", String(60), nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("parked_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("staff", String(31)),
    Column("sealed_reason", LargeBinary),  # why it was discarded
    Index("parked_by_state", "state", "consumer"),
    UniqueConstraint("consumer", "event_id", name="parked_once"),
)
"""Messages a consumer could not handle, byte for byte; the truth for list, show, replay and discard."""
