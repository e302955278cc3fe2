"""What does the service answer to one request?

Refusals are those of the real service as far as they are known (oqs-interface sections 1.3, 3.9 and 5.1); where the
sources are silent it answers in the layer they suggest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from pipeline.clock import Clock
from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import ConsentCategory, Registration, Search
from pipeline.oqs.names import FileName, MessageKind, response_name
from pipeline.oqs.records import ReturnedRequest
from pipeline.oqs.requests import MAX_QUERIES, MAX_REGISTRATIONS
from pipeline.oqs.times import JST, OPEN, format_instant, parse_day, parse_month
from producers.simulator import answers, bulk_answers, history_answers
from producers.simulator.answers import Frame, Refusal
from producers.simulator.bulk_answers import Told
from producers.simulator.documents import pdf, zipped
from producers.simulator.history_answers import Wish
from producers.simulator.markup import Element, Order, leaves
from producers.simulator.people import is_late_elderly
from producers.simulator.register import Entry, Query, Register
from producers.simulator.result_elements import Telling, result

FIRST_MONTH: Final = date(2021, 9, 1)
"""Nothing older is held (oqs-interface section 3.4.1)."""
MAX_MONTHS: Final = 36
"""Longest period of one request (oqs-interface section 3.4.1)."""

_PDF: Final = ("1", "3")
_WITH_TREATMENTS: Final = ("3", "4")
_MEDICATION_CATEGORIES: Final = ("1", "2", "3", "4")
_CHECKUP_CATEGORIES: Final = ("1", "2")
_NEEDED: Final[dict[MessageKind, tuple[ConsentCategory, ...]]] = {
    MessageKind.MEDICATION: (ConsentCategory.MEDICATION,),
    MessageKind.CHECKUP: (ConsentCategory.CHECKUP,),
}
_NO_RECEPTION: Final = ("SAMPLE010", "（見本）受付番号が正しくありません。")
_BY_CONSENT: Final = (MessageKind.BULK_VISIT, MessageKind.BULK_ONLINE)


class MalformedError(Exception):
    """The request cannot be taken at all: it goes back as it came, with a notice."""


@dataclass(slots=True)
class Behaviour:
    """How the service behaves from now on; a test or a demonstration changes it while it runs."""

    answer_after: timedelta = timedelta(0)
    answer_within: timedelta = timedelta(0)
    """How much longer an answer may take, each by chance; so answers overtake one another."""
    processing_for: timedelta = timedelta(seconds=2)
    fails: frozenset[MessageKind] = frozenset()
    is_silent: bool = False
    zips_bulk: bool = True


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """A file for `res`."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, repr=False)
class _Taken:
    """A bulk request in work."""

    kind: MessageKind
    request: ReturnedRequest
    ready_at: datetime


def query_of(search: Search) -> Query:
    return Query(
        search.insurer_number or "",
        search.symbol or "",
        search.number or "",
        search.branch_number or "",
        parse_day(search.birthdate),
    )


