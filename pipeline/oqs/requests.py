"""What may we ask the eligibility service, and in which form?

One frozen model for each request of oqs-interface sections 3.2 to 3.7, its fields in the order of the file. A value
that the service would refuse is refused here, by a `ValueError` that names the field and shows no value. Birth dates
are only held to eight digits: what stands on the card is asked, and the service judges it.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from pipeline.oqs.mapping import Quiet, Tag, read_fields
from pipeline.oqs.names import MessageKind, Phase
from pipeline.oqs.reader import read_tree
from pipeline.oqs.rejection import RejectedError, RejectReason

MAX_QUERIES = 300
"""Queries in one bulk file (section 3.5)."""
MAX_REGISTRATIONS = 5000
"""Registrations in one bulk file (section 3.3)."""
MAX_MONTHS = 36
"""Longest period of a medication request (section 3.4.1)."""
FIRST_MONTH = "202109"
"""Nothing older is held (section 3.4.1)."""
CURRENT_MONTH = "999999"


def _padded(insurer_number: object) -> object:
    # 国保 numbers of six digits are padded with spaces, never zeros (section 4, no. 9).
    if isinstance(insurer_number, str) and len(insurer_number) == len("999995"):
        return "  " + insurer_number
    return insurer_number


_NO_CONTROL = "[^\\x00-\\x1f\\x7f-\\x9f\ufffe\uffff]"
_VISIBLE = "[^\\s\\x00-\\x1f\\x7f-\\x9f\ufffe\uffff]"

Day = Annotated[str, StringConstraints(pattern="^[0-9]{8}$")]
Month = Annotated[str, StringConstraints(pattern="^[0-9]{4}(?:0[1-9]|1[0-2])$")]
InstitutionCode = Annotated[str, StringConstraints(pattern="^[0-9]{10}$")]
InsurerNumber = Annotated[str, BeforeValidator(_padded), StringConstraints(pattern="^(?:  [0-9]{6}|[0-9]{8})$")]
Identifier = Annotated[str, StringConstraints(pattern="^[!-~]{1,50}$")]
ReceptionNumber = Annotated[str, StringConstraints(pattern="^[!-~]{1,38}$")]
BranchNumber = Annotated[str, StringConstraints(pattern="^[0-9]{2}$")]
CardText = Annotated[str, StringConstraints(max_length=80, pattern=f"^{_NO_CONTROL}*{_VISIBLE}{_NO_CONTROL}*$")]
Flag = Literal["0", "1"]


class Header(Quiet):
    institution_code: Annotated[InstitutionCode, Tag("MedicalInstitutionCode")]
    arbitrary_file_identifier: Annotated[Identifier | None, Tag("ArbitraryFileIdentifier")] = None


class DatedHeader(Quiet):
    """`confirmed_on`: the day eligibility is asked for (資格確認日)."""

    confirmed_on: Annotated[Day, Tag("QualificationConfirmationDate")]
    institution_code: Annotated[InstitutionCode, Tag("MedicalInstitutionCode")]
    arbitrary_file_identifier: Annotated[Identifier | None, Tag("ArbitraryFileIdentifier")] = None


class DownloadHeader(Quiet):
    institution_code: Annotated[InstitutionCode, Tag("MedicalInstitutionCode")]


class HistoryHeader(Quiet):
    """History requests name the person in the head, with spellings of their own."""

    institution_code: Annotated[InstitutionCode, Tag("MedicalInstitutionCode")]
    insurer_number: Annotated[InsurerNumber, Tag("InsurerNumber")]
    symbol: Annotated[CardText | None, Tag("InsuranceCardSymbol")] = None
    number: Annotated[CardText, Tag("InsuredPersonIdentificationNumber")]
    branch_number: Annotated[BranchNumber | None, Tag("BranchNumber")] = None
    arbitrary_file_identifier: Annotated[Identifier | None, Tag("ArbitraryFileIdentifier")] = None


class HistoryPeriod(Quiet):
    start: Annotated[Month | None, Tag("StartDate")] = None
    end: Annotated[Month | Literal["999999"] | None, Tag("EndDate")] = None
    last: Annotated[Day | None, Tag("LastDate")] = None


class HistoryWish(Quiet):
    """A history asked for along with a visit query (医療情報閲覧要求)."""

    kind: Annotated[Literal["TKK", "YZK"], Tag("MedicalInformationType")]
    file_category: Annotated[Literal["1", "2", "3", "4"], Tag("MedicalInformationFileCategory")]
    period: Annotated[HistoryPeriod | None, Tag("MedicalInformationDate")] = None
    prescription_view: Annotated[Flag | None, Tag("PrDiInfClassification")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.period is not None:
            _check_period(self.period.start, self.period.end)
            if not self.period.model_dump(exclude_none=True):
                raise ValueError("a period needs a date")
        if self.kind == "TKK" and self.file_category not in ("1", "2"):
            raise ValueError("checkups come in file category 1 or 2")
        return self


class EligibilityQuery(Quiet):
    """Who is asked for. `limit_consent_flag` 1: the clerk has the patient's word for the limit certificate."""

    insurer_number: Annotated[InsurerNumber, Tag("InsurerNumber")]
    symbol: Annotated[CardText | None, Tag("InsuredCardSymbol")] = None
    number: Annotated[CardText, Tag("InsuredIdentificationNumber")]
    branch_number: Annotated[BranchNumber | None, Tag("InsuredBranchNumber")] = None
    birthdate: Annotated[Day, Tag("Birthdate")]
    limit_consent_flag: Annotated[Flag, Tag("LimitApplicationCertificateRelatedConsFlg")]
    arbitrary_identifier: Annotated[Identifier | None, Tag("ArbitraryIdentifier")] = None
    prescription_issue: Annotated[Literal["1", "2"] | None, Tag("PrescriptionIssueSelect")] = None
    limit_display: Annotated[Flag | None, Tag("LimitApplicationCertificateRelatedDisplayFlg")] = None
    specific_disease_display: Annotated[Flag | None, Tag("SpecificDiseasesCertificateListDisplayFlg")] = None
    histories: Annotated[
        tuple[HistoryWish, ...],
        Field(max_length=4),
        Tag("MedicalInformationRequest", within="MedicalInformationRequestList"),
    ] = ()
    treatment_flag: Annotated[Literal["1", "2", "3"] | None, Tag("MedicalTreatmentFlag")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.histories and self.treatment_flag != "2":
            raise ValueError("histories are only asked for along with a visit query")
        if (self.limit_display or self.specific_disease_display) and self.treatment_flag not in ("2", "3"):
            raise ValueError("display flags belong to visit and online queries")
        return self


class EligibilityRequest(Quiet):
    """Single query (資格確認要求); the treatment flag makes it one of visit or online care, with its own name."""

    phase: ClassVar[Phase] = "01"
    header: Annotated[DatedHeader, Tag("MessageHeader")]
    search: Annotated[EligibilityQuery, Tag("QualificationConfirmSearchInfo")]

    @property
    def kind(self) -> MessageKind:
        kinds = {"2": MessageKind.VISIT, "3": MessageKind.ONLINE}
        return kinds.get(self.search.treatment_flag or "", MessageKind.ELIGIBILITY)


class RegistrationEntry(Quiet):
    """The institution's own key for a person (照会番号)."""

    reference_number: Annotated[Identifier, Tag("ReferenceNumber")]
    insurer_number: Annotated[InsurerNumber, Tag("InsurerNumber")]
    symbol: Annotated[CardText | None, Tag("InsuredCardSymbol")] = None
    number: Annotated[CardText, Tag("InsuredIdentificationNumber")]
    branch_number: Annotated[BranchNumber | None, Tag("InsuredBranchNumber")] = None


class RegistrationRequest(Quiet):
    """Registration of one reference number (照会番号登録要求)."""

    kind: ClassVar[MessageKind] = MessageKind.REGISTRATION
    phase: ClassVar[Phase] = "01"
    header: Annotated[Header, Tag("MessageHeader")]
    registration: Annotated[RegistrationEntry, Tag("ReferenceNumberRegistrationInfo")]


class BulkRegistrationRequest(Quiet):
    """Registration of many reference numbers (照会番号一括登録)."""

    kind: ClassVar[MessageKind] = MessageKind.BULK_REGISTRATION
    phase: ClassVar[Phase] = "01"
    header: Annotated[Header, Tag("MessageHeader")]
    registrations: Annotated[
        tuple[RegistrationEntry, ...],
        Field(min_length=1, max_length=MAX_REGISTRATIONS),
        Tag("ReferenceNumberRegistrationInfo"),
    ]


class LimitOnFile(Quiet):
    """What the chart holds, so that the service can say whether it changed."""

    classification: Annotated[Literal["01", "02", "03"] | None, Tag("LimitApplicationCertificateClassification")] = None
    flag: Annotated[
        Annotated[str, StringConstraints(pattern="^[AB][0-9]{2}$")],
        Tag("LimitApplicationCertificateClassificationFlag"),
    ]


class BookingQuery(Quiet):
    """One booked patient."""

    insurer_number: Annotated[InsurerNumber, Tag("InsurerNumber")]
    symbol: Annotated[CardText | None, Tag("InsuredCardSymbol")] = None
    number: Annotated[CardText, Tag("InsuredIdentificationNumber")]
    branch_number: Annotated[BranchNumber | None, Tag("InsuredBranchNumber")] = None
    birthdate: Annotated[Day, Tag("Birthdate")]
    limit_on_file: Annotated[LimitOnFile | None, Tag("LimitApplicationCertificateRelatedInfo")] = None
    arbitrary_identifier: Annotated[Identifier | None, Tag("ArbitraryIdentifier")] = None


class BulkEligibilityRequest(Quiet):
    """Query for booked patients (資格確認一括照会)."""

    kind: ClassVar[MessageKind] = MessageKind.BULK_ELIGIBILITY
    phase: ClassVar[Phase] = "01"
    header: Annotated[DatedHeader, Tag("MessageHeader")]
    searches: Annotated[
        tuple[BookingQuery, ...],
        Field(min_length=1, max_length=MAX_QUERIES),
        Tag("QualificationConfirmSearchInfo"),
    ]


class MedicalAidPeriod(Quiet):
    treatment_month: Annotated[Month, Tag("MedicalTreatmentMonth")]


class MedicalAidRequest(Quiet):
    """Medical aid tickets of a month (委託先資格情報一括取得)."""

    kind: ClassVar[MessageKind] = MessageKind.BULK_MEDICAL_AID
    phase: ClassVar[Phase] = "01"
    header: Annotated[Header, Tag("MessageHeader")]
    search: Annotated[MedicalAidPeriod, Tag("QualificationConfirmSearchInfo")]


class VisitPeriod(Quiet):
    """Days of consent, both inclusive."""

    consented_from: Annotated[Day, Tag("ConsentDateFrom")]
    consented_to: Annotated[Day, Tag("ConsentDateTo")]
    treatment_flag: Annotated[Literal["2"], Tag("MedicalTreatmentFlag")] = "2"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.consented_from, self.consented_to)
        return self


