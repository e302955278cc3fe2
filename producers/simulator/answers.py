"""How does the service answer a query for one person, a registration or a withdrawal?

Layouts: oqs-interface sections 3.1, 3.3, 3.5 (receipt) and 3.7. Codes `SAMPLE00n` stand where the real ones, which
are not public, would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import Registration, Search, Withdrawal
from pipeline.oqs.times import format_day, format_instant
from producers.simulator.markup import Element, Encoding, Order, group, leaves, message

SERVICE_FAILED: Final = ("SAMPLE001", "（見本）システムエラーが発生しました。")
BAD_BIRTHDATE: Final = ("SAMPLE002", "（見本）生年月日の形式が正しくありません。")
NO_BRANCH: Final = ("SAMPLE003", "（見本）枝番が未設定のため登録できません。")
NOT_INSURED: Final = ("SAMPLE006", "（見本）該当する資格がないため登録できません。")
RETURNED_NOTICE: Final = "（見本）要求ファイルの形式が正しくありません。\r\n"

Refusal = tuple[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Frame:
    """What the head of every answer says. `at`: in Japanese time; `identifier`: the request's own, echoed."""

    at: datetime
    institution_code: str
    identifier: str
    order: Order
    encoding: Encoding = Encoding.UTF8

    def write(self, header: Sequence[Element], body: Sequence[Element]) -> bytes:
        return message(self.order(header), self.order(body), self.encoding)

    def head(self, *more: tuple[str, str | None]) -> list[Element]:
        return leaves(
            ("ProcessExecutionTime", format_instant(self.at)),
            ("CharacterCodeIdentifier", self.encoding.identifier),
            ("ArbitraryFileIdentifier", self.identifier),
            ("MedicalInstitutionCode", self.institution_code),
            *more,
        )

    def query_head(self, *more: tuple[str, str | None]) -> list[Element]:
        return self.head(
            ("QualificationConfirmationDate", format_day(self.at.date())), ("ReferenceClassification", "2"), *more
        )


def echo(search: Search | None) -> list[Element]:
    """Repeat a query as it came."""
    if search is None:
        return []
    inner = leaves(
        ("InsurerNumber", search.insurer_number),
        ("InsuredCardSymbol", search.symbol),
        ("InsuredIdentificationNumber", search.number),
        ("InsuredBranchNumber", search.branch_number),
        ("Birthdate", search.birthdate),
        ("LimitApplicationCertificateRelatedConsFlg", search.limit_consent_flag),
        ("ArbitraryIdentifier", search.arbitrary_identifier),
        ("ConsentDateFrom", search.consented_from),
        ("ConsentDateTo", search.consented_to),
        ("ExaminationDateFrom", search.examined_from),
        ("ExaminationDateTo", search.examined_to),
        ("MedicalTreatmentMonth", search.treatment_month),
        ("MedicalTreatmentFlag", search.treatment_flag),
    )
    return group("QualificationConfirmSearchInfo", inner)


def status(refusal: Refusal | None) -> list[Element]:
    """Tell the outcome for one person (処理結果状況)."""
    code, text = refusal or ("", "")
    return leaves(
        ("ProcessingResultStatus", "2" if refusal else "1"),
        ("ProcessingResultCode", code),
        ("ProcessingResultMessage", text),
    )


def eligibility(
    frame: Frame,
    search: Search | None,
    blocks: Sequence[Element],
    validity: Validity,
    consent: Sequence[Element] = (),
) -> bytes:
    """Answer a single query; `consent`: the stored consent that visit and online answers tell of."""
    told = group("ResultList", blocks)
    end = [*status(None), *leaves(("QualificationValidity", validity)), *consent]
    return frame.write(frame.query_head(("SegmentOfResult", "1")), [*echo(search), *told, *end])


def person_failed(frame: Frame, search: Search | None, refusal: Refusal) -> bytes:
    """Say that this person's query failed."""
    return frame.write(frame.query_head(("SegmentOfResult", "1")), [*echo(search), *status(refusal)])


def message_failed(frame: Frame, refusal: Refusal = SERVICE_FAILED) -> bytes:
    """Say that the whole message failed."""
    code, text = refusal
    head = frame.query_head(("SegmentOfResult", "9"), ("ErrorCode", code), ("ErrorMessage", text))
    return frame.write(head, [])


def registration_echo(registration: Registration) -> list[Element]:
    inner = leaves(
        ("InsurerNumber", registration.insurer_number),
        ("InsuredIdentificationNumber", registration.number),
        ("ReferenceNumber", registration.reference_number),
        ("InsuredCardSymbol", registration.symbol),
        ("InsuredBranchNumber", registration.branch_number),
    )
    return group("ReferenceNumberRegistrationInfo", inner)


def registered(frame: Frame, registration: Registration, refusal: Refusal | None) -> bytes:
    """Answer the registration of a reference number (照会番号登録)."""
    return frame.write(frame.head(("SegmentOfResult", "1")), [*registration_echo(registration), *status(refusal)])


def withdrawn(frame: Frame, withdrawal: Withdrawal, refusal: Refusal | None = None) -> bytes:
    """Answer the withdrawal of a stored consent (閲覧同意取り消し)."""
    inner = leaves(
        ("InsurerNumber", withdrawal.insurer_number),
        ("InsuredCardSymbol", withdrawal.symbol),
        ("InsuredIdentificationNumber", withdrawal.number),
        ("InsuredBranchNumber", withdrawal.branch_number),
        ("Birthdate", withdrawal.birthdate),
        ("MedicalTreatmentFlag", withdrawal.treatment_flag),
    )
    body = [*group("ConsentCancelInfo", inner), *status(refusal)]
    return frame.write(frame.head(("SegmentOfResult", "1")), body)


def receipt(frame: Frame, reception_number: str) -> bytes:
    """Say that a bulk request was taken (アップロード結果)."""
    body = leaves(("ReceptionNumber", reception_number), ("ReceptionDateTime", format_instant(frame.at)))
    return frame.write(frame.head(), body)
