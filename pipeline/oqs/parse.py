"""What record does a file hold?

Name and content must agree: a record is only made when the content is of the kind that the name says.
"""

from typing import Final, Literal

from lxml import etree

from pipeline.oqs.archive import open_member
from pipeline.oqs.mapping import read_model
from pipeline.oqs.names import Direction, Extension, FileName, MessageKind
from pipeline.oqs.reader import MAX_BYTES, decode_cp932, read_tree
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    BulkRegistrationRecord,
    CheckupRecord,
    ConsentWithdrawalRecord,
    EligibilityRecord,
    ErrNotice,
    MedicationRecord,
    PdfDocument,
    Record,
    RegistrationRecord,
    ReturnedRequest,
    UploadReceipt,
)
from pipeline.oqs.rejection import RejectedError, RejectReason
from pipeline.oqs.whole import has_pdf_end

XmlRecord = (
    type[EligibilityRecord]
    | type[BulkEligibilityRecord]
    | type[UploadReceipt]
    | type[RegistrationRecord]
    | type[BulkRegistrationRecord]
    | type[MedicationRecord]
    | type[CheckupRecord]
    | type[ConsentWithdrawalRecord]
    | type[ReturnedRequest]
)

_SINGLE: Final[dict[MessageKind, XmlRecord]] = {
    MessageKind.FACE: EligibilityRecord,
    MessageKind.ELIGIBILITY: EligibilityRecord,
    MessageKind.VISIT: EligibilityRecord,
    MessageKind.ONLINE: EligibilityRecord,
    MessageKind.REGISTRATION: RegistrationRecord,
    MessageKind.WITHDRAWAL: ConsentWithdrawalRecord,
    MessageKind.MEDICATION: MedicationRecord,
    MessageKind.CHECKUP: CheckupRecord,
}

_ELIGIBILITY: Final = frozenset({"eligibility"})
_REGISTRATION: Final = frozenset({"registration"})
_HISTORY: Final = frozenset({"medication", "checkup"})

_MARKS: Final[dict[str, frozenset[str]]] = {
    "ResultList": _ELIGIBILITY,
    "ResultOfQualificationConfirmation": _ELIGIBILITY,
    "QualificationValidity": _ELIGIBILITY,
    "QualificationConfirmSearchInfo": frozenset({"eligibility", "bulk_eligibility"}),
    "BulkConfirmUnit": frozenset({"bulk_eligibility"}),
    "BulkRegistrationUnit": frozenset({"bulk_registration"}),
    "ReceptionDateTime": frozenset({"upload_receipt"}),
    "ReceptionNumber": frozenset({"upload_receipt", "bulk_eligibility", "bulk_registration"}),
    "ReferenceNumberRegistrationInfo": _REGISTRATION,
    "ConsentCancelInfo": frozenset({"consent_withdrawal"}),
    "RequestInfo": _HISTORY,
    "ResultCode": _HISTORY,
    "QuaInf": frozenset({"medication"}),
    "MeTrMonthInf": frozenset({"medication"}),
    "ShPrInf": frozenset({"medication"}),
    "CzDiInf": frozenset({"medication"}),
    "QualificationsInfo": frozenset({"checkup"}),
    "SpecificHealthCheckupInfo": frozenset({"checkup"}),
}
"""Elements directly below header or body that only certain contents have."""

_REQUEST_MARKS: Final[dict[str, frozenset[MessageKind]]] = {
    "QualificationConfirmSearchInfo": frozenset(
        {
            MessageKind.ELIGIBILITY,
            MessageKind.VISIT,
            MessageKind.ONLINE,
            MessageKind.BULK_ELIGIBILITY,
            MessageKind.BULK_MEDICAL_AID,
            MessageKind.BULK_VISIT,
            MessageKind.BULK_ONLINE,
        }
    ),
    "ReferenceNumberRegistrationInfo": frozenset({MessageKind.REGISTRATION, MessageKind.BULK_REGISTRATION}),
    "ConsentCancelInfo": frozenset({MessageKind.WITHDRAWAL}),
    "FileCategory": frozenset({MessageKind.MEDICATION, MessageKind.CHECKUP}),
    "StartDate": frozenset({MessageKind.MEDICATION}),
}

