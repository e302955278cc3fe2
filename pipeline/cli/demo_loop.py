"""Was exactly what the patients consented to asked of the service, each once, and did every answer reach the chart?

The store's requests are held against the simulated service's own record of what it was asked, name by name and
consent by consent, and both against what the invented patients had consented to.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, literal, select

from consumers.consent import asking, inquiries
from consumers.consent.cards import is_asked_for
from consumers.consent.exchange import STILL_PROCESSING
from consumers.consent.inquiries import Person
from consumers.consent.references.rows import ReferenceDetail, key_of
from consumers.consent.references.state import ReferenceState
from consumers.consent.request_state import RequestState
from pipeline.cli import labels
from pipeline.cli.desk import Desk
from pipeline.contents import request_context
from pipeline.custody import FileOutcome
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.times import JST
from pipeline.request_row import RequestDetail
from pipeline.storage.schema import files, grants, reference_numbers, requests, results, standings
from producers.simulator.entitlements import Entitlement, entitlement_used, entitlements, months_before
from producers.simulator.mixture import LATE, NEARLY_LATE
from producers.simulator.register import Query
from producers.simulator.service import Asked
from producers.simulator.terminal import SimulatedTerminal
from producers.simulator.visits import Visit

MONTHS: Final = 3
"""How many months of medication a full demo asks for."""
_OPEN: Final = (RequestState.WANTED.value, RequestState.PLACED.value)
_UNSETTLED: Final = (ReferenceState.WANTED.value, ReferenceState.ASKED.value)
_TAKEN: Final = (ReferenceState.REGISTERED.value, ReferenceState.VERIFIED.value)
_SHOWN: Final = 5


@dataclass(slots=True)
class Loop:
    """Figures of what was asked, and everything in which the two records differ. Names no patient."""

    asked: dict[str, int] = field(default_factory=dict)
    """Requests that the service took, by kind."""
    ran_out: int = 0
    """Requests that were wanted, and never sent because their consent was about to end."""
    over: int = 0
    """Face files that were read too late for anything to be asked."""
    refusing: int = 0
    """Patients who agreed to neither medication nor checkups."""
    delivered: int = 0
    too_early: int = 0
    """Downloads that the service answered with 処理中, and that were repeated later."""
    numbers: int = 0
    """Reference numbers that stand, at the service as in the store."""
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def lines(self) -> Iterator[str]:
        told = "  ".join(f"{labels.kind(kind)} {count}" for kind, count in sorted(self.asked.items()))
        yield ""
        yield f"照会  {told or 'なし'}"
        yield ""
        if not self.faults:
            yield (
                f"照会 {sum(self.asked.values())} 件は同意の範囲内で各 1 回、サービス側の記録と一致"
                " (each asked once, within its consent, as the service itself recorded)"
            )
        yield f"薬剤・健診の回答 {self.delivered} 件がカルテに到着 (medication and checkup answers in the chart)"
        yield f"照会しなかった方: 同意なし {self.refusing} 人、同意の期限切れ {self.over} 人 (refused, over)"
        yield f"待つ間に期限が切れ、送らなかった照会 {self.ran_out} 件 (never sent: the consent ended first)"
        yield f"一括照会で「処理中」の回答 {self.too_early} 回 (answers that were not ready, asked for again)"
        yield f"照会番号 {self.numbers} 件、サービスの登録と一致 (reference numbers, as the service has them)"


def configured() -> str:
    """Write the lines of the clinic's configuration: few months, and reference numbers (照会番号) by themselves."""
    return f"  months = {MONTHS}\n\n  [clinics.references]\n  enabled = true\n"


