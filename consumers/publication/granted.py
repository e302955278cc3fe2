"""What is a vendor granted?"""

from pipeline.event import Event
from pipeline.events import ConsentEvent
from pipeline.vendors import Vendor


def may_hear(vendor: Vendor, event: Event) -> bool:
    """Say whether a vendor is granted events of this type in this clinic, of whatever kind."""
    in_clinic = vendor.clinics == "*" or event.clinic in vendor.clinics
    return not vendor.disabled and in_clinic and event.type_name() in vendor.events


def is_told(vendor: Vendor, event: Event, kind: str) -> bool:
    """Say whether a vendor is granted this event. An answer at the reader is asked of no kind of message."""
    return may_hear(vendor, event) and (isinstance(event, ConsentEvent) or kind in vendor.kinds)


def has_record(vendor: Vendor, kind: str) -> bool:
    return kind in vendor.records


def reads_records(vendor: Vendor) -> bool:
    return bool(vendor.records)