_ANSWER_MARKS: Final = frozenset({"ProcessExecutionTime", "SegmentOfResult", "ResultCode", "ProcessingResultStatus"})


def parse(name: FileName, content: bytes, archive_password: bytes | None = None) -> Record:
    """Read a whole file.

    Raises:
        RejectedError: it cannot be read, or is not what its name says.
    """
    if name.extension is Extension.ERR:
        return _read_notice(content)
    if name.extension is Extension.ZIP:
        member = open_member(name.base_name, content, archive_password)
        if member.extension is Extension.PDF and not name.kind.is_history:
            raise RejectedError(RejectReason.ARCHIVE_UNEXPECTED)
        return _read_document(name, member.extension, member.content)
    return _read_document(name, name.extension, content)


def record_type(name: FileName) -> XmlRecord:
    """Name the record that an XML file of this name holds."""
    if name.direction is Direction.REQUEST:
        return ReturnedRequest
    if not name.kind.is_bulk:
        return _SINGLE[name.kind]
    if name.phase == "01":
        return UploadReceipt
    return BulkRegistrationRecord if name.kind is MessageKind.BULK_REGISTRATION else BulkEligibilityRecord


def _read_document(name: FileName, extension: Extension, content: bytes) -> Record:
    if extension is Extension.PDF:
        return _read_pdf(content)
    model = record_type(name)
    if model is ReturnedRequest:
        return _read_returned(name, content)
    root = read_tree(content)
    kind = str(model.model_fields["schema_kind"].annotation.__args__[0])  # type: ignore[union-attr]
    _check_answer(root, kind)
    return read_model(model, root, schema_kind=kind)


def _read_returned(name: FileName, content: bytes) -> ReturnedRequest:
    try:
        root = read_tree(content)
    except RejectedError as rejected:
        # That it could not be read may be the very reason for its return.
        return ReturnedRequest(schema_kind="returned_request", unreadable=rejected.reason)
    tags = _tags(root)
    if tags & _ANSWER_MARKS or any(name.kind not in _REQUEST_MARKS.get(tag, (name.kind,)) for tag in tags):
        raise RejectedError(RejectReason.WRONG_MESSAGE)
    return read_model(ReturnedRequest, root, schema_kind="returned_request")


def _check_answer(root: etree._Element, kind: str) -> None:
    tags = _tags(root)
    if not tags & _ANSWER_MARKS:
        raise RejectedError(RejectReason.WRONG_MESSAGE)
    if any(kind not in _MARKS.get(tag, (kind,)) for tag in tags):
        raise RejectedError(RejectReason.WRONG_MESSAGE)
    if kind in _HISTORY and not tags & {"RequestInfo", "ResultCode"}:
        raise RejectedError(RejectReason.WRONG_MESSAGE)


def _tags(root: etree._Element) -> set[str]:
    parts = [part for part in root if part.tag in ("MessageHeader", "MessageBody")]
    if not any(part.tag == "MessageHeader" for part in parts):
        raise RejectedError(RejectReason.WRONG_MESSAGE)
    return {str(child.tag) for part in parts for child in part}


def _read_pdf(content: bytes) -> PdfDocument:
    if not content:
        raise RejectedError(RejectReason.EMPTY)
    if len(content) > MAX_BYTES:
        raise RejectedError(RejectReason.TOO_LARGE)
    if not (content.startswith(b"%PDF-") and has_pdf_end(content)):
        raise RejectedError(RejectReason.PDF_INCOMPLETE)
    return PdfDocument(schema_kind="pdf", size=len(content))


def _read_notice(content: bytes) -> ErrNotice:
    if len(content) > MAX_BYTES:
        raise RejectedError(RejectReason.TOO_LARGE)
    encoding, text = _decode_notice(content)
    return ErrNotice(schema_kind="err_notice", text=text, encoding=encoding)


def _decode_notice(content: bytes) -> tuple[Literal["utf-8", "cp932", "unknown"], str]:
    try:
        return "utf-8", content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeError:
        pass
    try:
        return "cp932", decode_cp932(content)
    except UnicodeError:
        return "unknown", content.decode("latin-1")
