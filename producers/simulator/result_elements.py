"""How does the service tell of a person's insurance (ResultOfQualificationConfirmation)?

Elements: oqs-interface sections 3.1.3 to 3.1.5 and, for visit and online care, 3.6.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import CONSENT_ELEMENTS, ConsentCategory
from pipeline.oqs.times import format_day, format_instant, format_month
from producers.simulator import vocabulary
from producers.simulator.markup import Element, group, leaves
from producers.simulator.people import Coverage, Person

CONSENT_LASTS: Final = timedelta(hours=24)
"""What a consent at the reader allows (oqs-interface section 5.1)."""

_ELEMENT_OF: Final = {category: stem for stem, category in CONSENT_ELEMENTS.items()}


@dataclass(frozen=True, slots=True, repr=False)
class Telling:
    """What is told beside the insurance itself. `consents` is empty for a card inquiry, which collects none.

    `limit_consented`: `None` leaves certificates out altogether, as a booking query does.
    """

    at: datetime
    institution_code: str
    consents: dict[ConsentCategory, bool] = field(default_factory=dict)
    until: datetime | None = None
    limit_consented: bool | None = True
    reference_number: str = ""
    arbitrary_identifier: str = ""
    validity: Validity = Validity.VALID
    is_vendor_spelt: bool = False
    limit_changed: str = ""


def result(person: Person, coverage: Coverage, telling: Telling) -> Element:
    """Tell of one insurance of a person."""
    return ("ResultOfQualificationConfirmation", [*_identity(person, coverage, telling), *_rights(coverage, telling)])


def results(person: Person, telling: Telling) -> list[Element]:
    return [result(person, coverage, telling) for coverage in person.coverages]


def _day(day: date | None) -> str:
    return format_day(day) if day else ""


def _identity(person: Person, coverage: Coverage, telling: Telling) -> list[Element]:
    lost = _loss(coverage, telling)
    return leaves(
        ("InsuredCardClassification", coverage.card_classification),
        ("InsurerNumber", coverage.insurer.number),
        ("InsuredCardSymbol", coverage.symbol),
        ("InsuredIdentificationNumber", coverage.number),
        ("InsuredBranchNumber", coverage.branch_number),
        ("PersonalFamilyClassification", coverage.relationship),
        ("InsuredName", coverage.insured_name),
        ("Name", person.name),
        ("NameKana", vocabulary.half_width(vocabulary.large(person.kana))),
        ("Sex1", person.sex),
        ("Birthdate", format_day(person.birthdate)),
        ("Address", person.address),
        ("PostNumber", person.postal_code),
        ("QualificationDate", _day(coverage.valid_from)),
        ("DisqualificationDate", _day(lost)),
        ("InsuredCertificateIssuanceDate", _day(coverage.valid_from)),
        ("InsuredCardValidDate", _day(coverage.valid_from)),
        ("InsuredCardExpirationDate", _day(lost - timedelta(days=1) if lost else coverage.valid_to)),
        ("InsuredPartialContributionRatio", coverage.burden_ratio),
        ("PreschoolClassification", "1" if coverage.is_preschool else ""),
        ("ReasonOfLoss", "03" if lost else ""),
        ("InsurerName", coverage.insurer.name),
    )


def _loss(coverage: Coverage, telling: Telling) -> date | None:
    if telling.validity not in (Validity.INVALID, Validity.INVALID_NEWER):
        return None
    return max(coverage.valid_from + timedelta(days=1), telling.at.date() - timedelta(days=30))


def _rights(coverage: Coverage, telling: Telling) -> list[Element]:
    return [
        *_recipient(coverage),
        *_certificates(coverage, telling),
        *_tickets(coverage, telling),
        *_consents(telling),
        *leaves(
            ("LimitApplicationCertificateChanged", telling.limit_changed),
            ("OnsRegistrationTime", _day(coverage.valid_from) + "120000"),
            ("ArbitraryIdentifier", telling.arbitrary_identifier),
            ("ReferenceNumber", telling.reference_number),
            ("QualificationChangeFlg", "0"),
        ),
    ]


def _recipient(coverage: Coverage) -> list[Element]:
    if not coverage.recipient_ratio:
        return []
    inner = leaves(
        ("ElderlyRecipientCertificateDate", _day(coverage.valid_from)),
        ("ElderlyRecipientValidStartDate", _day(coverage.valid_from)),
        ("ElderlyRecipientValidEndDate", _day(coverage.valid_to)),
        ("ElderlyRecipientContributionRatio", coverage.recipient_ratio),
    )
    return group("ElderlyRecipientCertificateInfo", inner)


def _certificates(coverage: Coverage, telling: Telling) -> list[Element]:
    if telling.limit_consented is None or coverage.is_medical_aid:
        return []
    if not telling.limit_consented:
        return leaves(
            ("LimitApplicationCertificateRelatedConsFlg", "0"), ("SpecificDiseasesCertificateRelatedConsFlg", "0")
        )
    at = format_instant(telling.at)
    given = leaves(
        ("LimitApplicationCertificateRelatedConsFlg", "1"),
        ("LimitApplicationCertificateRelatedConsTime", at),
        ("SpecificDiseasesCertificateRelatedConsFlg", "1"),
        ("SpecificDiseasesCertificateRelatedConsTime", at),
    )
    return given + _limit(coverage) + _disease(coverage)


def _limit(coverage: Coverage) -> list[Element]:
    if not coverage.limit_class:
        return []
    inner = leaves(
        ("LimitApplicationCertificateClassification", coverage.limit_class),
        ("LimitApplicationCertificateClassificationFlag", coverage.limit_flag),
        ("LimitApplicationCertificateDate", _day(coverage.valid_from)),
        ("LimitApplicationCertificateValidStartDate", _day(coverage.valid_from)),
        ("LimitApplicationCertificateValidEndDate", _day(coverage.valid_to)),
    )
    return group("LimitApplicationCertificateRelatedInfo", inner)


def _disease(coverage: Coverage) -> list[Element]:
    if not coverage.specific_disease:
        return []
    inner = leaves(
        ("SpecificDiseasesDiseaseCategory", coverage.specific_disease),
        ("SpecificDiseasesCertificateDate", _day(coverage.valid_from)),
        ("SpecificDiseasesValidStartDate", _day(coverage.valid_from)),
        ("SpecificDiseasesSelfPay", "10000"),
    )
    return group("SpecificDiseasesCertificateList", group("SpecificDiseasesCertificateInfo", inner))


def _tickets(coverage: Coverage, telling: Telling) -> list[Element]:
    if not coverage.is_medical_aid:
        return []
    today = telling.at.date()
    last = (today.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    ticket = leaves(
        ("TicketType", "01"),
        ("MedicalTicketValidDate", _day(today.replace(day=1))),
        ("MedicalTicketExpirationDate", _day(last)),
        ("IssueNumber", format_month(today) + coverage.number.zfill(9)),
        ("MedicalTreatmentMonth", format_month(today)),
        ("DesignatedMedicalInstitutionCode", telling.institution_code),
        ("DesignatedMedicalInstitutionFlag", "0"),
        ("DesignatedMedicalInstitutionName", "見本クリニック"),
        ("InjuryName1", "見本症"),
        ("MedicalTreatmentType", "02"),
        ("SelfPayAmount", "0"),
        ("SingleOrCombinedUse", "01"),
        ("DistrictContactName", "第一係"),
    )
    return group("PublicExpenseResultList", group("MedicalTicketInfo", ticket))


def _consents(telling: Telling) -> list[Element]:
    at = format_instant(telling.at)
    until = format_instant(telling.until or telling.at + CONSENT_LASTS)
    elements: list[Element] = []
    for category, is_given in telling.consents.items():
        stem, ending = _ELEMENT_OF[category], "AvailableTime"
        if telling.is_vendor_spelt:
            stem = "PharmaceuticalInfo" if category is ConsentCategory.MEDICATION else stem
            ending = "AcquisitionTime"
        elements.append((f"{stem}ConsFlg", "1" if is_given else "0"))
        if is_given:
            elements += [(f"{stem}ConsTime", at), (f"{stem}{ending}", until)]
    return elements
