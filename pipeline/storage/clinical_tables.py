"""Which medication and checkup answers are here of whom? An index; the content is the file's own sealed record."""

from sqlalchemy import Column, Index, String, Table

from pipeline.storage.columns import Moment, identifier, metadata

clinical_answers = Table(
    "clinical_answers",
    metadata,
    identifier("file_id", primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("kind", String(12), nullable=False),  # Clinical: medication | checkup
    Column("form", String(4), nullable=False),  # Form: data | pdf
    Column("person_hash", String(64)),  # of the insured person that was asked for, else of the one the answer names
    Column("patient_hash", String(64)),  # of the chart's patient, as the result list has it
    identifier("request_id"),  # the request of ours that it answers
    Column("month", String(6)),  # YYYYMM that was asked for; none: a range, or a checkup
    Column("processed_at", Moment),
    Index("clinical_answers_by_patient", "clinic", "patient_hash"),
    Index("clinical_answers_by_person", "clinic", "person_hash", "kind"),
)
"""One row per answer that brought something. Reconciliation writes it with the result, and takes it away with it."""
