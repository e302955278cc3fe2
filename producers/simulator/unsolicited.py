"""Which answers lie in `res` when another program of the clinic has asked?

One of every kind of message but the face file, made from requests that the desk answers as it would any other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from pipeline.oqs.eligibility import ConsentCategory, Registration, Search, Withdrawal
from pipeline.oqs.names import FileName, MessageKind, Phase, parse_name, request_name
from pipeline.oqs.records import ReturnedHeader, ReturnedRequest
from pipeline.oqs.times import JST, format_day, format_month
from producers.simulator.desk import Desk, Reply, returned
from producers.simulator.register import Entry
from producers.simulator.result_elements import CONSENT_LASTS


@dataclass(frozen=True, slots=True, repr=False)
class _Ask:
    kind: MessageKind
    request: ReturnedRequest
    phase: Phase = "01"


def every_kind(desk: Desk, die: Random) -> Iterator[Reply]:
    """Answer one request of every kind, refusals among them, for people of the register."""
    entries = [entry for entry in desk.register.entries if entry.coverage.branch_number]
    if not entries or not desk.register.visitors:
        return
    now = desk.clock.now()
    for category in ConsentCategory:
        desk.register.grant(entries[0].coverage, category, now + CONSENT_LASTS)
    asking = _Asking(desk.institution_code, now, die)
    for ask in (*asking.of_one(entries[0]), *asking.refused(entries[0])):
        yield desk.answer(asking.named(ask), ask.request)
    yield from _bulk(desk, asking, entries[:3])
    # The withdrawal last: it takes a consent away that the others tell of.
    withdrawal = asking.withdrawal(desk.register.visitors[0])
    yield desk.answer(asking.named(withdrawal), withdrawal.request)
    yield from returned(asking.named(_Ask(MessageKind.ELIGIBILITY, asking.request())), b"<XmlMsg><MessageHeader>")


def _bulk(desk: Desk, asking: "_Asking", entries: Sequence[Entry]) -> Iterator[Reply]:
    told = desk.behaviour
    for ask in asking.bulk(entries):
        desk.behaviour = replace(told, processing_for=timedelta(hours=1))
        receipt = desk.answer(asking.named(ask), ask.request)
        yield receipt
        again = _Ask(ask.kind, asking.request(reception_number=_reception_number(receipt)), "02")
        if ask.kind is MessageKind.BULK_ELIGIBILITY:
            yield desk.answer(asking.named(again), again.request)
        desk.behaviour = replace(told, processing_for=timedelta(0), zips_bulk=ask.kind is MessageKind.BULK_VISIT)
        ready = _Ask(
            ask.kind,
            asking.request(reception_number=_reception_number(desk.answer(asking.named(ask), ask.request))),
            "02",
        )
        yield desk.answer(asking.named(ready), ready.request)
    desk.behaviour = told


def _reception_number(receipt: Reply) -> str:
    text = receipt.content.decode()
    return text[text.index("<ReceptionNumber>") + len("<ReceptionNumber>") : text.index("</ReceptionNumber>")]


@dataclass(frozen=True, slots=True, repr=False)
class _Asking:
    institution_code: str
    now: datetime
    die: Random

    def named(self, ask: _Ask) -> FileName:
        name = parse_name(request_name(ask.kind, ask.phase, f"{self.die.randrange(10**16):016d}"))
        if name is None:
            raise ValueError("a request name that cannot be read")
        return name

    def request(self, entry: Entry | None = None, **fields: object) -> ReturnedRequest:
        coverage = entry.coverage if entry else None
        header = ReturnedHeader(
            institution_code=self.institution_code,
            arbitrary_file_identifier=f"OTHER_{self.die.randrange(10**12):012d}",
            insurer_number=coverage.insurer.number if coverage else None,
            symbol=(coverage.symbol or None) if coverage else None,
            number=coverage.number if coverage else None,
            branch_number=(coverage.branch_number or None) if coverage else None,
        )
        return ReturnedRequest.model_validate({"schema_kind": "returned_request", "header": header} | fields)

    def of_one(self, entry: Entry) -> Iterator[_Ask]:
        search = self._search(entry)
        yield _Ask(MessageKind.ELIGIBILITY, self.request(searches=(search,)))
        yield _Ask(MessageKind.VISIT, self.request(searches=(search,)))
        yield _Ask(MessageKind.ONLINE, self.request(searches=(search,)))
        yield _Ask(MessageKind.REGISTRATION, self.request(registrations=(self._registration(entry),)))
        month = format_month(self.now.astimezone(JST).date() - timedelta(days=90))
        period = {"start": month, "end": "999999"}
        xml = self.request(entry, file_category="4", prescription_view="1", **period)
        yield _Ask(MessageKind.MEDICATION, xml)
        yield _Ask(MessageKind.MEDICATION, self.request(entry, file_category="1", **period))
        yield _Ask(MessageKind.CHECKUP, self.request(entry, file_category="2"))
        yield _Ask(MessageKind.CHECKUP, self.request(entry, file_category="1"))

    def refused(self, entry: Entry) -> Iterator[_Ask]:
        search = self._search(entry)
        bad = search.model_copy(update={"birthdate": "20010230"})
        yield _Ask(MessageKind.ELIGIBILITY, self.request(searches=(bad,)))
        unknown = search.model_copy(update={"number": "000"})
        yield _Ask(MessageKind.ELIGIBILITY, self.request(searches=(unknown,)))
        registration = self._registration(entry).model_copy(update={"branch_number": None})
        yield _Ask(MessageKind.REGISTRATION, self.request(registrations=(registration,)))
        yield _Ask(MessageKind.MEDICATION, self.request(entry, file_category="2", start="202001", end="202002"))

    def bulk(self, entries: Sequence[Entry]) -> Iterator[_Ask]:
        today = self.now.astimezone(JST).date()
        days = {"consented_from": format_day(today.replace(day=1)), "consented_to": format_day(today)}
        registrations = tuple(self._registration(entry) for entry in entries)
        yield _Ask(MessageKind.BULK_ELIGIBILITY, self.request(searches=tuple(map(self._search, entries))))
        yield _Ask(MessageKind.BULK_REGISTRATION, self.request(registrations=registrations))
        month = Search(treatment_month=format_month(today))
        yield _Ask(MessageKind.BULK_MEDICAL_AID, self.request(searches=(month,)))
        for kind, flag in ((MessageKind.BULK_VISIT, "2"), (MessageKind.BULK_ONLINE, "3")):
            yield _Ask(kind, self.request(searches=(Search(treatment_flag=flag, **days),)))

    def withdrawal(self, entry: Entry) -> _Ask:
        asked = Withdrawal(
            insurer_number=entry.coverage.insurer.number,
            symbol=entry.coverage.symbol or None,
            number=entry.coverage.number,
            branch_number=entry.coverage.branch_number or None,
            birthdate=format_day(entry.person.birthdate),
            treatment_flag="2",
        )
        return _Ask(MessageKind.WITHDRAWAL, self.request(withdrawal=asked))

    @staticmethod
    def _search(entry: Entry) -> Search:
        return Search(
            insurer_number=entry.coverage.insurer.number,
            symbol=entry.coverage.symbol or None,
            number=entry.coverage.number,
            branch_number=entry.coverage.branch_number or None,
            birthdate=format_day(entry.person.birthdate),
            limit_consent_flag="1",
        )

    @staticmethod
    def _registration(entry: Entry) -> Registration:
        return Registration(
            reference_number=entry.person.patient_id,
            insurer_number=entry.coverage.insurer.number,
            symbol=entry.coverage.symbol or None,
            number=entry.coverage.number,
            branch_number=entry.coverage.branch_number or None,
        )
