"""Whom is an inquiry about, and how is that person written into a request?

Charts and people write numbers in many widths; a request has one form (oqs-interface sections 3.2, 3.3 and 4). What
is left blank is left out. Symbol and number stay as they stand on the card.
"""

import unicodedata
from datetime import datetime
from typing import Any

from consumers.consent.asking import RequestFile, Wanted
from pipeline.clinic_settings import Clinic
from pipeline.errors import PermanentError
from pipeline.folding import fold_branch, fold_insurer
from pipeline.hidden import Hidden
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.times import JST
from pipeline.patient_row import PatientRow
from pipeline.persons import patient_hash, person_hash


class Person(Hidden):
    """One insured person. `patient_id`: the chart number, where the chart knows them."""

    patient_id: str | None = None
    insurer_number: str | None = None
    symbol: str | None = None
    number: str | None = None
    branch_number: str | None = None
    birthdate: str | None = None
    """YYYYMMDD or YYYY-MM-DD."""
    name: str | None = None
    kana: str | None = None
    limit_class: str | None = None
    limit_flag: str | None = None
    """What the chart holds of a limit certificate (限度額), so that the service can say whether it changed."""
    reference_number: str | None = None
    """What to register (照会番号); none: the chart number."""

    @classmethod
    def of_row(cls, row: PatientRow) -> "Person":
        """Take one row of the chart's list."""
        return cls(**{name: value or None for name, value in row.model_dump().items() if name in cls.model_fields})

    @property
    def insurance(self) -> dict[str, Any]:
        """Name the insurance as a request writes it."""
        insurer = fold_insurer(self.insurer_number)
        return {
            # Six digits (国保) are filled with spaces, never with zeros; no number of eight begins with 00.
            "insurer_number": insurer.removeprefix("00"),
            "symbol": (self.symbol or "").strip() or None,
            "number": (self.number or "").strip(),
            "branch_number": fold_branch(self.branch_number),
        }

    @property
    def born(self) -> str:
        """Write the birthdate with eight digits; whether there is such a day is for the service to say."""
        plain = unicodedata.normalize("NFKC", self.birthdate or "")
        return "".join(character for character in plain if character.isdigit())

    @property
    def detail(self) -> dict[str, Any]:
        """Give the fields of `RequestDetail` that name the person."""
        told = {"patient_id": self.patient_id, "birthdate": self.born or None, "name": self.name, "kana": self.kana}
        return {**self.insurance, **told}

    def hashed(self, keyring: Keyring, clinic: str) -> str | None:
        """Name the insured person by the clinic's keyed hash; none when too little is known."""
        identity = keyring.identity(clinic)
        return person_hash(identity, **self.insurance, birthdate=self.born, kana=self.kana)


def institution_code(clinic: Clinic, now: datetime) -> str:
    """Name the clinic's institution code (医療機関コード) that requests carry now."""
    return clinic.code_on(now.astimezone(JST).date())


def terminal_of(clinic: Clinic, terminal: str | None) -> str:
    """Choose the terminal that shall place a request: the one named, else the clinic's first.

    Raises:
        PermanentError: there is none.
    """
    names = [own.id for own in clinic.terminals]
    if not names or (terminal is not None and terminal not in names):
        raise PermanentError("unknown_terminal", "the clinic has no such terminal")
    return terminal or names[0]


def about(  # noqa: PLR0917 - who, whom, what
    clinic: Clinic,
    keyring: Keyring,
    person: Person | None,
    asked_by: str,
    kind: MessageKind,
    file: RequestFile,
    *,
    terminal: str | None = None,
    **more: Any,
) -> Wanted:
    """Say that this file is wanted; `person`: the only one it is about, if there is one."""
    hashed = person.hashed(keyring, clinic.id) if person else None
    chart = patient_hash(keyring.identity(clinic.id), person.patient_id) if person and person.patient_id else None
    return Wanted(
        clinic=clinic.id,
        terminal=terminal_of(clinic, terminal),
        kind=kind.value,
        file=file,
        person_hash=hashed,
        patient_hash=chart,
        asked_by=asked_by,
        **more,
    )
