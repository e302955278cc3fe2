"""How does the service answer a request for a person's medication (薬剤情報) or checkups (特定健診)?

Layouts: oqs-interface section 3.4. What is told is invented from the person's number, so that the same month is
always answered the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Final

from pipeline.oqs.records import ReturnedRequest
from pipeline.oqs.times import format_day, format_instant, format_month
from producers.simulator import vocabulary
from producers.simulator.answers import Frame, Refusal
from producers.simulator.chance import chance
from producers.simulator.markup import Element, group, leaves
from producers.simulator.people import Person

NOT_CONSENTED: Final = ("SAMPLE004", "（見本）情報の閲覧に同意していません。")
CONSENT_EXPIRED: Final = ("SAMPLE007", "（見本）閲覧の有効期限が過ぎています。")
UNKNOWN_PERSON: Final = ("SAMPLE008", "（見本）該当する資格がありません。")
BAD_PERIOD: Final = ("SAMPLE009", "（見本）対象期間が正しくありません。")

_DRUGLESS_SHARE: Final = 0.3
_PHARMACY: Final = ("9949000022", "例示調剤薬局")
_CLINIC: Final = ("9919000033", "例示内科医院")
_ITEMS: Final = (
    ("9A751000000000001", "収縮期血圧(1回目)", 100, 160, "mmHg"),
    ("9A761000000000001", "拡張期血圧(1回目)", 60, 100, "mmHg"),
    ("3F015000002327101", "中性脂肪（トリグリセリド）", 50, 300, "mg/dl"),
    ("3F077000002327101", "LDLコレステロール", 70, 190, "mg/dl"),
    ("3D010000001927201", "空腹時血糖", 70, 160, "mg/dl"),
    ("8A065000002391901", "eGFR", 40, 110, ""),
)


@dataclass(frozen=True, slots=True, repr=False)
class Wish:
    """What a medication request asks for, its months in their order."""

    months: Sequence[date]
    has_treatments: bool = False
    has_prescriptions: bool = False


def _request_info(request: ReturnedRequest) -> list[Element]:
    head = request.header
    inner = leaves(
        ("ReqMedicalInstitutionCode", head.institution_code),
        ("ReqInsurerNumber", head.insurer_number),
        ("ReqInsuranceCardSymbol", head.symbol),
        ("ReqInsuredPersonIdentificationNumber", head.number),
        ("ReqBranchNumber", head.branch_number),
        ("ReqArbitraryFileIdentifier", head.arbitrary_file_identifier),
        ("ReqStartDate", request.start),
        ("ReqEndDate", request.end),
        ("ReqLastDate", request.last),
        ("ReqFileCategory", request.file_category),
    )
    return group("RequestInfo", inner)


def _head(frame: Frame, request: ReturnedRequest, subject: Sequence[Element], refusal: Refusal | None) -> list[Element]:
    code, text = refusal or ("", "")
    return [
        ("ProcessExecutionTime", format_instant(frame.at)),
        *_request_info(request),
        *subject,
        *leaves(
            ("ResultCode", "9" if refusal else "1"),
            ("MessageId", code),
            ("MessageContents", text),
            ("CharacterCodeIdentifier", frame.encoding.identifier),
        ),
    ]


def refused(frame: Frame, request: ReturnedRequest, refusal: Refusal) -> bytes:
    """Say that nothing is delivered, and why."""
    return frame.write(_head(frame, request, [], refusal), [])


def _age(person: Person, today: date) -> str:
    born = person.birthdate
    return str(today.year - born.year - ((today.month, today.day) < (born.month, born.day)))


def medication(frame: Frame, request: ReturnedRequest, person: Person, reference_number: str, wish: Wish) -> bytes:
    """Answer with the drugs of the months that were asked for."""
    coverage = person.coverage
    subject = leaves(
        ("InsNum", coverage.insurer.number),
        ("InsCdSym", coverage.symbol),
        ("InsCdNum", coverage.number),
        ("BrancNum", coverage.branch_number),
        ("KanaName", vocabulary.half_width(vocabulary.large(person.kana))),
        ("Name", person.name),
        ("Birth", format_day(person.birthdate)),
        ("Age", _age(person, frame.at.date())),
        ("AdmGendCode", person.sex),
        ("RefNum", reference_number),
    )
    body: list[Element] = []
    for month in wish.months:
        body += _month(person, month, wish)
    if wish.has_prescriptions:
        body += _prescribed(person, frame.at.date()) + _dispensed(person, frame.at.date())
    return frame.write(_head(frame, request, group("QuaInf", subject), None), body)


def _die(person: Person, *parts: object) -> Random:
    coverage = person.coverage
    return chance(coverage.insurer.number, coverage.symbol, coverage.number, coverage.branch_number, *parts)


def _month(person: Person, month: date, wish: Wish) -> list[Element]:
    die = _die(person, month)
    if die.random() < _DRUGLESS_SHARE:
        return []
    seen = month.replace(day=die.randint(1, 27))
    drugs: list[Element] = [("DrugInf", _drug(drug, die)) for drug in die.sample(vocabulary.DRUGS, die.randint(1, 3))]
    told = _institution_month(month, seen, [("DrugInfs", drugs)], is_pharmacy=True)
    if not wish.has_treatments:
        return told
    treatment = leaves(
        ("MeTrIdCl", "60"), ("SinInfCd", "999900001"), ("SinInfN", "見本血液検査"), ("Qua1", "1"), ("Times", "1")
    )
    inner: list[Element] = [("MeTrInfs", group("MeTrInf", treatment))]
    return told + _institution_month(month, seen, inner, is_pharmacy=False)


def _drug(drug: tuple[str, ...], die: Random) -> list[Element]:
    code, name, ingredient, unit, treatment_class, usage, quantity = drug
    return leaves(
        ("MeTrIdCl", treatment_class),
        ("UsageN", usage),
        ("SpInst", die.choice(("", "", "一包化"))),
        ("DrugC", code),
        ("DrugN", name),
        ("IngreN", ingredient),
        ("Unit", unit),
        ("Qua1", quantity),
        ("OnDose", "1"),
        ("Times", str(die.choice((7, 14, 28)))),
    )


def _institution_month(month: date, day: date, inner: Sequence[Element], *, is_pharmacy: bool) -> list[Element]:
    code, name = _PHARMACY if is_pharmacy else _CLINIC
    prescriber = _CLINIC if is_pharmacy else ("", "")
    told: list[Element] = [
        *leaves(("DiDate", format_day(day)), ("PrDate", format_day(day) if is_pharmacy else "")),
        *inner,
    ]
    return group(
        "MeTrMonthInf",
        [
            *leaves(
                ("MeTrMonth", format_month(month)),
                ("InOut", "4" if is_pharmacy else "2"),
                ("GrpNum1", "001" if is_pharmacy else "002"),
                ("DiOrg", "2"),
                ("MeTrDiHCd", code),
                ("MeTrDiHNm", name),
                ("PrlsHCd", prescriber[0]),
                ("PrlsHNm", prescriber[1]),
            ),
            *group("DiDateInfs", group("DiDateInf", told)),
        ],
    )


def _e_drug(prefix: str, person: Person) -> list[Element]:
    code, name, ingredient, unit, usage_class, usage, quantity = _die(person, "prescription").choice(vocabulary.DRUGS)
    inner = leaves(
        (f"{prefix}UsageCl", usage_class),
        (f"{prefix}UsageN", usage),
        (f"{prefix}DrugC", code),
        (f"{prefix}DrugN", name),
        (f"{prefix}IngreN", ingredient),
        (f"{prefix}Qua1", quantity),
        (f"{prefix}Unit", unit),
        (f"{prefix}Times", "28"),
    )
    return group(f"{prefix}DrugInfs", group(f"{prefix}DrugInf", inner))


def _prescribed(person: Person, today: date) -> list[Element]:
    day = [*leaves(("ShPrDate", format_day(today))), *_e_drug("Sh", person)]
    month = [
        *leaves(("ShPrMonth", format_month(today)), ("ShPrOrg", "2"), ("ShPrHCd", _CLINIC[0]), ("ShPrHNm", _CLINIC[1])),
        *group("ShPrDateInfs", group("ShPrDateInf", day)),
    ]
    return group("ShPrInf", group("ShPrMonthInf", month))


def _dispensed(person: Person, today: date) -> list[Element]:
    day = [*leaves(("CzDiDate", format_day(today)), ("CzPrDate", format_day(today))), *_e_drug("Cz", person)]
    month = [
        *leaves(
            ("CzDiMonth", format_month(today)),
            ("CzDiOrg", "2"),
            ("CzMeTrDiHCd", _PHARMACY[0]),
            ("CzMeTrDiHNm", _PHARMACY[1]),
            ("CzPrlsHCd", _CLINIC[0]),
            ("CzPrlsHNm", _CLINIC[1]),
        ),
        *group("CzDiDateInfs", group("CzDiDateInf", day)),
    ]
    return group("CzDiInf", group("CzDiMonthInf", month))


def checkup(frame: Frame, request: ReturnedRequest, person: Person, reference_number: str) -> bytes:
    """Answer with the checkups of the last two years."""
    coverage = person.coverage
    subject = leaves(
        ("InsurerNumber", coverage.insurer.number),
        ("InsuranceCardSymbol", coverage.symbol),
        ("InsuredPersonIdentificationNumber", coverage.number),
        ("BranchNumber", coverage.branch_number),
        ("KanaName", vocabulary.half_width(vocabulary.large(person.kana))),
        ("Name", person.name),
        ("Birthday", format_day(person.birthdate)),
        ("Age", _age(person, frame.at.date())),
        ("AdministrativeGenderCode", person.sex),
        ("ReferenceNumber", reference_number),
    )
    years = (frame.at.year - 1, frame.at.year - 2)
    body: list[Element] = [("SpecificHealthCheckupInfo", _checkup(person, year)) for year in years]
    return frame.write(_head(frame, request, group("QualificationsInfo", subject), None), body)


def _checkup(person: Person, year: int) -> list[Element]:
    die = _die(person, "checkup", year)
    items: list[Element] = [
        (
            "HealthCheckupResultAndQuestionInfo",
            leaves(
                ("ItemCode", code),
                ("ItemName", name),
                ("DataType", "PQ"),
                ("DataValue", str(die.randint(low, high))),
                ("Unit", unit),
            ),
        )
        for code, name, low, high, unit in _ITEMS
    ]
    day = date(year, 10, die.randint(1, 28))
    return [("EffectiveTime", format_day(day)), ("HealthCheckupResultAndQuestionInfos", items)]
