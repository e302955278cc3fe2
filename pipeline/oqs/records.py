"""What kinds of record can a file of the terminal become?

One class for each kind of content, told apart by `schema_kind`; each is frozen, shows nothing in `repr`, and goes
to JSON (`model_dump_json(exclude_defaults=True)`) and back (`parse_record_json`) unchanged.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from pipeline.oqs.eligibility import (
    EligibilityResult,
    Header,
    Registration,
    RegistrationUnit,
    Search,
    Unit,
    Withdrawal,
)
from pipeline.oqs.history import Checkup, DispensedMonth, HistoryHeader, PrescribedMonth, ReceiptMonth
from pipeline.oqs.mapping import Aside, Quiet, Tag, Text
from pipeline.oqs.rejection import RejectReason


class EligibilityRecord(Quiet):
    """Result of a card session or of a single query: own counter, visit or online (section 3.1)."""

    schema_kind: Literal["eligibility"]
    header: Annotated[Header, Tag("MessageHeader")] = Header()
    search: Annotated[Search | None, Tag("QualificationConfirmSearchInfo")] = None
    treatment_flag: Annotated[Text, Tag("MedicalTreatmentFlag")] = None
    prescription_issue: Annotated[Text, Tag("PrescriptionIssueSelect")] = None
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    validity: Annotated[Text, Tag("QualificationValidity")] = None
    consent_flag: Annotated[Text, Tag("QualificationConsFlg")] = None
    consented_at: Annotated[Text, Tag("QualificationConsTime")] = None
    available_until: Annotated[Text, Tag("QualificationAvailableTime")] = None
    expired_reason: Annotated[Text, Tag("QualificationConsExpiredReason")] = None
    results: Annotated[
        tuple[EligibilityResult, ...], Tag("ResultOfQualificationConfirmation", within="ResultList")
    ] = ()
    reference_numbers: Annotated[tuple[str, ...], Tag("ReferenceNumber")] = ()
    unknown: Aside = ()
    duplicates: Aside = ()


class BulkEligibilityRecord(Quiet):
    """Result of a bulk query: booking, medical aid, visit, online (sections 3.5 and 3.6)."""

    schema_kind: Literal["bulk_eligibility"]
    header: Annotated[Header, Tag("MessageHeader")] = Header()
    search: Annotated[Search | None, Tag("QualificationConfirmSearchInfo")] = None
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    units: Annotated[tuple[Unit, ...], Tag("BulkConfirmUnit")] = ()
    unknown: Aside = ()
    duplicates: Aside = ()


class UploadReceipt(Quiet):
    """A bulk request was taken (アップロード結果): the number to ask its result with (section 3.5)."""

    schema_kind: Literal["upload_receipt"]
    header: Annotated[Header, Tag("MessageHeader")] = Header()
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    reception_number: Annotated[Text, Tag("ReceptionNumber")] = None
    received_at: Annotated[Text, Tag("ReceptionDateTime")] = None
    unknown: Aside = ()
    duplicates: Aside = ()


class RegistrationRecord(Quiet):
    """Answer to a registration of a reference number (照会番号登録結果, section 3.3)."""

    schema_kind: Literal["registration"]
    header: Annotated[Header, Tag("MessageHeader")] = Header()
    registration: Annotated[Registration | None, Tag("ReferenceNumberRegistrationInfo")] = None
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    unknown: Aside = ()
    duplicates: Aside = ()


class BulkRegistrationRecord(Quiet):
    """Answer to a bulk registration of reference numbers (section 3.3)."""

    schema_kind: Literal["bulk_registration"]
    header: Annotated[Header, Tag("MessageHeader")] = Header()
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    units: Annotated[tuple[RegistrationUnit, ...], Tag("BulkRegistrationUnit")] = ()
    unknown: Aside = ()
    duplicates: Aside = ()


class MedicationRecord(Quiet):
    """Medication history (薬剤情報) from claims, and prescriptions and dispensing of the electronic service."""

    schema_kind: Literal["medication"]
    header: Annotated[HistoryHeader, Tag("MessageHeader")] = HistoryHeader()
    months: Annotated[tuple[ReceiptMonth, ...], Tag("MeTrMonthInf", within="MeTrMonthInfs")] = ()
    prescribed: Annotated[tuple[PrescribedMonth, ...], Tag("ShPrMonthInf", within="ShPrInf")] = ()
    dispensed: Annotated[tuple[DispensedMonth, ...], Tag("CzDiMonthInf", within="CzDiInf")] = ()
    unknown: Aside = ()
    duplicates: Aside = ()


class CheckupRecord(Quiet):
    """Specific health checkups (特定健診情報)."""

    schema_kind: Literal["checkup"]
    header: Annotated[HistoryHeader, Tag("MessageHeader")] = HistoryHeader()
    checkups: Annotated[tuple[Checkup, ...], Tag("SpecificHealthCheckupInfo", within="SpecificHealthCheckupInfos")] = ()
    unknown: Aside = ()
    duplicates: Aside = ()


class ConsentWithdrawalRecord(Quiet):
    """Answer to a withdrawal of a stored consent (閲覧同意取り消し結果, section 3.7)."""

    schema_kind: Literal["consent_withdrawal"]
    header: Annotated[Header, Tag("MessageHeader")] = Header()
    withdrawal: Annotated[Withdrawal | None, Tag("ConsentCancelInfo")] = None
    status: Annotated[Text, Tag("ProcessingResultStatus")] = None
    code: Annotated[Text, Tag("ProcessingResultCode")] = None
    message: Annotated[Text, Tag("ProcessingResultMessage")] = None
    unknown: Aside = ()
    duplicates: Aside = ()


class ReturnedHeader(Quiet):
    """Head of any request, with the insurance identifiers that history requests carry there."""

    process_execution_time: Annotated[Text, Tag("ProcessExecutionTime")] = None
    confirmed_on: Annotated[Text, Tag("QualificationConfirmationDate")] = None
    institution_code: Annotated[Text, Tag("MedicalInstitutionCode")] = None
    insurer_number: Annotated[Text, Tag("InsurerNumber")] = None
    symbol: Annotated[Text, Tag("InsuranceCardSymbol")] = None
    number: Annotated[Text, Tag("InsuredPersonIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("BranchNumber")] = None
    arbitrary_file_identifier: Annotated[Text, Tag("ArbitraryFileIdentifier")] = None


class ReturnedRequest(Quiet):
    """A request that came back refused (section 1.3, rule 5).

    Read without judging its values, for it may be they that were refused. `unreadable`: not even its tree could be
    read, and all else is empty.
    """

    schema_kind: Literal["returned_request"]
    unreadable: RejectReason | None = None
    header: Annotated[ReturnedHeader, Tag("MessageHeader")] = ReturnedHeader()
    searches: Annotated[tuple[Search, ...], Tag("QualificationConfirmSearchInfo")] = ()
    registrations: Annotated[tuple[Registration, ...], Tag("ReferenceNumberRegistrationInfo")] = ()
    withdrawal: Annotated[Withdrawal | None, Tag("ConsentCancelInfo")] = None
    reception_number: Annotated[Text, Tag("ReceptionNumber")] = None
    start: Annotated[Text, Tag("StartDate")] = None
    end: Annotated[Text, Tag("EndDate")] = None
    last: Annotated[Text, Tag("LastDate")] = None
    file_category: Annotated[Text, Tag("FileCategory")] = None
    prescription_view: Annotated[Text, Tag("PrDiInfClassification")] = None
    treatment_flag: Annotated[Text, Tag("MedicalTreatmentFlag")] = None
    unknown: Aside = ()
    duplicates: Aside = ()


class ErrNotice(Quiet):
    """The note beside a returned request (.err). Its format is not published: `text` is all of it.

    `encoding` is utf-8, cp932, or unknown; then `text` holds one character for each byte.
    """

    schema_kind: Literal["err_notice"]
    header: Header = Header()
    text: str
    encoding: Literal["utf-8", "cp932", "unknown"]


class PdfDocument(Quiet):
    """A medication or checkup answer as PDF: handed on, never read."""

    schema_kind: Literal["pdf"]
    header: Header = Header()
    size: int


Record = (
    EligibilityRecord
    | BulkEligibilityRecord
    | UploadReceipt
    | RegistrationRecord
    | BulkRegistrationRecord
    | MedicationRecord
    | CheckupRecord
    | ConsentWithdrawalRecord
    | ReturnedRequest
    | ErrNotice
    | PdfDocument
)

_RECORD: TypeAdapter[Record] = TypeAdapter(
    Annotated[Record, Field(discriminator="schema_kind")], config=ConfigDict(hide_input_in_errors=True)
)


def parse_record_json(content: str | bytes) -> Record:
    """Read a record that `record_json` wrote.

    Raises:
        ValueError: not such a JSON; the text shows no value.
    """
    return _RECORD.validate_json(content)


def record_json(record: Record) -> str:
    """Write a record, absent fields left out."""
    return record.model_dump_json(exclude_defaults=True)
