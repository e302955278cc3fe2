"""Is this answer the one to our request, or about somebody else?

Reconciliation decides it for what is delivered. What is not (receipts, answers still being made, registrations,
withdrawals) it never sees, so consent asks itself: file identifier and reception number must be those of the request,
exactly, and the query that the answer repeats must be ours. Design section 8.
"""

from pipeline.folding import fold_branch, fold_insurer, fold_symbol, same_symbol
from pipeline.oqs.answers import arbitrary_file_identifier, reception_number
from pipeline.oqs.eligibility import Registration, Withdrawal
from pipeline.oqs.records import ConsentWithdrawalRecord, Record, RegistrationRecord
from pipeline.request_row import RequestDetail


def is_foreign(asked: RequestDetail, record: Record) -> bool:
    """Say whether an answer under our request's name is another's. What it does not say speaks against nothing."""
    identifier, received_as = arbitrary_file_identifier(record), reception_number(record)
    if identifier is not None and identifier != asked.arbitrary_file_identifier:
        return True
    if asked.reception_number is not None and received_as is not None and received_as != asked.reception_number:
        return True
    if isinstance(record, RegistrationRecord) and record.registration is not None:
        told = record.registration
        is_other_key = asked.reference_number is not None and told.reference_number not in (
            None,
            asked.reference_number,
        )
        return is_other_key or _is_other_insurance(asked, told)
    if isinstance(record, ConsentWithdrawalRecord) and record.withdrawal is not None:
        return _is_other_insurance(asked, record.withdrawal)
    return False


def _is_other_insurance(asked: RequestDetail, told: Registration | Withdrawal) -> bool:
    pairs = (
        (fold_insurer(asked.insurer_number), fold_insurer(told.insurer_number)),
        (fold_branch(asked.branch_number), fold_branch(told.branch_number)),
    )
    if any(one and other and one != other for one, other in pairs):
        return True
    symbols = ((asked.symbol, told.symbol), (asked.number, told.number))
    return any(fold_symbol(one) and fold_symbol(other) and not same_symbol(one, other) for one, other in symbols)
