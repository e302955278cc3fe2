"""What does the terminal write when a patient has held the card to the reader?

Name and content: oqs-interface sections 1.4 and 3.1. `now` is UTC; the file holds Japanese time.
"""

from datetime import datetime
from random import Random
from typing import Final

from pipeline.oqs.codes import Validity
from pipeline.oqs.times import JST, format_day, format_instant
from producers.simulator.cases import Case
from producers.simulator.markup import Element, Encoding, Order, hash_order, leaves, message
from producers.simulator.result_elements import Telling, results
from producers.simulator.visits import Visit

_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
_MAKERS_PART: Final = 20
_IDENTIFIER: Final = 15


def face_name(institution_code: str, now: datetime, die: Random) -> str:
    """Name a face file; its middle part is opaque."""
    opaque = f"{die.getrandbits(4 * _MAKERS_PART):0{_MAKERS_PART}x}"
    # A middle part that spells a word of the scheme would be misread by others (section 4, no. 26).
    return f"OQSsiquc01res_face_{institution_code}{opaque}_{format_instant(now)}.xml"


def render_face(visit: Visit, institution_code: str, now: datetime, die: Random, order: Order) -> bytes:
    """Write the result of a visit, ordered by `order` unless the case wants otherwise."""
    encoding = Encoding.SHIFT_JIS if visit.case is Case.SHIFT_JIS else Encoding.UTF8
    if visit.case is Case.SHUFFLED:
        order = hash_order(die.random())
    content = message(
        order(_header(visit, institution_code, now, die, encoding)),
        order(_body(visit, institution_code, now)),
        encoding,
    )
    return b"\xef\xbb\xbf" + content if visit.case is Case.BYTE_ORDER_MARK else content


def _header(visit: Visit, code: str, now: datetime, die: Random, encoding: Encoding) -> list[Element]:
    is_failed = visit.case is Case.SERVICE_ERROR
    return leaves(
        ("ProcessExecutionTime", format_instant(now)),
        ("CharacterCodeIdentifier", encoding.identifier),
        ("SegmentOfResult", "9" if is_failed else "1"),
        ("QualificationConfirmationDate", format_day(now.astimezone(JST).date())),
        ("ReferenceClassification", "1"),
        ("ArbitraryFileIdentifier", "".join(die.choices(_BASE64, k=_IDENTIFIER)) + "="),
        ("MedicalInstitutionCode", code),
        ("ErrorCode", "SAMPLE001" if is_failed else ""),
        ("ErrorMessage", "（見本）システムエラーが発生しました。" if is_failed else ""),
    )


def _body(visit: Visit, code: str, now: datetime) -> list[Element]:
    if visit.case is Case.SERVICE_ERROR:
        return []
    if visit.case is Case.PERSON_ERROR:
        return leaves(
            ("ProcessingResultStatus", "2"),
            ("ProcessingResultCode", "SAMPLE002"),
            ("ProcessingResultMessage", "（見本）処理に失敗しました。"),
        )
    end = leaves(("ProcessingResultStatus", "1"), ("QualificationValidity", visit.validity))
    if visit.validity is Validity.NONE_FOUND:
        return end
    told = [block for person in visit.people for block in results(person, _telling(visit, code, now))]
    return [("ResultList", told), *leaves(("MedicalTreatmentFlag", "1"), ("PrescriptionIssueSelect", "2")), *end]


def _telling(visit: Visit, code: str, now: datetime) -> Telling:
    return Telling(
        at=now.astimezone(JST),
        institution_code=code,
        consents=visit.consents,
        limit_consented=visit.case is not Case.ALL_REFUSED,
        reference_number=visit.reference_number,
        validity=visit.validity,
        is_vendor_spelt=visit.case is Case.VENDOR_SPELLING,
    )
