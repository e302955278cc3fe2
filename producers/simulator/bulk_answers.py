"""How does the service answer for many people at once?

Booking queries and registrations, home visits, online care, medical aid: oqs-interface sections 3.3, 3.5 and 3.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import Registration, Search
from pipeline.oqs.times import format_day
from producers.simulator.answers import Frame, Refusal, echo, registration_echo, status
from producers.simulator.markup import Element, group, leaves


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What is told of one person. `is_listed`: the results stand in a list, as in all but booking answers."""

    search: Search | None
    blocks: Sequence[Element] = ()
    validity: Validity | None = None
    reference_number: str = ""
    refusal: Refusal | None = None
    is_listed: bool = False
    consent: Sequence[Element] = field(default_factory=list)

    def unit(self) -> Element:
        blocks = group("ResultList", self.blocks) if self.is_listed else list(self.blocks)
        return (
            "BulkConfirmUnit",
            [
                *echo(self.search),
                *status(self.refusal),
                *leaves(("QualificationValidity", self.validity)),
                *self.consent,
                *blocks,
                *leaves(("ReferenceNumber", self.reference_number)),
            ],
        )


def _counted_head(frame: Frame, reception_number: str, failed: int, total: int) -> list[Element]:
    return frame.head(
        ("QualificationConfirmationDate", format_day(frame.at.date())),
        ("ReceptionNumber", reception_number),
        ("SegmentOfResult", "1"),
        ("NumberOfProcessingResult", str(total)),
        ("NumberOfNormalProcessing", str(total - failed)),
        ("NumberOfError", str(failed)),
    )


def eligibilities(frame: Frame, reception_number: str, told: Sequence[Told], search: Search | None = None) -> bytes:
    """Answer a bulk query; `search`: the one query behind all of it, for visits, online care and medical aid."""
    failed = sum(one.refusal is not None for one in told)
    whole = [*echo(search), *status(None)] if search else []
    head = _counted_head(frame, reception_number, failed, len(told))
    return frame.write(head, [*whole, *(one.unit() for one in told)])


def registrations(frame: Frame, reception_number: str, told: Sequence[tuple[Registration, Refusal | None]]) -> bytes:
    """Answer a bulk registration."""
    failed = sum(refusal is not None for _, refusal in told)
    units: list[Element] = [
        ("BulkRegistrationUnit", [*registration_echo(registration), *status(refusal)]) for registration, refusal in told
    ]
    return frame.write(_counted_head(frame, reception_number, failed, len(told)), units)


def still_processing(frame: Frame, reception_number: str) -> bytes:
    """Say that the result is not ready (処理中)."""
    head = frame.head(
        ("QualificationConfirmationDate", format_day(frame.at.date())),
        ("ReceptionNumber", reception_number),
        ("SegmentOfResult", "2"),
    )
    return frame.write(head, [])
