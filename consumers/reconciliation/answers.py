"""Is this answer about the person we asked for?

Pure. An answer belongs to the request row whose base name its file name carries; it must carry that request's file
identifier (任意のファイル識別子) exactly, when it carries one, and may not speak of somebody else. Design section 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.reconciliation.subject import Entry, Subject
from pipeline.folding import UNWRITABLE, fold_birthdate, fold_branch, fold_insurer, fold_kana, fold_symbol, same_symbol
from pipeline.request_row import RequestDetail


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request of ours, and the file identifier and reception number (受付番号) that the answer carries."""

    request: RequestDetail
    identifier: str | None
    reception_number: str | None = None


def is_foreign(asked: Asked, entries: Sequence[Entry]) -> bool:
    """Say whether an answer to a request of ours is about another person."""
    if asked.identifier is not None and asked.identifier != asked.request.arbitrary_file_identifier:
        return True
    own = asked.request.reception_number
    if own is not None and asked.reception_number not in (None, own):
        return True
    if any(entry.echo is not None and _is_other_query(asked.request, entry.echo) for entry in entries):
        return True
    return bool(entries) and not any(same_person(asked, entry) for entry in entries)


def same_person(asked: Asked, entry: Entry) -> bool:
    """Say whether nothing an entry tells speaks against the person of the request.

    Twins on one card differ by kana or branch number only, so one of these that differs is enough. A name asked for
    by card may differ (a typing error met a stranger): that is `suspicious_card`, not a foreign answer.
    """
    request, subject = asked.request, entry.subject
    born, asked_kana = fold_birthdate(request.birthdate), fold_kana(request.kana)
    if None not in (born, subject.born) and born != subject.born:
        return False
    if asked_kana and subject.folded_kanas:
        is_named = asked_kana in subject.folded_kanas and UNWRITABLE not in asked_kana
        if is_named and born is not None and born == subject.born:
            return True
        if entry.is_history and asked_kana not in subject.folded_kanas:
            return False
    return not _is_other_insurance(request, subject)


def person_of(request: RequestDetail) -> Subject:
    """Name the person a request was made about, as the chart or the file named them then."""
    return Subject(
        names=(request.name,) if request.name else (),
        kanas=(request.kana,) if request.kana else (),
        birthdate=request.birthdate,
    )


def _is_other_query(request: RequestDetail, echo: Subject) -> bool:
    born = fold_birthdate(request.birthdate)
    return _is_other_insurance(request, echo) or (None not in (born, echo.born) and born != echo.born)


def _is_other_insurance(request: RequestDetail, subject: Subject) -> bool:
    pairs = (
        (fold_insurer(request.insurer_number), fold_insurer(subject.insurer_number)),
        (fold_branch(request.branch_number), fold_branch(subject.branch_number)),
    )
    if any(one and other and one != other for one, other in pairs):
        return True
    symbols = ((request.symbol, subject.symbol), (request.number, subject.number))
    return any(fold_symbol(one) and fold_symbol(other) and not same_symbol(one, other) for one, other in symbols)
