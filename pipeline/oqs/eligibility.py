"""What does an eligibility result (資格確認結果) say of one insurance of one person?

Layout: oqs-interface sections 3.1 to 3.3 and 3.5 to 3.7. Every leaf is the text as it came, untrimmed and never a
number: leading zeros carry meaning (section 4, no. 10). Times and codes are read with `times` and `codes`.
"""

from enum import StrEnum
from typing import Annotated, Final

from pipeline.oqs.mapping import Grouped, Part, Quiet, Tag, Text


class Header(Quiet):
    """Head of an eligibility or registration message (section 3.1.1; bulk: section 3.5)."""

    process_execution_time: Annotated[Text, Tag("ProcessExecutionTime")] = None
    confirmed_on: Annotated[Text, Tag("QualificationConfirmationDate")] = None
    institution_code: Annotated[Text, Tag("MedicalInstitutionCode")] = None
    arbitrary_file_identifier: Annotated[Text, Tag("ArbitraryFileIdentifier")] = None
    reference_classification: Annotated[Text, Tag("ReferenceClassification")] = None
    segment: Annotated[Text, Tag("SegmentOfResult")] = None
    error_code: Annotated[Text, Tag("ErrorCode")] = None
    error_message: Annotated[Text, Tag("ErrorMessage")] = None
    character_code: Annotated[Text, Tag("CharacterCodeIdentifier")] = None
    reception_number: Annotated[Text, Tag("ReceptionNumber")] = None
    count_processed: Annotated[Text, Tag("NumberOfProcessingResult")] = None
    count_normal: Annotated[Text, Tag("NumberOfNormalProcessing")] = None
    count_error: Annotated[Text, Tag("NumberOfError")] = None


class LimitCertificate(Quiet):
    """Limit certificate (限度額適用認定証関連情報)."""

    classification: Annotated[Text, Tag("LimitApplicationCertificateClassification")] = None
    flag: Annotated[Text, Tag("LimitApplicationCertificateClassificationFlag")] = None
    issued: Annotated[Text, Tag("LimitApplicationCertificateDate")] = None
    valid_from: Annotated[Text, Tag("LimitApplicationCertificateValidStartDate")] = None
    valid_to: Annotated[Text, Tag("LimitApplicationCertificateValidEndDate")] = None
    long_term_date: Annotated[Text, Tag("LimitApplicationCertificateLongTermDate")] = None


class ElderlyRecipient(Quiet):
    """Elderly recipient certificate (高齢受給者証情報), age 70 to 74."""

    issued: Annotated[Text, Tag("ElderlyRecipientCertificateDate")] = None
    valid_from: Annotated[Text, Tag("ElderlyRecipientValidStartDate")] = None
    valid_to: Annotated[Text, Tag("ElderlyRecipientValidEndDate")] = None
    burden_ratio: Annotated[Text, Tag("ElderlyRecipientContributionRatio")] = None


class SpecificDisease(Quiet):
    """Specific disease certificate (特定疾病療養受療証情報). `self_pay` in yen, padding unknown."""

    category: Annotated[Text, Tag("SpecificDiseasesDiseaseCategory")] = None
    issued: Annotated[Text, Tag("SpecificDiseasesCertificateDate")] = None
    valid_from: Annotated[Text, Tag("SpecificDiseasesValidStartDate")] = None
    valid_to: Annotated[Text, Tag("SpecificDiseasesValidEndDate")] = None
    self_pay: Annotated[Text, Tag("SpecificDiseasesSelfPay")] = None