class VisitRequest(Quiet):
    """Persons who consented to home visits (同意済資格情報一括取得・訪問診療等)."""

    kind: ClassVar[MessageKind] = MessageKind.BULK_VISIT
    phase: ClassVar[Phase] = "01"
    header: Annotated[Header, Tag("MessageHeader")]
    search: Annotated[VisitPeriod, Tag("QualificationConfirmSearchInfo")]


class OnlinePeriod(Quiet):
    """Days of consent or of examination, both inclusive: one of the two pairs."""

    consented_from: Annotated[Day | None, Tag("ConsentDateFrom")] = None
    consented_to: Annotated[Day | None, Tag("ConsentDateTo")] = None
    examined_from: Annotated[Day | None, Tag("ExaminationDateFrom")] = None
    examined_to: Annotated[Day | None, Tag("ExaminationDateTo")] = None
    treatment_flag: Annotated[Literal["3"], Tag("MedicalTreatmentFlag")] = "3"

    @model_validator(mode="after")
    def _check(self) -> Self:
        pairs = ((self.consented_from, self.consented_to), (self.examined_from, self.examined_to))
        given = [pair for pair in pairs if pair != (None, None)]
        if len(given) != 1 or None in given[0]:
            raise ValueError("give days of consent or days of examination, first and last")
        _check_order(*given[0])
        return self


