"""Who is the insured person, as a keyed hash that only the clinic's own key can make?

Consents and results are tied to it (design section 9). It holds the insurance, the birthdate and the folded kana, so
that neither twins on one card nor two people of one name share it. A change of insurance makes another hash: a
grant is then asked for again rather than lent to somebody.
"""

from pipeline.folding import (
    UNWRITABLE,
    fold_birthdate,
    fold_branch,
    fold_insurer,
    fold_kana,
    fold_symbol,
    without_zeros,
)
from pipeline.sealing import IdentityKey


def person_hash(  # noqa: PLR0917 - in the order of an insurance card
    identity: IdentityKey,
    insurer_number: str | None,
    symbol: str | None,
    number: str | None,
    branch_number: str | None,
    birthdate: str | None,
    kana: str | None,
) -> str | None:
    """Hash one insured person; 64 hex digits. Fields are as written in a file or a chart.

    None when too little is known to tell two people apart: no insurer, number or birthdate, or neither a whole
    kana (one with ● may be anybody's) nor branch number (twins on one card differ by nothing else).
    """
    insurer, folded_number, born = fold_insurer(insurer_number), fold_symbol(number), fold_birthdate(birthdate)
    folded_kana, branch = fold_kana(kana), fold_branch(branch_number)
    is_named = bool(folded_kana) and UNWRITABLE not in folded_kana
    if not insurer or not folded_number or born is None or not (is_named or branch):
        return None
    parts = (
        insurer,
        without_zeros(fold_symbol(symbol)),
        without_zeros(folded_number),
        branch or "",
        born.isoformat(),
        folded_kana,
    )
    return identity.mac("person", *(part.encode() for part in parts))


def patient_hash(identity: IdentityKey, patient_id: str) -> str:
    """Hash a chart number (患者番号), exactly as the chart writes it."""
    return identity.mac("patient", patient_id.encode())
