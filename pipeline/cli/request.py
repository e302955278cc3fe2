"""`onshi request …`: what does staff want to know of the service (照会)?

The command writes what is wanted into the store; the running consent role has it placed within a second.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Connection, select

from consumers.consent import asking, inquiries, standing
from consumers.consent.asking import Wanted
from consumers.consent.inquiries import Person
from consumers.consent.references.owners import places_of_others
from pipeline.cli import labels
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.clinic_settings import Clinic
from pipeline.errors import PermanentError
from pipeline.folding import fold_branch, fold_day, fold_insurer
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.times import JST
from pipeline.patient_index import CurrentList
from pipeline.patient_row import PatientRow
from pipeline.settings import Settings, Staff
from pipeline.storage.schema import requests as table

_CARE: Final = {"visit": "2", "online": "3"}
_WITHOUT_BRANCH: Final = ("39", "12")
"""後期高齢者医療 and medical aid: their numbers are a person's own, and have no branch."""


class NotAllowedError(PermanentError):
    """It may not be asked. Names no patient."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One command at work."""

    desk: Desk
    connection: Connection
    clinic: Clinic
    staff: Staff
    arguments: Namespace

    @property
    def today(self) -> date:
        return self.desk.now.astimezone(JST).date()

    def rows(self, patient_ids: Collection[str]) -> dict[str, list[PatientRow]]:
        return CurrentList(self.connection, self.desk.keyring, self.clinic.id, self.desk.opener).of(patient_ids)

    def insured(self, patient_ids: Sequence[str], day: date) -> list[Person]:
        """Name each of these patients under each insurance in force that day, by the chart; else the newest one."""
        rows = self.rows(patient_ids)
        missing = [number for number, patient_id in enumerate(patient_ids, start=1) if patient_id not in rows]
        if missing:
            raise WrongUseError(f"not on the current patient list: chart number {_listed(missing)} of those given")
        found = [row for one in dict.fromkeys(patient_ids) for row in _in_force(rows[one], day)]
        if not found:
            raise WrongUseError("the chart knows no insurance of them")
        return [Person.of_row(row) for row in found]