class OnlineRequest(Quiet):
    """Persons who consented to online care (同意済資格情報一括取得・オンライン診療等)."""

    kind: ClassVar[MessageKind] = MessageKind.BULK_ONLINE
    phase: ClassVar[Phase] = "01"
    header: Annotated[Header, Tag("MessageHeader")]
    search: Annotated[OnlinePeriod, Tag("QualificationConfirmSearchInfo")]


class DownloadRequest(Quiet):
    """Second half of any bulk exchange (ダウンロード要求). `kind` stands in the name alone."""

    phase: ClassVar[Phase] = "02"
    kind: MessageKind
    header: Annotated[DownloadHeader, Tag("MessageHeader")]
    reception_number: Annotated[ReceptionNumber, Tag("ReceptionNumber")]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.kind.is_bulk:
            raise ValueError("only bulk exchanges are downloaded")
        return self


class WithdrawalEntry(Quiet):
    insurer_number: Annotated[InsurerNumber, Tag("InsurerNumber")]
    symbol: Annotated[CardText | None, Tag("InsuredCardSymbol")] = None
    number: Annotated[CardText, Tag("InsuredIdentificationNumber")]
    branch_number: Annotated[BranchNumber | None, Tag("InsuredBranchNumber")] = None
    birthdate: Annotated[Day, Tag("Birthdate")]
    treatment_flag: Annotated[Literal["2", "3"], Tag("MedicalTreatmentFlag")]


