"""Which rows tell of a drug that a better source tells of as well?

A drug may stand in the claim, in the dispensing and in the prescription. One row of each stands for one giving:
receipt over dispensed over prescribed, for the same institution and day (oqs-interface section 3.4.4). A claim and
a dispensing meet by pharmacy and day of dispensing; a prescription meets either by its own institution and day. What
is not named meets nothing: a repetition too many on the screen harms less than a drug too few. No row is dropped.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from pipeline.clinical.codes import same_code
from pipeline.clinical.rows import CodeSystem, DrugRow, Place, Source
from pipeline.folding import fold_name


def marked(rows: Sequence[DrugRow]) -> tuple[DrugRow, ...]:
    """Number rows from 0 in their order and mark repetitions; depends on what they say, not on their order."""
    # In the order of their content, so that it does not matter who came first in the list.
    order = sorted(range(len(rows)), key=lambda at: (rows[at].source.rank, _content(rows[at])))
    given, prescribed = defaultdict[date | None, list[int]](list), defaultdict[date | None, list[int]](list)
    roots: dict[int, int] = {}
    taken: set[tuple[int, Source]] = set()
    for at in order:
        row = rows[at]
        near = _nearby(row, given, prescribed)
        meant = [other for other in near if _is_same_giving(rows[other], row)]
        free = [other for other in meant if (roots.get(other, other), row.source) not in taken]
        if free:
            # The first of those that agree most: `near` is in the order of their content.
            chosen = min(free, key=lambda other: not _is_same_amount(rows[other], row))
            roots[at] = roots.get(chosen, chosen)
            taken.add((roots[at], row.source))
        if row.source is Source.RECEIPT:
            given[row.day].append(at)
        if row.source is not Source.PRESCRIBED:
            prescribed[_prescription(row)[1]].append(at)
    return tuple(row.model_copy(update={"number": at, "duplicate_of": roots.get(at)}) for at, row in enumerate(rows))


_ByDay = Mapping[date | None, Sequence[int]]


def _nearby(row: DrugRow, given: _ByDay, prescribed: _ByDay) -> Sequence[int]:
    match row.source:
        case Source.RECEIPT:
            return ()
        case Source.DISPENSED:
            return given.get(row.day, ())
        case Source.PRESCRIBED:
            return prescribed.get(row.day, ())


def _content(row: DrugRow) -> str:
    return row.model_dump_json(exclude={"number", "duplicate_of"})


def _is_same_giving(better: DrugRow, row: DrugRow) -> bool:
    if row.source is Source.DISPENSED:
        is_same_event = _is_same(better.place, better.day, row.place, row.day)
    else:
        is_same_event = _is_same(*_prescription(better), row.place, row.day)
    return is_same_event and _is_same_drug(better, row)


def _prescription(row: DrugRow) -> tuple[Place, date | None]:
    """Say who prescribed a drug that was given, and when; who dispenses its own drugs wrote for them that day."""
    if row.prescriber.is_known:
        return row.prescriber, row.prescribed_on
    return row.place, row.prescribed_on or row.day


def _is_same(place: Place, day: date | None, other: Place, other_day: date | None) -> bool:
    return day is not None and day == other_day and _is_same_place(place, other)


def _is_same_place(one: Place, other: Place) -> bool:
    if one.code and other.code:
        return one.code.strip() == other.code.strip()
    left, right = fold_name(one.name), fold_name(other.name)
    return bool(left) and left == right


def _is_same_drug(one: DrugRow, other: DrugRow) -> bool:
    by_code = same_code(one.code, other.code)
    if by_code is not None:
        return by_code
    if fold_name(one.name) and fold_name(one.name) == fold_name(other.name):
        return True
    # Prescribed by its general name, given as a product: only the ingredient is common.
    is_general = CodeSystem.GENERAL_NAME in (one.code_system, other.code_system)
    return is_general and bool(fold_name(one.ingredient)) and fold_name(one.ingredient) == fold_name(other.ingredient)


def _is_same_amount(one: DrugRow, other: DrugRow) -> bool:
    return (one.amount, one.times, fold_name(one.usage)) == (other.amount, other.times, fold_name(other.usage))
