"""Which system does a code belong to, and do two codes of drugs mean one drug?"""

import re
from typing import Final
from unicodedata import normalize

from pipeline.clinical.rows import CodeSystem

_RECEIPT: Final = re.compile(r"[0-9]{9}")
_YJ: Final = re.compile(r"[0-9]{7}[0-9A-Z][0-9A-Z]{4}")
_GENERAL: Final = re.compile(r"[0-9]{7}[0-9A-Z][0-9A-Z]ZZZ")
_JLAC10: Final = re.compile(r"[0-9A-Z]{17}")
_SHARED: Final = 9
"""Characters that a general name's code (一般名コード) shares with the YJ codes of its drugs."""


def fold_code(code: str | None) -> str:
    return normalize("NFKC", code or "").strip().upper()


def drug_system(code: str | None) -> CodeSystem | None:
    """Name the system of a drug's code by its shape; none without a code."""
    folded = fold_code(code)
    if not folded:
        return None
    if _RECEIPT.fullmatch(folded):
        return CodeSystem.RECEIPT
    if _GENERAL.fullmatch(folded):
        return CodeSystem.GENERAL_NAME
    return CodeSystem.YJ if _YJ.fullmatch(folded) else CodeSystem.OTHER


def checkup_system(code: str | None) -> CodeSystem | None:
    """Name the system of a checkup item's code; none without a code."""
    folded = fold_code(code)
    if not folded:
        return None
    return CodeSystem.JLAC10 if _JLAC10.fullmatch(folded) else CodeSystem.OTHER


def same_code(one: str | None, other: str | None) -> bool | None:
    """Say whether two codes mean one drug; none where they cannot be compared."""
    left, right = fold_code(one), fold_code(other)
    if not left or not right:
        return None
    if left == right:
        return True
    systems = {drug_system(left), drug_system(right)}
    if systems == {CodeSystem.YJ, CodeSystem.GENERAL_NAME}:
        return left[:_SHARED] == right[:_SHARED]
    return False if len(systems) == 1 else None