@dataclass(slots=True)
class Desk:
    """Answers requests of one institution out of the register."""

    register: Register
    institution_code: str
    clock: Clock
    order: Order
    behaviour: Behaviour = field(default_factory=Behaviour)
    _taken: dict[str, _Taken] = field(default_factory=dict)

    def answer(self, name: FileName, request: ReturnedRequest) -> Reply:
        """Answer a request that could be read.

        Raises:
            MalformedError: it lacks what no such request can lack, or is another institution's.
        """
        if request.unreadable or request.header.institution_code != self.institution_code:
            raise MalformedError
        # Its name first: the base name is what ties the answer to the request.
        base = response_name(name.base_name + ".xml").removesuffix(".xml")
        frame = self._frame(request)
        if name.kind in self.behaviour.fails:
            return Reply(base + ".xml", self._failed(name.kind, frame, request))
        if name.kind.is_bulk:
            return self._bulk(name, base, frame, request)
        extension, content = _SINGLE[name.kind](self, frame, request)
        return Reply(base + extension, content)

    def _frame(self, request: ReturnedRequest) -> Frame:
        identifier = request.header.arbitrary_file_identifier or ""
        return Frame(self.clock.now().astimezone(JST), self.institution_code, identifier, self.order)

    def _failed(self, kind: MessageKind, frame: Frame, request: ReturnedRequest) -> bytes:
        if kind.is_history:
            return history_answers.refused(frame, request, answers.SERVICE_FAILED)
        return answers.message_failed(frame)

    def _telling(self, frame: Frame, entry: Entry, search: Search | None = None) -> Telling:
        return Telling(
            at=frame.at,
            institution_code=self.institution_code,
            limit_consented=search is not None and search.limit_consent_flag == "1",
            reference_number=self.register.reference_number(entry.coverage),
            arbitrary_identifier=(search.arbitrary_identifier or "") if search else "",
            validity=entry.validity,
        )

    # One person.

    def eligibility(self, frame: Frame, request: ReturnedRequest) -> "_Answer":
        search = _only_search(request)
        if parse_day(search.birthdate) is None:
            return ".xml", answers.person_failed(frame, search, answers.BAD_BIRTHDATE)
        found = self.register.find(query_of(search))
        blocks = [result(entry.person, entry.coverage, self._telling(frame, entry, search)) for entry in found]
        return ".xml", answers.eligibility(frame, search, blocks, _validity(found))

    def stored_consent(self, frame: Frame, request: ReturnedRequest) -> "_Answer":
        search = _only_search(request)
        found = [entry for entry in self.register.find(query_of(search)) if entry in self.register.visitors]
        blocks = [self._consented(frame, entry) for entry in found]
        consent = _stored(frame) if found else []
        return ".xml", answers.eligibility(frame, search, blocks, _validity(found), consent)

    def _consented(self, frame: Frame, entry: Entry) -> Element:
        categories = (ConsentCategory.CHECKUP, ConsentCategory.MEDICATION)
        telling = Telling(
            at=frame.at,
            institution_code=self.institution_code,
            consents=dict.fromkeys(categories, True),
            until=OPEN,
            validity=entry.validity,
        )
        return result(entry.person, entry.coverage, telling)

    def registration(self, frame: Frame, request: ReturnedRequest) -> "_Answer":
        if len(request.registrations) != 1:
            raise MalformedError
        registration = request.registrations[0]
        return ".xml", answers.registered(frame, registration, self._register(registration))

    def _register(self, registration: Registration) -> Refusal | None:
        query = Query(
            registration.insurer_number or "",
            registration.symbol or "",
            registration.number or "",
            registration.branch_number or "",
        )
        found = self.register.find(query)
        if not found or not registration.reference_number:
            return answers.NOT_INSURED
        coverage = found[0].coverage
        if not query.branch_number and not (is_late_elderly(coverage) or coverage.is_medical_aid):
            return answers.NO_BRANCH
        self.register.assign(coverage, registration.reference_number)
        return None

    def withdrawal(self, frame: Frame, request: ReturnedRequest) -> "_Answer":
        asked = request.withdrawal
        if asked is None:
            raise MalformedError
        query = Query(asked.insurer_number or "", asked.symbol or "", asked.number or "", asked.branch_number or "")
        is_done = any(self.register.withdraw(entry) for entry in self.register.find(query))
        return ".xml", answers.withdrawn(frame, asked, None if is_done else answers.NOT_INSURED)

    # A person's history.

    def medication(self, frame: Frame, request: ReturnedRequest) -> "_Answer":
        category = request.file_category
        if category not in _MEDICATION_CATEGORIES:
            raise MalformedError
        months = months_of(request, frame.at.date())
        if not months:
            return ".xml", history_answers.refused(frame, request, history_answers.BAD_PERIOD)
        has_treatments = category in _WITH_TREATMENTS
        needed = (ConsentCategory.MEDICATION, *((ConsentCategory.DIAGNOSIS,) if has_treatments else ()))
        entry = self._allowed(request, needed)
        if not isinstance(entry, Entry):
            return ".xml", history_answers.refused(frame, request, entry)
        if category in _PDF:
            return ".pdf", pdf("MEDICATION")
        wish = Wish(months, has_treatments, request.prescription_view == "1")
        number = self.register.reference_number(entry.coverage)
        return ".xml", history_answers.medication(frame, request, entry.person, number, wish)

    def checkup(self, frame: Frame, request: ReturnedRequest) -> "_Answer":
        if request.file_category not in _CHECKUP_CATEGORIES:
            raise MalformedError
        entry = self._allowed(request, (ConsentCategory.CHECKUP,))
        if not isinstance(entry, Entry):
            return ".xml", history_answers.refused(frame, request, entry)
        if request.file_category in _PDF:
            return ".pdf", pdf("CHECKUP")
        number = self.register.reference_number(entry.coverage)
        return ".xml", history_answers.checkup(frame, request, entry.person, number)

    def consents_behind(self, name: FileName, request: ReturnedRequest) -> dict[ConsentCategory, datetime]:
        """Say which consents a request for a person's history relies on, and when each ends; what is missing is not
        among them.
        """
        needed = _NEEDED.get(name.kind)
        if needed is None:
            return {}
        if name.kind is MessageKind.MEDICATION and request.file_category in _WITH_TREATMENTS:
            needed = (*needed, ConsentCategory.DIAGNOSIS)
        found = self._subject(request)
        ends = {one: self.register.granted_until(found[0].coverage, one) for one in needed} if len(found) == 1 else {}
        return {category: until for category, until in ends.items() if until is not None}

    def _subject(self, request: ReturnedRequest) -> list[Entry]:
        head = request.header
        return self.register.find(
            Query(head.insurer_number or "", head.symbol or "", head.number or "", head.branch_number or "")
        )

    def _allowed(self, request: ReturnedRequest, needed: Sequence[ConsentCategory]) -> Entry | Refusal:
        found = self._subject(request)
        if len(found) != 1:
            return history_answers.UNKNOWN_PERSON
        now = self.clock.now()
        for category in needed:
            until = self.register.granted_until(found[0].coverage, category)
            if until is None:
                return history_answers.NOT_CONSENTED
            if now >= until:
                return history_answers.CONSENT_EXPIRED
        return found[0]

    # Many persons.

    def _bulk(self, name: FileName, base: str, frame: Frame, request: ReturnedRequest) -> Reply:
        if name.phase == "01":
            _check_bulk(name.kind, request)
            reception_number = f"{format_instant(frame.at)}{len(self._taken) + 1:024d}"
            ready_at = self.clock.now() + self.behaviour.processing_for
            self._taken[reception_number] = _Taken(name.kind, request, ready_at)
            return Reply(base + ".xml", answers.receipt(frame, reception_number))
        taken = self._taken.get(request.reception_number or "")
        if taken is None or taken.kind is not name.kind:
            return Reply(base + ".xml", answers.message_failed(frame, _NO_RECEPTION))
        frame = self._frame(taken.request)
        if self.clock.now() < taken.ready_at:
            return Reply(base + ".xml", bulk_answers.still_processing(frame, request.reception_number or ""))
        content = self._bulk_result(taken, frame, request.reception_number or "")
        if self.behaviour.zips_bulk:
            return Reply(base + ".zip", zipped(base + ".xml", content))
        return Reply(base + ".xml", content)

    def _bulk_result(self, taken: _Taken, frame: Frame, reception_number: str) -> bytes:
        request = taken.request
        if taken.kind is MessageKind.BULK_REGISTRATION:
            told = [(registration, self._register(registration)) for registration in request.registrations]
            return bulk_answers.registrations(frame, reception_number, told)
        if taken.kind is MessageKind.BULK_ELIGIBILITY:
            booked = [self._booked(frame, search) for search in request.searches]
            return bulk_answers.eligibilities(frame, reception_number, booked)
        is_by_consent = taken.kind in _BY_CONSENT
        entries = self.register.visitors if is_by_consent else self._aided()
        listed = [self._listed(frame, entry, is_by_consent=is_by_consent) for entry in entries]
        return bulk_answers.eligibilities(frame, reception_number, listed, _only_search(request))

    def _aided(self) -> list[Entry]:
        return [entry for entry in self.register.entries if entry.coverage.is_medical_aid]

    def _booked(self, frame: Frame, search: Search) -> Told:
        if parse_day(search.birthdate) is None:
            return Told(search, refusal=answers.BAD_BIRTHDATE)
        found = self.register.find(query_of(search))
        telling = Telling(frame.at, self.institution_code, limit_consented=None, limit_changed="0")
        number = self.register.reference_number(found[0].coverage) if len(found) == 1 else ""
        blocks = [result(entry.person, entry.coverage, telling) for entry in found]
        return Told(search, blocks, _validity(found), number)

    def _listed(self, frame: Frame, entry: Entry, *, is_by_consent: bool) -> Told:
        return Told(
            None,
            [self._consented(frame, entry) if is_by_consent else self._aid(frame, entry)],
            entry.validity,
            self.register.reference_number(entry.coverage),
            is_listed=True,
            consent=_stored(frame) if is_by_consent else [],
        )

    def _aid(self, frame: Frame, entry: Entry) -> Element:
        return result(entry.person, entry.coverage, Telling(frame.at, self.institution_code, limit_consented=None))


