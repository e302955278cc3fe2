"""Who are the invented people, and how are they insured?

Families share symbol and number and differ by branch number (枝番); no two people share kana and birthdate unless a
case wants it. Values stand as the service would write them, except kana, which is full-width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from producers.simulator import insurers, vocabulary
from producers.simulator.cases import Case, Kind, kind_for, schedule
from producers.simulator.chance import chance
from producers.simulator.insurers import Insurer

MALE: Final = "1"
FEMALE: Final = "2"
INSURED: Final = "1"
FAMILY: Final = "2"
MEDICAL_AID: Final = "A1"
_YEAR: Final = 365.25
_HOUSEHOLD: Final = 3


@dataclass(frozen=True, slots=True, repr=False)
class Coverage:
    """One insurance (資格) or medical aid of a person. `valid_to` is the last day; `None`: open."""

    insurer: Insurer
    symbol: str
    number: str
    branch_number: str
    relationship: str
    insured_name: str
    valid_from: date
    card_classification: str = "01"
    valid_to: date | None = None
    burden_ratio: str = ""
    recipient_ratio: str = ""
    limit_class: str = ""
    limit_flag: str = ""
    specific_disease: str = ""
    is_preschool: bool = False

    @property
    def is_medical_aid(self) -> bool:
        return self.card_classification == MEDICAL_AID


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """A person as the service knows them. `patient_id`: the chart number, registered or not."""

    patient_id: str
    name: str
    kana: str
    sex: str
    birthdate: date
    postal_code: str
    address: str
    coverages: tuple[Coverage, ...]

    @property
    def coverage(self) -> Coverage:
        return self.coverages[0]

    def with_coverage(self, coverage: Coverage) -> "Person":
        return replace(self, coverages=(coverage, *self.coverages[1:]))


@dataclass(slots=True)
class _Household:
    surname: tuple[str, str]
    insurer: Insurer
    symbol: str
    number: str
    postal_code: str
    address: str
    head_name: str = ""
    members: int = 0

    def next_branch(self, *, is_head: bool) -> str:
        # 00 is the insured person's own.
        if not is_head:
            self.members = max(self.members, 1)
        self.members += 1
        return f"{self.members - 1:02d}"


class Population:
    """The people of a clinic, one for each visit of the run, in the order of `cases`.

    `companions`: for some, by place, a second person whom the case needs: a twin, a namesake.
    """

    def __init__(self, seed: int, size: int, institution_code: str, today: date) -> None:
        self.seed = seed
        self.institution_code = institution_code
        self.today = today
        self.cases: tuple[Case, ...] = schedule(seed, size)
        self._die = chance(seed, "people")
        self._taken: set[tuple[str, date]] = set()
        self._serial = 0
        self._household = self._move_in(is_municipal=False)
        self.companions: dict[int, Person] = {}
        self.people: tuple[Person, ...] = tuple(self._cast(at, case) for at, case in enumerate(self.cases))

    @property
    def everyone(self) -> tuple[Person, ...]:
        return (*self.people, *self.companions.values())

    def _cast(self, at: int, case: Case) -> Person:
        kind = kind_for(case, at)
        person = self._born(at, kind)
        if kind is Kind.TWIN:
            self.companions[at] = self._twin_of(at, person)
        elif kind is Kind.NAMESAKE:
            stranger = self._born(at, Kind.NATIONAL)
            self.companions[at] = replace(
                stranger,
                patient_id=f"9{at:07d}",
                name=person.name,
                kana=person.kana,
                sex=person.sex,
                birthdate=person.birthdate,
            )
        return person

    def _born(self, at: int, kind: Kind) -> Person:
        age, build = _MAKING[kind]
        if kind is not Kind.GENERAL or at % _HOUSEHOLD == 0 or not self._is_society():
            self._household = self._move_in(is_municipal=kind in (Kind.NATIONAL, Kind.RECIPIENT))
        sex = self._die.choice((MALE, FEMALE))
        name, kana, birthdate = self._identity(kind, sex, age)
        if not self._household.head_name:
            head = kind not in (Kind.PRESCHOOL, Kind.TWIN)
            self._household.head_name = name if head else self._household.surname[0] + "　太郎"
        home = self._household
        coverages = build(self, name, birthdate)
        return Person(f"{at + 1:07d}", name, kana, sex, birthdate, home.postal_code, home.address, coverages)

    def _is_society(self) -> bool:
        return self._household.insurer in insurers.SOCIETIES

    def _identity(self, kind: Kind, sex: str, age: tuple[int, int]) -> tuple[str, str, date]:
        while True:
            name, kana = self._foreign() if kind is Kind.FOREIGN else self._named(sex)
            born = self.today - timedelta(days=self._die.randint(int(age[0] * _YEAR) + 2, int(age[1] * _YEAR) - 2))
            if (kana, born) not in self._taken:
                self._taken.add((kana, born))
                return name, kana, born

    def _named(self, sex: str) -> tuple[str, str]:
        stock = vocabulary.MALE_NAMES if sex == MALE else vocabulary.FEMALE_NAMES
        given, given_kana = self._die.choice(stock)
        surname, surname_kana = self._household.surname
        return f"{surname}　{given}", f"{surname_kana}　{given_kana}"

    def _foreign(self) -> tuple[str, str]:
        name, kana = self._die.choice(vocabulary.FOREIGN_NAMES)
        return name, kana.replace(" ", "　")

    def _move_in(self, *, is_municipal: bool) -> _Household:
        die = self._die
        self._serial += 1
        # The serial keeps two households from sharing symbol and number by chance.
        number = f"{self._serial}{die.randint(0, 9)}"
        where = vocabulary.full_digits(f"{die.randint(1, 9)}-{die.randint(1, 30)}-{die.randint(1, 20)}")
        building = die.choice(vocabulary.BUILDINGS)
        room = vocabulary.full_digits(str(die.randint(1, 9) * 100 + die.randint(1, 9))) if building else ""
        return _Household(
            surname=die.choice(vocabulary.SURNAMES),
            insurer=die.choice(insurers.MUNICIPAL if is_municipal else insurers.SOCIETIES),
            symbol="例示・" + vocabulary.full_digits(str(die.randint(10, 99)))
            if is_municipal
            else str(die.randint(10, 9999)),
            number=number.zfill(7) if die.random() < 0.5 else number,  # noqa: PLR2004
            postal_code=f"990-{die.randint(1, 99):04d}",
            address=die.choice(vocabulary.TOWNS) + where + building + room,
        )

    def _twin_of(self, at: int, person: Person) -> Person:
        surname, surname_kana = self._household.surname
        sex = FEMALE if person.sex == MALE else MALE
        given, kana = self._die.choice(vocabulary.MALE_NAMES if sex == MALE else vocabulary.FEMALE_NAMES)
        twin = replace(
            person, patient_id=f"9{at:07d}", name=f"{surname}　{given}", kana=f"{surname_kana}　{kana}", sex=sex
        )
        return twin.with_coverage(replace(person.coverage, branch_number=self._household.next_branch(is_head=False)))

    # What each kind of person is insured by.

    def society(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        home = self._household
        is_head = name == home.head_name
        limit = self._die.random() < 0.3  # noqa: PLR2004
        return (
            Coverage(
                insurer=home.insurer,
                symbol=home.symbol,
                number=home.number,
                branch_number=home.next_branch(is_head=is_head),
                relationship=INSURED if is_head else FAMILY,
                insured_name=home.head_name,
                valid_from=max(birthdate, date(self.today.year - 3, 4, 1)),
                limit_class="01" if limit else "",
                limit_flag=self._die.choice(("A01", "A02", "A03", "A04")) if limit else "",
            ),
        )

    def preschool(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        (child,) = self.society(name, birthdate)
        return (replace(child, is_preschool=True, limit_class="", limit_flag=""),)

    def municipal(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        (coverage,) = self.society(name, birthdate)
        start, end = _elderly_year(self.today)
        branch = f"{int(coverage.branch_number) + 1:02d}"
        return (replace(coverage, branch_number=branch, valid_from=max(birthdate, start), valid_to=end),)

    def recipient(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        (coverage,) = self.municipal(name, birthdate)
        is_ill = self._die.random() < 0.3  # noqa: PLR2004
        return (
            replace(
                coverage,
                recipient_ratio=self._die.choice(("020", "030")),
                limit_class="02",
                limit_flag=self._die.choice(("B05", "B06")),
                specific_disease="1" if is_ill else "",
            ),
        )

    def late_elderly(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        start, end = _elderly_year(self.today)
        ratio, flag = self._die.choice((("010", "B10"), ("020", "B09"), ("030", "B03")))
        return (
            Coverage(
                insurer=insurers.LATE_ELDERLY,
                symbol="",
                number=f"{10_000_000 + self._serial:08d}",
                branch_number="",
                relationship="",
                insured_name="",
                valid_from=max(start, birthdate),
                valid_to=end,
                burden_ratio=ratio,
                limit_class="01",
                limit_flag=flag,
            ),
        )

    def medical_aid(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        del name
        return (
            Coverage(
                insurer=self._die.choice(insurers.WELFARE),
                symbol="",
                number=f"{self._serial:07d}",
                branch_number="",
                relationship="",
                insured_name="",
                valid_from=max(birthdate, date(self.today.year - 2, 4, 1)),
                card_classification=MEDICAL_AID,
            ),
        )

    def combined(self, name: str, birthdate: date) -> tuple[Coverage, ...]:
        return self.society(name, birthdate) + self.medical_aid(name, birthdate)


_Build = Callable[[Population, str, date], tuple[Coverage, ...]]

_MAKING: Final[dict[Kind, tuple[tuple[int, int], _Build]]] = {
    Kind.GENERAL: ((18, 65), Population.society),
    Kind.PRESCHOOL: ((0, 6), Population.preschool),
    Kind.NATIONAL: ((20, 69), Population.municipal),
    Kind.RECIPIENT: ((70, 75), Population.recipient),
    Kind.LATE_ELDERLY: ((75, 99), Population.late_elderly),
    Kind.MEDICAL_AID: ((30, 80), Population.medical_aid),
    Kind.COMBINED: ((30, 60), Population.combined),
    Kind.FOREIGN: ((20, 60), Population.society),
    Kind.TWIN: ((1, 6), Population.preschool),
    Kind.NAMESAKE: ((20, 65), Population.society),
}


def _elderly_year(today: date) -> tuple[date, date]:
    """Certificates of the elderly and of municipal insurance run from 1 August to 31 July."""
    start = date(today.year if today.month >= 8 else today.year - 1, 8, 1)  # noqa: PLR2004
    return start, date(start.year + 1, 7, 31)


def is_late_elderly(coverage: Coverage) -> bool:
    return coverage.insurer is insurers.LATE_ELDERLY
