"""How does an edge learn that its evidence is in the store? By an answer that is sent, and never kept.

Evidence that was confirmed by a broker whose data was lost afterwards would be missing for ever. So an edge says it
again until it is answered, and whatever became of it (handled, known, set aside) is answered. A lost answer costs one
repetition.
"""

from collections.abc import Iterable
from datetime import datetime

from pipeline.envelope import Envelope, WireEvent, enclose, write
from pipeline.events import EvidenceStored


def answers(envelopes: Iterable[Envelope], now: datetime) -> list[WireEvent]:
    """Answer the evidence among these events; neighbours go to one edge, so that they travel together."""
    made = [write(enclose(_answer(one), now, one)) for one in envelopes if one.event.is_evidence]
    return sorted(made, key=lambda event: event.routing_key)


def _answer(envelope: Envelope) -> EvidenceStored:
    return EvidenceStored(clinic=envelope.event.clinic, edge=envelope.event.edge, evidence_id=envelope.id)