_Answer = tuple[str, bytes]
_SINGLE: Final[dict[MessageKind, Callable[[Desk, Frame, ReturnedRequest], _Answer]]] = {
    MessageKind.ELIGIBILITY: Desk.eligibility,
    MessageKind.VISIT: Desk.stored_consent,
    MessageKind.ONLINE: Desk.stored_consent,
    MessageKind.REGISTRATION: Desk.registration,
    MessageKind.WITHDRAWAL: Desk.withdrawal,
    MessageKind.MEDICATION: Desk.medication,
    MessageKind.CHECKUP: Desk.checkup,
}


def returned(name: FileName, content: bytes) -> tuple[Reply, Reply]:
    """Send a request back as it came, with the notice beside it (oqs-interface section 1.3, rule 5)."""
    notice = answers.RETURNED_NOTICE.encode()
    return Reply(name.base_name + ".xml", content), Reply(name.base_name + ".err", notice)


def months_of(request: ReturnedRequest, today: date) -> list[date]:
    """List the months asked for, oldest first; none when the period is not allowed."""
    start = parse_month(request.start)
    end = today.replace(day=1) if request.end == "999999" else parse_month(request.end)
    if start is None or end is None or start < FIRST_MONTH or end < start:
        return []
    count = (end.year - start.year) * 12 + end.month - start.month + 1
    if count > MAX_MONTHS:
        return []
    first = start.year * 12 + start.month - 1
    return [date(month // 12, month % 12 + 1, 1) for month in range(first, first + count)]


def _check_bulk(kind: MessageKind, request: ReturnedRequest) -> None:
    """Refuse a bulk request of more entries than a file may hold (sections 3.3 and 3.5), or of none."""
    if kind is MessageKind.BULK_REGISTRATION:
        is_good = 1 <= len(request.registrations) <= MAX_REGISTRATIONS
    else:
        is_good = 1 <= len(request.searches) <= (MAX_QUERIES if kind is MessageKind.BULK_ELIGIBILITY else 1)
    if not is_good:
        raise MalformedError


def _only_search(request: ReturnedRequest) -> Search:
    if len(request.searches) != 1:
        raise MalformedError
    return request.searches[0]


def _validity(found: Sequence[Entry]) -> Validity:
    if not found:
        return Validity.NONE_FOUND
    return found[0].validity if len(found) == 1 else Validity.SEVERAL


def _stored(frame: Frame) -> list[Element]:
    return leaves(
        ("QualificationConsFlg", "1"),
        ("QualificationConsTime", format_instant(frame.at)),
        ("QualificationAvailableTime", format_instant(OPEN)),
    )
