"""Every event and order, once: what is said on the wire, and what identifies it?

Facts are in the past tense, orders are imperative. An event carries handles; what belongs to a patient is only ever
inside a `bytes` field, which is always sealed (`pipeline.sealing`). `repr` shows the type and where it came from.
The class name is the type: `FileCaptured` is `file.captured`. Design section 3.
"""

from datetime import datetime

from pipeline.edge_words import fault_of
from pipeline.event import CopyEvent, Event, FileEvent, RevisionEvent, derive_id
from pipeline.key_events import KeysPublished
from pipeline.list_events import BookingsChanged, PatientsChanged
from pipeline.topology import CHART_EDGE, Exchange

__all__ = ["BookingsChanged", "CopyEvent", "Event", "FileEvent", "PatientsChanged", "RevisionEvent", "derive_id"]


class FileCaptured(CopyEvent):
    """A copy was read whole and lies in the spool. `sealed` holds name, folder and content (`SealedFile`)."""

    subject, verb, exchange = "file", "captured", Exchange.INTAKE
    kind: str
    size: int
    mac: str
    """Keyed hash of the content, hex."""
    sealed: bytes
    seen_at: datetime
    captured_at: datetime


class FileRefused(CopyEvent):
    """A copy lies there that is not taken; it stays untouched. `sealed_name` is for people."""

    subject, verb, exchange = "file", "refused", Exchange.INTAKE
    is_evidence = True
    reason: str
    size: int
    sealed_name: bytes
    seen_at: datetime


class FileErased(CopyEvent):
    """The evidence for one certificate. `level` is what was reached, never more (L0 removed, L1 overwritten)."""

    subject, verb, exchange, batched = "file", "erased", Exchange.INTAKE, True
    is_evidence = True
    level: str
    method: str
    mac: str
    size: int
    first_seen_at: datetime
    stored_at: datetime | None
    intended_at: datetime
    erased_at: datetime
    verified_absent: bool
    bytes_read_back: int
    filesystem: str
    clock_offset_seconds: float | None
    preconditions: tuple[str, ...]
    """The preconditions C1–C8 that the edge saw."""
    software: str


class FileVanished(CopyEvent):
    """A copy is gone that we did not erase: another program removed it."""

    subject, verb, exchange, batched = "file", "vanished", Exchange.INTAKE, True
    is_evidence = True
    noticed_at: datetime


class ErasureFailed(CopyEvent):
    """The copy still lies there.

    `reason` groups: changed, linked, held, clock, permission, share_away, too_young, rescue, unproven, unknown, io.
    """

    subject, verb, exchange = "erasure", "failed", Exchange.INTAKE
    is_evidence = True
    reason: str
    failed_at: datetime

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.copy_id, self.failed_at.isoformat())


class HoldKept(CopyEvent):
    """The edge will not erase this copy while the hold stands."""

    subject, verb, exchange = "hold", "kept", Exchange.INTAKE
    is_evidence = True
    hold_id: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.copy_id, self.hold_id)


class HoldMissed(HoldKept):
    """The erasure had already begun or was done."""

    verb = "missed"


class RequestEvent(Event):
    """About one request of ours to the service."""

    is_evidence = True
    request_id: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.request_id,)


class RequestPlaced(RequestEvent):
    """The request file lies in `req` under its final name."""

    subject, verb, exchange = "request", "placed", Exchange.INTAKE
    placed_at: datetime


class RequestRefused(RequestEvent):
    """The terminal did not place it.

    `reason` groups: expired, window, clock, answer_exists, name_taken, folder, unreadable.
    """

    subject, verb, exchange = "request", "refused", Exchange.INTAKE
    reason: str

    @property
    def identity(self) -> tuple[str, ...]:
        # A request refused for its clock is ordered again and may be refused for something else.
        return (self.request_id, self.reason)


class RequestWithdrawn(RequestEvent):
    """Nobody took the request file before its time-out; it was taken back and erased."""

    subject, verb, exchange = "request", "withdrawn", Exchange.INTAKE
    withdrawn_at: datetime


class EdgeReported(Event):
    """How an edge is, every 60 s. Counts and sizes only."""

    subject, verb, exchange = "edge", "reported", Exchange.INTAKE
    reported_at: datetime
    software: str
    custody: dict[str, int]
    """Copies by custody as the edge's ledger has them."""
    backlog: int
    oldest_seconds: float
    free_bytes: int
    clock_reliable: bool
    spool_bytes: int = 0
    spool_segments: int = 0
    spool_files: int = 0
    spool_oldest_at: datetime | None = None
    """When the oldest file that the spool still holds was captured."""
    spool_until: datetime | None = None
    """When the next segment may go; none while the centre does not have all of any."""
    ballast_bytes: int = 0
    """Room kept for a full disk; 0: it is spent, or none is kept."""
    standing_key: str = ""
    """Id of the key that it seals to where there is no month; none while it cannot say, or keeps what is older."""
    faults: tuple[str, ...] = ()
    """What is wrong now, each an `EdgeFault`; an edge of another release may know more."""

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.reported_at.isoformat(),)

    @property
    def known_faults(self) -> tuple[str, ...]:
        """What is wrong, in no word that the edge made up."""
        return tuple(sorted({fault_of(word) for word in self.faults}))


# From the chart


