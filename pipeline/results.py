"""What is known of one person in one file, as the store keeps it sealed? (`results.sealed_result`)

Reconciliation writes it, forwarding and the command line read it. Bound to `contents.result_context`, key class
`confirmation`.
"""

from pydantic import Field

from pipeline.hidden import Hidden


class Compared(Hidden):
    """One field that differs, with both values as they were written."""

    file: str | None = None
    chart: str | None = None


class ResultDetail(Hidden):
    """One row of the result list (資格確認結果一覧)."""

    reference_number: str | None = None
    """照会番号"""
    insurer_number: str | None = None
    """保険者番号"""
    symbol: str | None = None
    """記号"""
    number: str | None = None
    """番号"""
    branch_number: str | None = None
    """枝番"""
    name: str | None = None
    kana: str | None = None
    patient_id: str | None = None
    """Chart number of the patient it was matched to."""
    candidates: tuple[str, ...] = ()
    """Chart numbers a person must choose from."""
    compared: dict[str, Compared] = Field(default_factory=dict)
    """Fields that differ, by the column names of `patients.csv`."""
