"""What is a vendor told, field by field?

These models are the allow-list: publication fills them one field at a time, so a new field of an internal event or
row reaches nobody by itself. The AsyncAPI document, the JSON Schemas and the reference are made from them. Within a
major version fields are added, optional, and never taken away (`docs/vendors.md`).
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from pipeline.event import Event
from pipeline.oqs.names import MessageKind
from pipeline.topology import Exchange

OTHER_KIND = "other"


def public_kind(kind: str | None) -> str:
    """Name a message kind for vendors: `eligibility`, not the file name's `OQSsiquc`."""
    return next((known.name.lower() for known in MessageKind if known.value == kind), OTHER_KIND)


PUBLIC_KINDS = (*(kind.name.lower() for kind in MessageKind), OTHER_KIND)


class Notice(Event):
    """One event for one vendor. `event_id` stays the same however often it is sent: drop what you have already."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    exchange = Exchange.PUBLIC

    edge: str = Field(exclude=True)
    """The vendor: its stream takes what carries its name, and nobody else's does."""
    source_id: str = Field(exclude=True)
    """This vendor's own name of what led to it, so that `event_id` tells nothing that another vendor could compare."""

    clinic: str = Field(description="The clinic, by the id agreed with you.")
    at: datetime = Field(description="When it became so. UTC.")
    kind: str = Field(description="Kind of the message it came from, as in the reference. New ones may come.")
    handle: str = Field(description="Names the file for you alone: every event about it carries the same handle.")

    @computed_field(description="Names this event. The same event may be sent twice and then has the same id.")
    def event_id(self) -> str:
        return self.id

    @computed_field(description="The type of the event, as in the header `cloudEvents_type`.")
    def type(self) -> str:
        return self.type_name()

    @classmethod
    def type_name(cls) -> str:
        return f"onshi.{cls.subject}.{cls.verb}"

    @property
    def routing_key(self) -> str:
        return f"{self.subject}.{self.clinic}.{self.edge}.{self.verb}.{self.kind}.v{self.major}"

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.source_id,)


def vendor_of(routing_key: str) -> str:
    """Name the vendor that a notice under this routing key is for."""
    return routing_key.split(".")[2]


RecordState = Literal["not_granted", "sealed", "unavailable"]
_PATIENT = "Pseudonym of the patient of the chart, for you alone; null while no patient is decided."
_PERSON = "Pseudonym of the insured person, for you alone; null where too little is known. Changes with the insurance."
_REVISION = "Grows with every new decision about the file; of two events about one file the greater is newer."


class PersonResult(BaseModel):
    """What is known of one person in a file (one row of 資格確認結果一覧)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    number: int = Field(description="From 0, in the order of the file.")
    patient: str | None = Field(description=_PATIENT)
    insured_person: str | None = Field(description=_PERSON)
    verdicts: tuple[str, ...] = Field(description="Verdict codes, as in the reference. New ones may come.")
    needs_review: bool = Field(description="Whether a person of the clinic must look.")


class RecordReconciledNotice(Notice):
    """A result was compared with the chart (突合), or somebody decided about it anew."""

    subject, verb = "record", "reconciled"

    revision: int = Field(description=_REVISION)
    needs_review: bool = Field(description="Whether any of the results needs review.")
    processed_at: datetime | None = Field(description="When the service made the answer. UTC.")
    results: tuple[PersonResult, ...] = Field(description="One for each person in the file.")
    record_state: RecordState = Field(
        description="`sealed`: `record` holds it; `unavailable`: it cannot be read any more; `not_granted`: not for you"
    )
    record: str | None = Field(
        default=None,
        repr=False,
        description="The record, only where granted for the kind: compact JWE (ECDH-ES+A256KW, A256GCM) to your key.",
    )


class DeliveryDoneNotice(Notice):
    """The chart has the result."""

    subject, verb = "delivery", "done"

    revision: int = Field(description=_REVISION)


class DeliveryRefusedNotice(Notice):
    """The chart does not take it; a person of the clinic must look."""

    subject, verb = "delivery", "refused"

    revision: int = Field(description=_REVISION)
    reason: str = Field(description="A stable word.")


class FileRejectedNotice(Notice):
    """A file could not be used."""

    subject, verb = "file", "rejected"

    reason: str = Field(description="A stable word.")


class FileSettledNotice(Notice):
    """Every copy on the terminal is gone, and the outcome is known."""

    subject, verb = "file", "settled"

    outcome: str = Field(description="`delivered`, `rejected` or `not_due`.")


class ConsentNotice(Notice):
    """About one answer of a patient at the reader."""

    subject = "consent"

    category: str = Field(description="What it is about: `medication`, `checkup` and eight others. New ones may come.")
    until: datetime | None = Field(description="The limit, exclusive. UTC. Null: none, as for a refusal.")
    patient: str | None = Field(description=_PATIENT)
    insured_person: str | None = Field(description=_PERSON)


class ConsentRecordedNotice(ConsentNotice):
    """A patient answered at the reader. The newest answer by `consented_at` counts; a refusal ends an older grant."""

    verb = "recorded"

    granted: bool = Field(description="False: refused.")
    consented_at: datetime = Field(description="When the patient answered. UTC.")


class ConsentExpiringNotice(ConsentNotice):
    """The limit of a grant is near."""

    verb = "expiring"


class ConsentExpiredNotice(ConsentNotice):
    """The limit of a grant has passed."""

    verb = "expired"


NOTICES: tuple[type[Notice], ...] = (
    RecordReconciledNotice,
    DeliveryDoneNotice,
    DeliveryRefusedNotice,
    FileRejectedNotice,
    FileSettledNotice,
    ConsentRecordedNotice,
    ConsentExpiringNotice,
    ConsentExpiredNotice,
)