class MedicalTicket(Quiet):
    """Medical or dispensing ticket of medical aid (医療券・調剤券情報), section 3.1.4."""

    ticket_type: Annotated[Text, Tag("TicketType")] = None
    valid_from: Annotated[Text, Tag("MedicalTicketValidDate")] = None
    valid_to: Annotated[Text, Tag("MedicalTicketExpirationDate")] = None
    issue_number: Annotated[Text, Tag("IssueNumber")] = None
    treatment_month: Annotated[Text, Tag("MedicalTreatmentMonth")] = None
    designated_institution_code: Annotated[Text, Tag("DesignatedMedicalInstitutionCode")] = None
    designated_institution_flag: Annotated[Text, Tag("DesignatedMedicalInstitutionFlag")] = None
    designated_institution_name: Annotated[Text, Tag("DesignatedMedicalInstitutionName")] = None
    prescriber_code: Annotated[Text, Tag("PrescriptionIssuerMedicalInstitutionCode")] = None
    prescriber_name: Annotated[Text, Tag("PrescriptionIssuerMedicalInstitutionName")] = None
    injury_name1: Annotated[Text, Tag("InjuryName1")] = None
    injury_name2: Annotated[Text, Tag("InjuryName2")] = None
    injury_name3: Annotated[Text, Tag("InjuryName3")] = None
    treatment_type: Annotated[Text, Tag("MedicalTreatmentType")] = None
    self_pay: Annotated[Text, Tag("SelfPayAmount")] = None
    district_contact: Annotated[Text, Tag("DistrictContactName")] = None
    handling_contact: Annotated[Text, Tag("HandlingContactName")] = None
    single_or_combined: Annotated[Text, Tag("SingleOrCombinedUse")] = None
    social_insurance: Annotated[Text, Tag("StatusOfSocialInsurance")] = None
    social_insurance_consistency: Annotated[Text, Tag("ConsistencyFlag")] = None
    # The service's own spelling of "infection".
    infection_law: Annotated[Text, Tag("StatusOfInfecton")] = None
    elderly_care: Annotated[Text, Tag("StatusOfElderlyMedicalCare")] = None
    prefectural_expenses: Annotated[Text, Tag("StatusOfPrefecturalExpenses")] = None
    remarks1: Annotated[Text, Tag("Remarks1")] = None
    remarks2: Annotated[Text, Tag("Remarks2")] = None
    remarks3: Annotated[Text, Tag("Remarks3")] = None


class ConsentCategory(StrEnum):
    """What a patient lets the institution see (section 3.1.5)."""

    CHECKUP = "checkup"
    MEDICATION = "medication"
    DIAGNOSIS = "diagnosis"
    OPERATION = "operation"
    DISEASE_NAME = "disease_name"
    INFECTION = "infection"
    ALLERGY = "allergy"
    DRUG_ALLERGY = "drug_allergy"
    TEST = "test"
    PRESCRIPTION = "prescription"


CONSENT_ELEMENTS: Final = {
    "SpecificHealthCheckupsInfo": ConsentCategory.CHECKUP,
    "PharmacistsInfo": ConsentCategory.MEDICATION,
    "DiagnosisInfo": ConsentCategory.DIAGNOSIS,
    "OperationInfo": ConsentCategory.OPERATION,
    "DiagnosisName": ConsentCategory.DISEASE_NAME,
    "InfectiousInfo": ConsentCategory.INFECTION,
    "AllergyInfo": ConsentCategory.ALLERGY,
    "ContraindicationInfo": ConsentCategory.DRUG_ALLERGY,
    "TestInfo": ConsentCategory.TEST,
    "PrescriptionInfo": ConsentCategory.PRESCRIPTION,
}
"""Heads of the consent elements by which the service itself names each category."""

_ENDINGS: Final = {
    "ConsFlg": "flag",
    "ConsTime": "consented_at",
    "AvailableTime": "available_until",
    "ConsExpiredReason": "expired_reason",
}
_VENDOR_ENDINGS: Final = {"AcquisitionTime": "available_until", "ConsTim": "consented_at"}


def _consent_parts() -> dict[str, Part]:
    parts = {
        stem + ending: Part(category, name, is_vendor)
        for stem, category in CONSENT_ELEMENTS.items()
        for endings, is_vendor in ((_ENDINGS, False), (_VENDOR_ENDINGS, True))
        for ending, name in endings.items()
    }
    vendor = {
        "PharmaceuticalInfo" + ending: Part(ConsentCategory.MEDICATION, name, is_vendor=True)
        for ending, name in (_ENDINGS | _VENDOR_ENDINGS).items()
    }
    return parts | vendor


class ConsentGroup(Quiet):
    """One answer of the patient, as written.

    `vendor_spelling`: some of it stood under a name that only other makers' exporters use, so that it is no proof
    of the patient's consent and permits no inquiry.
    """

    category: ConsentCategory
    flag: Text = None
    consented_at: Text = None
    available_until: Text = None
    expired_reason: Text = None
    vendor_spelling: bool = False