class WithdrawalRequest(Quiet):
    """Withdrawal of a stored consent (閲覧同意取り消し)."""

    kind: ClassVar[MessageKind] = MessageKind.WITHDRAWAL
    phase: ClassVar[Phase] = "01"
    header: Annotated[Header, Tag("MessageHeader")]
    withdrawal: Annotated[WithdrawalEntry, Tag("ConsentCancelInfo")]


class MedicationRequest(Quiet):
    """Medication history (薬剤情報). `file_category`: 1 PDF, 2 XML; 3 and 4 the same with treatments (診療情報)."""

    kind: ClassVar[MessageKind] = MessageKind.MEDICATION
    phase: ClassVar[Phase] = "01"
    header: Annotated[HistoryHeader, Tag("MessageHeader")]
    start: Annotated[Month, Tag("StartDate")]
    end: Annotated[Month | Literal["999999"], Tag("EndDate")]
    last: Annotated[Day | None, Tag("LastDate")] = None
    file_category: Annotated[Literal["1", "2", "3", "4"], Tag("FileCategory")]
    prescription_view: Annotated[Flag | None, Tag("PrDiInfClassification")] = None
    treatment_flag: Annotated[Literal["1", "2", "3", "4"] | None, Tag("MedicalTreatmentFlag")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_period(self.start, self.end)
        return self


class CheckupRequest(Quiet):
    """Specific health checkups (特定健診情報). `file_category`: 1 PDF, 2 XML."""

    kind: ClassVar[MessageKind] = MessageKind.CHECKUP
    phase: ClassVar[Phase] = "01"
    header: Annotated[HistoryHeader, Tag("MessageHeader")]
    file_category: Annotated[Literal["1", "2"], Tag("FileCategory")]
    prescription_view: Annotated[Flag | None, Tag("PrDiInfClassification")] = None
    treatment_flag: Annotated[Literal["1", "2", "3", "4"] | None, Tag("MedicalTreatmentFlag")] = None


Request = (
    EligibilityRequest
    | RegistrationRequest
    | BulkRegistrationRequest
    | BulkEligibilityRequest
    | MedicalAidRequest
    | VisitRequest
    | OnlineRequest
    | DownloadRequest
    | WithdrawalRequest
    | MedicationRequest
    | CheckupRequest
)


def _check_order(first: str | None, last: str | None) -> None:
    if first is not None and last is not None and first > last:
        raise ValueError("the first day is after the last")


def _check_period(start: str | None, end: str | None) -> None:
    if start is not None and start < FIRST_MONTH:
        raise ValueError("the first month is before the service's first")
    if start is None or end is None or end == CURRENT_MONTH:
        return
    months = (int(end[:4]) - int(start[:4])) * 12 + int(end[4:]) - int(start[4:]) + 1
    if not 1 <= months <= MAX_MONTHS:
        raise ValueError("the period must hold 1 to 36 months")


_FIRST_PHASE: dict[MessageKind, type[Request]] = {
    MessageKind.ELIGIBILITY: EligibilityRequest,
    MessageKind.VISIT: EligibilityRequest,
    MessageKind.ONLINE: EligibilityRequest,
    MessageKind.REGISTRATION: RegistrationRequest,
    MessageKind.BULK_REGISTRATION: BulkRegistrationRequest,
    MessageKind.BULK_ELIGIBILITY: BulkEligibilityRequest,
    MessageKind.BULK_MEDICAL_AID: MedicalAidRequest,
    MessageKind.BULK_VISIT: VisitRequest,
    MessageKind.BULK_ONLINE: OnlineRequest,
    MessageKind.WITHDRAWAL: WithdrawalRequest,
    MessageKind.MEDICATION: MedicationRequest,
    MessageKind.CHECKUP: CheckupRequest,
}


def read_request(kind: MessageKind, content: bytes, phase: Phase = "01") -> Request:
    """Read a request file that is wholly of our making.

    Raises:
        RejectedError: not readable, or with elements that such a request does not have.
        ValueError: a value is not allowed, or the content is of another kind.
    """
    model = DownloadRequest if phase == "02" else _FIRST_PHASE[kind]
    found = read_fields(model, read_tree(content))
    if found.unknown or found.duplicates:
        raise RejectedError(RejectReason.WRONG_MESSAGE)
    request = model.model_validate(found.fields | ({"kind": kind} if phase == "02" else {}))
    if request.kind is not kind:
        raise ValueError("the treatment flag is of another kind of request")
    return request
