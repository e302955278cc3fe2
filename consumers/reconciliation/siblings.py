"""Do all results of one person in a file go to one patient, though they are decided at different times?

A result that is decided later must not go to another patient than the one beside it, which a person or an older list
decided: two patients of one person are never chosen between by the machine (field-and-chart-systems section 2.4).
"""

from dataclasses import replace

from consumers.reconciliation.decision import Decided, conclude
from consumers.reconciliation.facts import FileFacts
from consumers.reconciliation.matching import undecided
from pipeline.contents import result_context
from pipeline.results import ResultDetail
from pipeline.sealing import Opener
from pipeline.verdicts import Verdict


def beside_siblings(file: FileFacts, number: int, decided: Decided, opener: Opener) -> Decided:
    """Leave to a person what would part a result from the others of its person.

    Raises:
        PermanentError: a result beside it cannot be opened.
    """
    if file.case is None or decided.detail.patient_id is None:
        return decided
    patients = {decided.detail.patient_id, *_patients_beside(file, number, opener)}
    if len(patients) == 1:
        return decided
    found = conclude(file.case.entries[number], undecided([], Verdict.AMBIGUOUS_PATIENT))
    return replace(found, detail=found.detail.model_copy(update={"candidates": tuple(sorted(patients))}))


def _patients_beside(file: FileFacts, number: int, opener: Opener) -> set[str]:
    assert file.case is not None
    persons = [entry.person for entry in file.case.entries]
    beside = {at for at, person in enumerate(persons) if person == persons[number]} - {number}
    rows = [row for row in file.held if row.result in beside and row.patient_hash is not None]
    details = [opener.open(file.clinic, result_context(file.file_id, row.result), row.sealed_result) for row in rows]
    return {found for raw in details if (found := ResultDetail.model_validate_json(raw).patient_id) is not None}