def ask_for_bookings(desk: Desk, terminal: SimulatedTerminal) -> None:
    """Ask for everybody as if they were booked for tomorrow (資格確認一括照会)."""
    tomorrow = desk.now.astimezone(JST).date() + timedelta(days=1)
    rows = [row for visit in terminal.visits for row in visit.chart if is_asked_for(row, tomorrow)]
    people = [Person.of_row(row) for row in dict.fromkeys(rows)]
    clinic, asked_by = desk.settings.clinics[0], desk.staff.id if desk.staff else "-"
    timeout = timedelta(seconds=desk.settings.centre.request_timeout_seconds)
    with desk.store.transaction() as connection:
        for wanted in inquiries.booking(clinic, desk.keyring, people, asked_by, desk.now):
            asking.add(connection, desk.keyring, wanted, timeout, desk.now)


def is_at_rest(desk: Desk) -> bool:
    """Say whether nothing is to be asked now, nor waited for."""
    judges = any(clinic.references.enabled for clinic in desk.settings.clinics)
    fetches = any(clinic.fetch.enabled for clinic in desk.settings.clinics)
    waiting = [
        select(requests.c.request_id).where(requests.c.state.in_(_OPEN)),
        select(standings.c.grant_id).where(standings.c.fetch_at.is_not(None), literal(fetches)),
        select(results.c.file_id).where(results.c.reference_due, results.c.state == "closed", literal(judges)),
        select(reference_numbers.c.number_hash).where(reference_numbers.c.state.in_(_UNSETTLED)),
    ]
    with desk.store.reading() as connection:
        return all(connection.execute(query.limit(1)).first() is None for query in waiting)


def expected_files(terminal: SimulatedTerminal) -> int:
    """Count the files that the terminal and its service have written, or will for what they were asked so far."""
    return len(terminal.written) + sum(len(asked.replies) for asked in list(terminal.service.asked))


def prove(desk: Desk, terminal: SimulatedTerminal, now: datetime, months: int = MONTHS) -> Loop:
    """Compare the store's requests, the service's record, and what the patients consented to."""
    loop = Loop()
    asked = list(terminal.service.asked)
    loop.asked = dict(Counter(one.name.kind.value for one in asked))
    listed = months_before(now, months)
    loop.faults.extend(against_consents(asked, terminal.visits, listed))
    with desk.store.reading() as connection:
        rows = _rows(connection)
        limits = {row.grant_id: row for row in connection.execute(select(grants))}
    held = [(row, _detail(desk, row)) for row in rows]
    loop.faults.extend(against_requests(asked, held, limits))
    numbers = list(_numbers(desk))
    loop.numbers = len(numbers)
    wrong = sum(not _is_registered(terminal, one) for one in numbers)
    loop.faults.extend([f"照会番号: {wrong} × stands in the store, and not at the service"] if wrong else [])
    loop.ran_out = sum(row.state == RequestState.EXPIRED.value for row in rows)
    loop.too_early = sum(row.reason == STILL_PROCESSING for row in rows)
    loop.delivered = sum(row.outcome == FileOutcome.DELIVERED.value for row in rows if row.category)
    loop.over = sum(visit.age == LATE and any(entitlements(visit, listed)) for visit in terminal.visits)
    loop.refusing = sum(_agrees_to_nothing(visit) for visit in terminal.visits)
    return loop


def _agrees_to_nothing(visit: Visit) -> bool:
    return not any(visit.consents.get(one) for one in (ConsentCategory.MEDICATION, ConsentCategory.CHECKUP))


def _rows(connection: Connection) -> Sequence[Any]:
    query = select(requests, files.c.outcome).outerjoin(files, files.c.file_id == requests.c.answer_file_id)
    return connection.execute(query).all()


def _detail(desk: Desk, row: Any) -> RequestDetail:
    raw = desk.opener.open(row.clinic, request_context(row.request_id), row.sealed_request)
    return RequestDetail.model_validate_json(raw)


def _numbers(desk: Desk) -> Iterator[ReferenceDetail]:
    """Open every reference number (照会番号) that the store believes to stand."""
    with desk.store.reading() as connection:
        rows = connection.execute(select(reference_numbers).where(reference_numbers.c.state.in_(_TAKEN))).all()
    for row in rows:
        raw = desk.opener.open(row.clinic, key_of(row).context, row.sealed)
        yield ReferenceDetail.model_validate_json(raw)