class EligibilityResult(Quiet):
    """One insurance or medical aid of one person (ResultOfQualificationConfirmation, section 3.1.3)."""

    card_classification: Annotated[Text, Tag("InsuredCardClassification")] = None
    insurer_number: Annotated[Text, Tag("InsurerNumber")] = None
    symbol: Annotated[Text, Tag("InsuredCardSymbol")] = None
    number: Annotated[Text, Tag("InsuredIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("InsuredBranchNumber")] = None
    relationship: Annotated[Text, Tag("PersonalFamilyClassification")] = None
    insured_name: Annotated[Text, Tag("InsuredName")] = None
    name: Annotated[Text, Tag("Name")] = None
    name_other: Annotated[Text, Tag("NameOfOther")] = None
    name_kana: Annotated[Text, Tag("NameKana")] = None
    name_other_kana: Annotated[Text, Tag("NameOfOtherKana")] = None
    sex1: Annotated[Text, Tag("Sex1")] = None
    sex2: Annotated[Text, Tag("Sex2")] = None
    birthdate: Annotated[Text, Tag("Birthdate")] = None
    address: Annotated[Text, Tag("Address")] = None
    postal_code: Annotated[Text, Tag("PostNumber")] = None
    qualified_on: Annotated[Text, Tag("QualificationDate")] = None
    disqualified_on: Annotated[Text, Tag("DisqualificationDate")] = None
    card_issued: Annotated[Text, Tag("InsuredCertificateIssuanceDate")] = None
    valid_from: Annotated[Text, Tag("InsuredCardValidDate")] = None
    valid_to: Annotated[Text, Tag("InsuredCardExpirationDate")] = None
    burden_ratio: Annotated[Text, Tag("InsuredPartialContributionRatio")] = None
    burden_limit: Annotated[Text, Tag("InsuredPartialContributionLimit")] = None
    preschool: Annotated[Text, Tag("PreschoolClassification")] = None
    reason_of_loss: Annotated[Text, Tag("ReasonOfLoss")] = None
    insurer_name: Annotated[Text, Tag("InsurerName")] = None
    elderly_recipient: Annotated[ElderlyRecipient | None, Tag("ElderlyRecipientCertificateInfo")] = None
    limit_consent_flag: Annotated[Text, Tag("LimitApplicationCertificateRelatedConsFlg")] = None
    limit_consented_at: Annotated[Text, Tag("LimitApplicationCertificateRelatedConsTime")] = None
    limit_available_until: Annotated[Text, Tag("LimitApplicationCertificateRelatedAvailableTime")] = None
    limit_expired_reason: Annotated[Text, Tag("LimitApplicationCertificateRelatedConsExpiredReason")] = None
    limit_certificate: Annotated[LimitCertificate | None, Tag("LimitApplicationCertificateRelatedInfo")] = None
    limit_changed: Annotated[Text, Tag("LimitApplicationCertificateChanged")] = None
    specific_disease_consent_flag: Annotated[Text, Tag("SpecificDiseasesCertificateRelatedConsFlg")] = None
    specific_disease_consented_at: Annotated[Text, Tag("SpecificDiseasesCertificateRelatedConsTime")] = None
    specific_disease_available_until: Annotated[Text, Tag("SpecificDiseasesCertificateRelatedAvailableTime")] = None
    specific_disease_expired_reason: Annotated[Text, Tag("SpecificDiseasesCertificateRelatedConsExpiredReason")] = None
    specific_diseases: Annotated[
        tuple[SpecificDisease, ...], Tag("SpecificDiseasesCertificateInfo", within="SpecificDiseasesCertificateList")
    ] = ()
    medical_tickets: Annotated[
        tuple[MedicalTicket, ...], Tag("MedicalTicketInfo", within="PublicExpenseResultList")
    ] = ()
    consents: Annotated[tuple[ConsentGroup, ...], Grouped(_consent_parts())] = ()
    registered_at: Annotated[Text, Tag("OnsRegistrationTime")] = None
    arbitrary_identifier: Annotated[Text, Tag("ArbitraryIdentifier")] = None
    reference_number: Annotated[Text, Tag("ReferenceNumber")] = None
    confirmation_key: Annotated[Text, Tag("QualificationConfirmationKey")] = None
    change_flag: Annotated[Text, Tag("QualificationChangeFlg")] = None

    def consent(self, category: ConsentCategory) -> ConsentGroup | None:
        return next((group for group in self.consents if group.category is category), None)


class LimitOnFile(Quiet):
    """The limit class the chart holds, sent with a booking query to learn of a change (section 3.5)."""

    classification: Annotated[Text, Tag("LimitApplicationCertificateClassification")] = None
    flag: Annotated[Text, Tag("LimitApplicationCertificateClassificationFlag")] = None


class HistoryPeriod(Quiet):
    """Period of a history that is asked for along with a visit query."""

    start: Annotated[Text, Tag("StartDate")] = None
    end: Annotated[Text, Tag("EndDate")] = None
    last: Annotated[Text, Tag("LastDate")] = None


class HistoryWish(Quiet):
    """A history asked for along with a visit query (医療情報閲覧要求)."""

    kind: Annotated[Text, Tag("MedicalInformationType")] = None
    file_category: Annotated[Text, Tag("MedicalInformationFileCategory")] = None
    period: Annotated[HistoryPeriod | None, Tag("MedicalInformationDate")] = None
    prescription_view: Annotated[Text, Tag("PrDiInfClassification")] = None


class Search(Quiet):
    """The query as the answer repeats it (資格確認照会用情報)."""

    insurer_number: Annotated[Text, Tag("InsurerNumber")] = None
    symbol: Annotated[Text, Tag("InsuredCardSymbol")] = None
    number: Annotated[Text, Tag("InsuredIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("InsuredBranchNumber")] = None
    birthdate: Annotated[Text, Tag("Birthdate")] = None
    limit_consent_flag: Annotated[Text, Tag("LimitApplicationCertificateRelatedConsFlg")] = None
    limit_on_file: Annotated[LimitOnFile | None, Tag("LimitApplicationCertificateRelatedInfo")] = None
    arbitrary_identifier: Annotated[Text, Tag("ArbitraryIdentifier")] = None
    prescription_issue: Annotated[Text, Tag("PrescriptionIssueSelect")] = None
    limit_display: Annotated[Text, Tag("LimitApplicationCertificateRelatedDisplayFlg")] = None
    specific_disease_display: Annotated[Text, Tag("SpecificDiseasesCertificateListDisplayFlg")] = None
    histories: Annotated[
        tuple[HistoryWish, ...], Tag("MedicalInformationRequest", within="MedicalInformationRequestList")
    ] = ()
    consented_from: Annotated[Text, Tag("ConsentDateFrom")] = None
    consented_to: Annotated[Text, Tag("ConsentDateTo")] = None
    examined_from: Annotated[Text, Tag("ExaminationDateFrom")] = None
    examined_to: Annotated[Text, Tag("ExaminationDateTo")] = None
    treatment_month: Annotated[Text, Tag("MedicalTreatmentMonth")] = None
    treatment_flag: Annotated[Text, Tag("MedicalTreatmentFlag")] = None


class Unit(Quiet):
    """One person of a bulk answer (個人単位情報)."""

    search: Annotated[Search | None, Tag("QualificationConfirmSearchInfo")] = None
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    validity: Annotated[Text, Tag("QualificationValidity")] = None
    treatment_flag: Annotated[Text, Tag("MedicalTreatmentFlag")] = None
    consent_flag: Annotated[Text, Tag("QualificationConsFlg")] = None
    consented_at: Annotated[Text, Tag("QualificationConsTime")] = None
    available_until: Annotated[Text, Tag("QualificationAvailableTime")] = None
    expired_reason: Annotated[Text, Tag("QualificationConsExpiredReason")] = None
    results: Annotated[
        tuple[EligibilityResult, ...], Tag("ResultOfQualificationConfirmation", within="ResultList")
    ] = ()
    reference_numbers: Annotated[tuple[str, ...], Tag("ReferenceNumber")] = ()


class Registration(Quiet):
    """An institution's own key for a person (照会番号登録情報), section 3.3."""

    reference_number: Annotated[Text, Tag("ReferenceNumber")] = None
    insurer_number: Annotated[Text, Tag("InsurerNumber")] = None
    symbol: Annotated[Text, Tag("InsuredCardSymbol")] = None
    number: Annotated[Text, Tag("InsuredIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("InsuredBranchNumber")] = None


class RegistrationUnit(Quiet):
    """One person of a bulk registration."""

    registration: Annotated[Registration | None, Tag("ReferenceNumberRegistrationInfo")] = None
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None


class Withdrawal(Quiet):
    """Whose stored consent is withdrawn (閲覧同意取り消し情報), section 3.7."""

    insurer_number: Annotated[Text, Tag("InsurerNumber")] = None
    symbol: Annotated[Text, Tag("InsuredCardSymbol")] = None
    number: Annotated[Text, Tag("InsuredIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("InsuredBranchNumber")] = None
    birthdate: Annotated[Text, Tag("Birthdate")] = None
    treatment_flag: Annotated[Text, Tag("MedicalTreatmentFlag")] = None
