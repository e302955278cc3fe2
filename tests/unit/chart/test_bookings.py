"""A list of bookings (予約) is read whole or not at all, and goes up as the patient list does."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.booking_row import BookingRow, bookings_from_bytes
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.clock import SystemClock
from pipeline.contents import bookings_context
from pipeline.events import BookingsChanged, EdgeReported
from pipeline.inquiry_settings import BookingSettings
from pipeline.keyring import Keyring
from pipeline.oqs.times import JST
from pipeline.sealing import Opener
from pipeline.settings import Settings
from producers.chart.bookings_csv import read_bookings
from producers.chart.patients_csv import PatientsInvalidError
from tests.support.chart import CLINIC, Heard, running
from tests.support.eventually import eventually

DAY = date(2026, 5, 13)


@pytest.mark.parametrize(
    "content",
    [
        b"patient_id,date,time\n10234,2026-05-13,9:30\n",
        "\ufeffdate,room,patient_id,time\r\n2026/5/13,A,10234,09:30:00\r\n".encode(),
        "患者番号,予約日,予約時刻\n10234,20260513,０９:30\n".encode("cp932"),
    ],
)
def test_a_list_is_read_however_a_booking_system_writes_it(content: bytes) -> None:
    assert read_bookings(content) == (BookingRow(patient_id="10234", day=DAY, time="09:30"),)


def test_a_list_without_rows_says_that_nobody_is_booked() -> None:
    assert read_bookings(b"patient_id,date\n") == ()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"patient_id,day\n1,2026-05-13\n", "line 1, date: missing_column"),
        (b"patient_id,date,date\n1,2026-05-13,\n", "line 1, date: given_twice"),
        (b"patient_id,date\n,2026-05-13\n", "line 2, patient_id: empty"),
        (b"patient_id,date\n1,2026-02-30\n", "line 2, date: not_a_date"),
        (b"patient_id,date\n1,2026115\n", "line 2, date: not_a_date"),
        (b"patient_id,date,time\n1,2026-05-13,24:00\n", "line 2, time: not_a_time"),
        (b"patient_id,date\n1\n", "line 2, row: wrong_number_of_values"),
        (b'patient_id,date\n1,"2026-05-13\n', "line 2, row: not_csv"),
        (b"patient_id,date\n\x81,2026-05-13\xff\n", "line 1, row: not_utf8_nor_cp932"),
    ],
)
def test_one_fault_refuses_the_whole_list_and_is_named_without_a_value(content: bytes, fault: str) -> None:
    with pytest.raises(PatientsInvalidError) as refused:
        read_bookings(content)
    assert str(refused.value.faults[0]) == fault


def test_a_list_goes_up_sealed_without_days_long_gone(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, reports: Heard, tmp_path: Path
) -> None:
    today = SystemClock().now().astimezone(JST).date()
    path = tmp_path / "bookings.csv"
    path.write_text(f"patient_id,date\ncanary1,{today}\ncanary2,{today - timedelta(days=90)}\n")
    clinic = settings.clinics[0].model_copy(update={"bookings": BookingSettings(path=path)})
    heard = Heard(broker, "consent")
    with running(settings.model_copy(update={"clinics": (clinic,)}), broker):
        (event,) = eventually(lambda: heard.of(BookingsChanged))
        sealed = Opener(keyring).open(CLINIC, bookings_context(event.list_id), event.sealed)
        assert [row.patient_id for row in bookings_from_bytes(sealed)] == ["canary1"]
        assert event.rows == 1
        path.write_text("patient_id,date\n1,never\n")
        eventually(lambda: any("bookings_invalid" in report.faults for report in reports.of(EdgeReported)))
    assert len(heard.of(BookingsChanged)) == 1
    assert not any(b"canary" in one.read_bytes() for one in settings.edge.state.iterdir())
