"""What can the comparison of a result with the chart say, and who must look?

The codes are part of the contract with charts and vendors (design sections 8 and 12): their order here is the order
in which they are written everywhere.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self


class Verdict(StrEnum):
    """One statement about one result, with its Japanese label (design section 8). A result may carry several."""

    label: str

    def __new__(cls, value: str, label: str) -> Self:
        verdict = str.__new__(cls, value)
        verdict._value_ = value
        verdict.label = label
        return verdict

    MATCH = "match", "正常"
    INSURANCE_MISMATCH = "insurance_mismatch", "保険情報不一致"
    LIMIT_CERTIFICATE_MISMATCH = "limit_certificate_mismatch", "限度額情報不一致"
    NAME_MISMATCH = "name_mismatch", "氏名不一致"
    ADDRESS_MISMATCH = "address_mismatch", "住所不一致"
    NEW_PATIENT = "new_patient", "該当患者なし"
    AMBIGUOUS_PATIENT = "ambiguous_patient", "候補複数"
    REFERENCE_NUMBER_CONFLICT = "reference_number_conflict", "照会番号相違"
    IDENTITY_MISMATCH = "identity_mismatch", "性別・生年月日相違"
    SUSPICIOUS_CARD = "suspicious_card", "疑資格"
    BRANCH_NUMBER_MISSING = "branch_number_missing", "枝番未設定"
    BURDEN_RATIO_MISMATCH = "burden_ratio_mismatch", "負担割合相違"
    RELATIONSHIP_MISMATCH = "relationship_mismatch", "本人家族区分相違"
    INELIGIBLE = "ineligible", "無効"
    INELIGIBLE_NEW_COVERAGE = "ineligible_new_coverage", "無効（新しい資格あり）"
    NO_COVERAGE = "no_coverage", "該当資格なし"
    MULTIPLE_COVERAGES = "multiple_coverages", "複数該当"
    MEDICAL_AID_UNREGISTERED = "medical_aid_unregistered", "医療扶助未登録"
    SERVICE_ERROR = "service_error", "サービスエラー"


_PLACE = {verdict: place for place, verdict in enumerate(Verdict)}


def in_order(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Put verdicts into their order, each once; nothing at all is `match`, which stands only alone."""
    found = set(verdicts) - {Verdict.MATCH}
    return tuple(sorted(found, key=_PLACE.__getitem__)) or (Verdict.MATCH,)


def needs_review(verdicts: Iterable[Verdict], *, person_agrees: bool) -> bool:
    """Say whether a person must look.

    `person_agrees`: a patient was decided whose kana and birthdate equal those of the file; only then does a kanji
    name that differs (● for a character the service cannot write, an old form) need nobody. Design section 8.
    """
    harmless = {Verdict.MATCH, Verdict.NAME_MISMATCH} if person_agrees else {Verdict.MATCH}
    return not set(verdicts) <= harmless


def write_codes(verdicts: Iterable[Verdict]) -> str:
    """Write verdicts as the store keeps them: codes in their order, blank-separated."""
    return " ".join(in_order(verdicts))


def read_codes(codes: str) -> tuple[Verdict, ...]:
    """Read what `write_codes` wrote."""
    return tuple(Verdict(code) for code in codes.split())  # type: ignore[call-arg]  # found by value