class DeliveryDone(RevisionEvent):
    """The chart has it; `receipt` is what the chart or its folder gave as proof (no patient datum)."""

    subject, verb, exchange, batched = "delivery", "done", Exchange.INTAKE, True
    receipt: str
    done_at: datetime


class DeliveryRefused(RevisionEvent):
    """The chart will never take it as it is. A person must look, but where it was sealed to a former key."""

    subject, verb, exchange = "delivery", "refused", Exchange.INTAKE
    reason: str
    """A `Refusal`, or a word that others do not read."""
    sealed_to: str = ""
    """Id of the key that the chart has not got; empty for any other reason, and from a release before."""

    @property
    def identity(self) -> tuple[str, ...]:
        # Sealed anew it is another order, of which the chart may say something else, or the same once more.
        return (*super().identity, self.sealed_to) if self.sealed_to else super().identity


# From the centre


class FileStored(CopyEvent):
    """Order to the terminal: the sealed original is in the store; stop publishing it again."""

    subject, verb, exchange, batched = "file", "stored", Exchange.EVENTS, True
    stored_at: datetime


class EvidenceStored(Event):
    """Order to the terminal: the centre has this evidence; say it no more."""

    subject, verb, exchange, batched = "evidence", "stored", Exchange.EVENTS, True
    evidence_id: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.evidence_id,)


class FileReparse(FileEvent):
    """Order to parsing: read a stored original again. `sealed` is the original as the store has it (`SealedFile`)."""

    subject, verb, exchange = "file", "reparse", Exchange.EVENTS
    asked_id: str
    """Of the asking: each asking is a new order."""
    sealed: bytes
    captured_at: datetime

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.file_id, self.asked_id)


class RecordParsed(RevisionEvent):
    """The typed record is in the store. `kind` is the message kind."""

    subject, verb, exchange = "record", "parsed", Exchange.EVENTS
    kind: str
    terminal: str


class RecordReconciled(RevisionEvent):
    """The verdicts of one revision are in the store."""

    subject, verb, exchange = "record", "reconciled", Exchange.EVENTS
    needs_review: bool


class DeliveryWanted(RevisionEvent):
    """Not a lease: it stays in the chart's queue until the chart has it. `sealed` holds a `SealedDelivery`."""

    subject, verb, exchange = "delivery", "wanted", Exchange.EVENTS
    edge: str = CHART_EDGE
    sealed: bytes


class ErasureOrder(CopyEvent):
    """Order: erase this copy, if every precondition of the edge holds and `until` has not passed."""

    subject, verb, exchange, batched = "erasure", "order", Exchange.EVENTS, True
    order_id: str
    until: datetime
    preconditions: tuple[str, ...]
    """The preconditions that the centre saw."""

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.copy_id, self.order_id)


class HoldSet(CopyEvent):
    """Order: do not erase this copy, whatever other order comes."""

    subject, verb, exchange = "hold", "set", Exchange.EVENTS
    hold_id: str
    until: datetime

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.copy_id, self.hold_id, self.until.isoformat())


class HoldReleased(HoldSet):
    """Order: this hold stands no longer."""

    verb = "released"


class RequestPlace(RequestEvent):
    """Order: place this request file. `sealed` holds a `SealedFile`; nothing is placed at or after `until`."""

    subject, verb, exchange = "request", "place", Exchange.EVENTS
    is_evidence = False
    sealed: bytes
    until: datetime
    window_until: datetime | None = None
    """When the patient's consent runs out; none for a request that needs none."""
    withdraw_at: datetime

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.request_id, self.until.isoformat())


class ConsentEvent(Event):
    """About one grant in the ledger."""

    for_vendors = True
    grant_id: str
    category: str
    until: datetime | None

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.grant_id,)


class ConsentRecorded(ConsentEvent):
    subject, verb, exchange = "consent", "recorded", Exchange.EVENTS
    granted: bool


class ConsentExpiring(ConsentEvent):
    """The limit is near."""

    subject, verb, exchange = "consent", "expiring", Exchange.EVENTS


class ConsentExpired(ConsentEvent):
    """The limit has passed."""

    subject, verb, exchange = "consent", "expired", Exchange.EVENTS


class FileRejected(FileEvent):
    """The file could not be used; its sealed original and the reason are in the store."""

    subject, verb, exchange, for_vendors = "file", "rejected", Exchange.EVENTS, True
    reason: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.file_id, self.reason)


class FileSettled(FileEvent):
    """Every copy is gone and the outcome is known."""

    subject, verb, exchange, for_vendors = "file", "settled", Exchange.EVENTS, True
    outcome: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.file_id,)


EVENTS: tuple[type[Event], ...] = (
    FileCaptured,
    FileRefused,
    FileErased,
    FileVanished,
    ErasureFailed,
    HoldKept,
    HoldMissed,
    RequestPlaced,
    RequestRefused,
    RequestWithdrawn,
    EdgeReported,
    PatientsChanged,
    BookingsChanged,
    DeliveryDone,
    DeliveryRefused,
    FileStored,
    EvidenceStored,
    FileReparse,
    KeysPublished,
    RecordParsed,
    RecordReconciled,
    DeliveryWanted,
    ErasureOrder,
    HoldSet,
    HoldReleased,
    RequestPlace,
    ConsentRecorded,
    ConsentExpiring,
    ConsentExpired,
    FileRejected,
    FileSettled,
)
BY_TYPE: dict[str, type[Event]] = {event.type_name(): event for event in EVENTS}