def request(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        deed = f"request.{arguments.action}"
        staff = desk.required_staff(deed, arguments.clinic or "")
        clinic = _clinic(settings, arguments)
        try:
            with desk.store.transaction() as connection:
                wanted = _WANTED[arguments.action](Asking(desk, connection, clinic, staff, arguments))
                made = [(one, _add(desk, connection, one)) for one in wanted]
                for _, request_id in made:
                    desk.log_deed(connection, deed, request_id)
        except ValidationError as error:
            raise WrongUseError(_faults(error)) from None
        except NotAllowedError:
            desk.log_access(deed, clinic.id, "refused")
            raise
        rows = [_told(one, request_id) for one, request_id in made]
        lines = [f"{row['label']}: {row['request_id']}" for row in rows]
        desk.say({"requests": rows}, [*lines, "see: onshi requests list"])
    return 0


def _told(wanted: Wanted, request_id: str) -> dict[str, str]:
    told = {"request_id": request_id, "clinic": wanted.clinic, "terminal": wanted.terminal, "kind": wanted.kind}
    return {**told, "label": labels.kind(wanted.kind)}


def _add(desk: Desk, connection: Connection, wanted: Wanted) -> str:
    if wanted.person_hash is not None:
        # One at a time for a person and kind (design section 9).
        own = (table.c.clinic == wanted.clinic) & (table.c.person_hash == wanted.person_hash)
        same = (table.c.kind == wanted.kind) & table.c.state.in_(("wanted", "placed"))
        running = connection.execute(select(table.c.request_id).where(own & same)).first()
        if running is not None:
            raise NotAllowedError("asked_already", f"this is being asked already: {running.request_id}")
    timeout = timedelta(seconds=desk.settings.centre.request_timeout_seconds)
    return asking.add(connection, desk.keyring, wanted, timeout, desk.now)


def _clinic(settings: Settings, arguments: Namespace) -> Clinic:
    known = {clinic.id: clinic for clinic in settings.clinics}
    name = arguments.clinic or (settings.clinics[0].id if len(known) == 1 else None)
    if name is None:
        raise WrongUseError(f"--clinic: say which of {', '.join(known)}")
    if name not in known:
        raise WrongUseError("--clinic: there is no such clinic")
    names = [terminal.id for terminal in known[name].terminals]
    if not names or (arguments.terminal and arguments.terminal not in names):
        raise WrongUseError(f"--terminal: the clinic has {', '.join(names) or 'none'}")
    return known[name]


# Whom


def _person(work: Asking, day: date) -> list[Person]:
    asked = work.arguments
    card = {"insurer_number": asked.insurer, "number": asked.number, "birthdate": asked.birthdate}
    if asked.patient:
        if any((*card.values(), asked.symbol, asked.branch)):
            raise WrongUseError("--patient: give a patient or a card, not both")
        return work.insured([asked.patient], day)
    if not all(card.values()):
        raise WrongUseError("give --patient, or the card: --insurer, --number and --birthdate")
    return [Person(symbol=asked.symbol, branch_number=asked.branch, **card)]


def _people(work: Asking, day: date) -> list[Person]:
    source = work.arguments.source
    given = list(work.arguments.patients)
    if source is not None:
        given += _lines(source)
    if not given:
        raise WrongUseError("give chart numbers, or --from FILE")
    return work.insured(given, day)


def _lines(source: str) -> list[str]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise WrongUseError("--from: is not UTF-8") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _in_force(rows: Sequence[PatientRow], day: date) -> list[PatientRow]:
    known = [row for row in rows if fold_insurer(row.insurer_number) and row.number.strip()]
    current = [
        row for row in known if (fold_day(row.valid_from) or date.min) <= day <= (fold_day(row.valid_to) or date.max)
    ]
    return current or sorted(known, key=lambda row: row.valid_from)[-1:]


def _has_key(person: Person) -> bool:
    insurer = fold_insurer(person.insurer_number)
    return fold_branch(person.branch_number) is not None or insurer.startswith(_WITHOUT_BRANCH)


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:10])
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"  # noqa: PLR2004 - enough to find them


# What


def _single(work: Asking) -> list[Wanted]:
    asked = work.arguments
    people = _person(work, asked.day or work.today)
    return inquiries.single(
        work.clinic,
        work.desk.keyring,
        people,
        work.staff.id,
        work.desk.now,
        day=asked.day,
        limit_consent=asked.limit_consent,
        care=_CARE.get(asked.care),  # type: ignore[arg-type]
        terminal=asked.terminal,
    )


def _booking(work: Asking) -> list[Wanted]:
    day = work.arguments.day or work.today + timedelta(days=1)
    people = _people(work, day)
    own = (work.clinic, work.desk.keyring, people, work.staff.id, work.desk.now)
    return inquiries.booking(*own, day=day, terminal=work.arguments.terminal)


def _reference(work: Asking) -> list[Wanted]:
    people = [person for person in _people(work, work.today) if _has_key(person)]
    if not people:
        raise WrongUseError("none of them has an insurance with a branch number (枝番)")
    if shared := places_of_others(work.connection, work.desk.keyring, work.clinic.id, people):
        # A person decides whose number it shall be, patient by patient.
        told = f"{len(shared)} have an insurance of another chart (see: onshi reference-numbers register --patient)"
        raise NotAllowedError("other_patient", told)
    own = (work.clinic, work.desk.keyring, people, work.staff.id, work.desk.now)
    return inquiries.registration(*own, bulk=work.arguments.bulk or None, terminal=work.arguments.terminal)


