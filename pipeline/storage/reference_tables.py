"""Which tables hold reference numbers (照会番号), bookings (予約), and what a schedule has done?"""

from sqlalchemy import Column, Date, Index, Integer, LargeBinary, String, Table

from pipeline.storage.columns import Moment, identifier, metadata

reference_numbers = Table(
    "reference_numbers",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("patient_hash", String(64), primary_key=True),
    Column("insurance_hash", String(64), primary_key=True),  # keyed hash of the insurance it is registered for
    Column("number_hash", String(64), nullable=False),  # keyed hash of the number, as sent
    Column("sealed", LargeBinary, nullable=False),  # ReferenceDetail
    Column("state", String(12), nullable=False),  # wanted | asked | registered | verified | wrong | refused
    Column("reason", String(40)),
    Column("institution_code", String(10)),  # under which it was asked for or seen
    Column("asked_by", String(31), nullable=False),  # staff id, or `consent`
    identifier("inquiry_id"),  # of the request that registers it
    Column("seen_at", Moment),  # ProcessExecutionTime of the newest result that was judged
    Column("wanted_at", Moment),
    Column("not_before", Moment),
    Column("asked_at", Moment),
    Column("registered_at", Moment),
    Column("verified_at", Moment),
    Index("reference_numbers_by_state", "state", "clinic"),
    Index("reference_numbers_by_inquiry", "inquiry_id"),
    Index("reference_numbers_by_insurance", "clinic", "insurance_hash"),
    Index("reference_numbers_by_number", "clinic", "number_hash"),
)
"""One row per patient and insurance. Consent and the command line write it."""

bookings = Table(
    "bookings",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("day", Date, primary_key=True),  # in Japan
    Column("patient_hash", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # BookingDetail
    Column("list_id", String(36), nullable=False),  # the newest list that names it
    Column("taken_at", Moment, nullable=False),
)
"""Who is booked when. Days to come are replaced by each newer list, days gone by stay."""

booking_lists = Table(
    "booking_lists",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("list_id", String(36), nullable=False),
    Column("taken_at", Moment, nullable=False),
    Column("rows", Integer, nullable=False),
)
"""The newest list of each clinic, so that an older one that comes late changes nothing."""

schedules = Table(
    "schedules",
    metadata,
    Column("clinic", String(31), primary_key=True),
    Column("name", String(20), primary_key=True),
    Column("day", Date, primary_key=True),  # in Japan
    Column("done_at", Moment, nullable=False),
    Column("count", Integer, nullable=False),  # people it concerned
)
"""What was done for a day; a row is written with what it did, so nothing is done twice."""