def _is_registered(terminal: SimulatedTerminal, one: ReferenceDetail) -> bool:
    found = terminal.register.find(Query(one.insurer_number, one.symbol, one.card_number, one.branch_number))
    return any(terminal.register.reference_number(entry.coverage) == one.number for entry in found)


def against_consents(asked: Sequence[Asked], visits: Iterable[Visit], months: Sequence[str]) -> Iterator[str]:
    """Compare what the service was asked with what the patients had agreed to."""
    must: set[Entitlement] = set()
    may: set[Entitlement] = set()
    for visit in visits:
        if visit.age != LATE:
            # Which requests of a consent that runs out still leave is a matter of seconds.
            (may if visit.age == NEARLY_LATE else must).update(entitlements(visit, months))
    used = Counter(use for use in map(entitlement_used, asked) if use is not None)
    yield from _said("was asked twice", [use.kind.value for use, count in used.items() if count > 1])
    yield from _said("was asked without consent", [use.kind.value for use in used.keys() - must - may])
    yield from _said("was consented to and never asked", [use.kind.value for use in must - used.keys()])
    late = [one.name.kind.value for one in asked if any(one.at >= until for until in one.consents.values())]
    yield from _said("was asked after its consent had ended", late)


def against_requests(
    asked: Sequence[Asked], held: Sequence[tuple[Any, RequestDetail]], limits: Mapping[str, Any]
) -> Iterator[str]:
    """Compare what the service was asked with the requests that the store says were sent."""
    taken = {one.name.base_name: one for one in asked}
    yield from _said("has a name that was used twice", [one.name.kind.value for one in asked][len(taken) :])
    sent = {detail.base_name: (row, detail) for row, detail in held if row.state != RequestState.EXPIRED.value}
    yield from _said("is in the store, and the service has no record of it", _kinds(sent, sent.keys() - taken.keys()))
    unknown = [taken[name].name.kind.value for name in taken.keys() - sent.keys()]
    yield from _said("reached the service, and the store has no record of it", unknown)
    for name in sorted(taken.keys() & sent.keys()):
        yield from _differences(taken[name], *sent[name], limits)
    not_answered = [row.kind for row, _ in sent.values() if row.state != RequestState.ANSWERED.value]
    yield from _said("was sent and is not answered", not_answered)
    wrong = [row.kind for row, _ in held if row.state == RequestState.EXPIRED.value and row.reason != "window"]
    yield from _said("was not sent for another reason than its limit", wrong)
    kept = [row.kind for row, _ in sent.values() if row.category and row.outcome != FileOutcome.DELIVERED.value]
    yield from _said("was answered, and the chart has no answer", kept)


def _kinds(sent: Mapping[str, tuple[Any, RequestDetail]], names: Iterable[str]) -> list[str]:
    return [sent[name][0].kind for name in names]


def _differences(one: Asked, row: Any, detail: RequestDetail, limits: Mapping[str, Any]) -> Iterator[str]:
    kind = one.name.kind.value
    said = one.request.header.arbitrary_file_identifier if one.request else None
    # A download carries none of its own.
    if said is not None and said != detail.arbitrary_file_identifier:
        yield f"{labels.kind(kind)}: another ArbitraryFileIdentifier reached the service"
    ids = (row.grant_id, row.treatment_grant_id)
    ours = {ConsentCategory(limits[key].category): limits[key].until for key in ids if key in limits}
    if ours != dict(one.consents):
        yield f"{labels.kind(kind)}: other consents stand behind it at the service"


def _said(what: str, kinds: Sequence[str]) -> Iterator[str]:
    """Say of each kind how often something is wrong with it."""
    yield from (f"{labels.kind(kind)}: {count} × {what}" for kind, count in Counter(kinds).most_common(_SHOWN))