def _medication(work: Asking) -> list[Wanted]:
    asked = work.arguments
    also = (ConsentCategory.DIAGNOSIS,) if asked.treatments else ()
    allowed = _allowed(work, ConsentCategory.MEDICATION, *also, may_view=work.staff.view_medication)
    first = asked.first or (work.today.replace(day=1) - timedelta(days=1)).replace(day=1)
    return [
        wanted
        for person, permission in allowed
        for wanted in inquiries.medication(
            work.clinic,
            work.desk.keyring,
            person,
            work.staff.id,
            work.desk.now,
            permission=permission,
            period=inquiries.Period(first, asked.last),
            pdf=asked.pdf,
            treatments=asked.treatments,
            prescriptions=asked.prescriptions or None,
            terminal=asked.terminal,
        )
    ]


def _checkup(work: Asking) -> list[Wanted]:
    asked = work.arguments
    return [
        wanted
        for person, permission in _allowed(work, ConsentCategory.CHECKUP, may_view=work.staff.view_checkup)
        for wanted in inquiries.checkup(
            work.clinic,
            work.desk.keyring,
            person,
            work.staff.id,
            work.desk.now,
            permission=permission,
            pdf=asked.pdf,
            terminal=asked.terminal,
        )
    ]


def _allowed(
    work: Asking, category: ConsentCategory, *also: ConsentCategory, may_view: bool
) -> list[tuple[Person, inquiries.Permission]]:
    """Find the patient's grants that stand now; staff who may not see the data may not ask for it either."""
    if not may_view:
        raise NotAllowedError("not_allowed", "your entry under [[staff]] does not let you see this")
    patient_id = work.arguments.patient
    keyring, clinic = work.desk.keyring, work.clinic.id
    people = [Person.of_row(row) for row in work.rows([patient_id]).get(patient_id, ())]
    hashes = {hashed for person in people if (hashed := person.hashed(keyring, clinic))}
    hashes |= standing.hashes_of(work.connection, keyring, clinic, patient_id)
    found = standing.allowed(work.connection, keyring, clinic, hashes, work.desk.now)
    held = [
        (one.person.model_copy(update={"patient_id": patient_id}), permission)
        for one in found
        if (permission := one.under(category, *also)) is not None
    ]
    if not held:
        raise NotAllowedError("no_consent", "no consent of this patient stands for it now (see: onshi consents list)")
    return held


def _visit(work: Asking) -> list[Wanted]:
    asked = work.arguments
    own = (work.clinic, work.desk.keyring, (asked.first, asked.last), work.staff.id, work.desk.now)
    return inquiries.visit(*own, terminal=asked.terminal)


def _online(work: Asking) -> list[Wanted]:
    asked = work.arguments
    own = (work.clinic, work.desk.keyring, (asked.first, asked.last), work.staff.id, work.desk.now)
    return inquiries.online(*own, examined=asked.examined, terminal=asked.terminal)


def _medical_aid(work: Asking) -> list[Wanted]:
    own = (work.clinic, work.desk.keyring, work.arguments.month, work.staff.id, work.desk.now)
    return inquiries.medical_aid(*own, terminal=work.arguments.terminal)


def _withdraw(work: Asking) -> list[Wanted]:
    own = (work.clinic, work.desk.keyring, _person(work, work.today), work.staff.id, work.desk.now)
    care = _CARE[work.arguments.care]
    return inquiries.withdrawal(*own, care=care, terminal=work.arguments.terminal)  # type: ignore[arg-type]


_WANTED: Final[dict[str, Callable[[Asking], list[Wanted]]]] = {
    "single": _single,
    "booking": _booking,
    "reference": _reference,
    "medication": _medication,
    "checkup": _checkup,
    "visit": _visit,
    "online": _online,
    "medical-aid": _medical_aid,
    "withdraw": _withdraw,
}


def _faults(error: ValidationError) -> str:
    """Name every field that the service would refuse, and no value."""
    told = error.errors(include_input=False, include_url=False, include_context=False)
    places = [[str(part) for part in fault["loc"] if part != "header"] for fault in told]
    return "; ".join(
        f"{'.'.join(place) or 'request'}: {fault['msg'].removeprefix('Value error, ')}"
        for place, fault in zip(places, told, strict=True)
    )
