"""The evening before, everybody booked is asked for: once, whatever restarts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from consumers.consent.bookings import intake
from consumers.consent.bookings.evening import day_to_ask, queries
from pipeline.booking_row import BookingRow
from pipeline.inquiry_settings import BookingSettings
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import MAX_QUERIES
from pipeline.patient_row import PatientRow
from pipeline.sealing import Opener
from pipeline.storage.schema import bookings, requests, schedules
from tests.support.line import CLINIC, NOW
from tests.support.service_line import ServiceLine, bookings_changed

TOMORROW = date(2026, 5, 13)
EVENING = datetime(2026, 5, 12, 9, 0, tzinfo=UTC)
SETTINGS = BookingSettings(path=Path("bookings.csv"))


def patient(chart: int, **changes: str) -> PatientRow:
    fields = {
        "patient_id": f"{chart}",
        "name": "見本　花子",
        "kana": "ﾐﾎﾝ ﾊﾅｺ",
        "birthdate": "1985-04-12",
        "insurer_number": "06999999",
        "symbol": "7001",
        "number": f"{chart}",
        "branch_number": "00",
        "valid_from": "2020-04-01",
        "valid_to": "9999-12-31",
    }
    return PatientRow(**{**fields, **changes})


@pytest.fixture
def line(tmp_path: Path) -> Iterator[ServiceLine]:
    made = ServiceLine(tmp_path, institution={"bookings": {"path": tmp_path / "bookings.csv"}})
    yield made
    made.centre.store.close()


def booked(number: int, day: date = TOMORROW) -> BookingRow:
    return BookingRow(patient_id=f"{number}", day=day)


def asked(line: ServiceLine) -> list[list[str | None]]:
    return [[one.number for one in request.searches] for request in line.asked if request.searches]


def days(line: ServiceLine) -> list[tuple[date, str]]:
    with line.centre.store.reading() as connection:
        rows = intake.of_days(connection, CLINIC, date(2026, 1, 1), date(2026, 12, 31))
    opener = Opener(line.centre.keyring)
    return sorted((row.day, intake.open_booking(opener, row).patient_id) for row in rows)


@pytest.mark.parametrize(
    ("local", "day"),
    [
        ("2026-05-12T17:59", None),
        ("2026-05-12T18:00", TOMORROW),
        ("2026-05-12T23:59", TOMORROW),
        ("2026-05-13T00:00", TOMORROW),
        ("2026-05-13T08:59", TOMORROW),
        ("2026-05-13T09:00", None),
        ("2026-12-31T18:00", date(2027, 1, 1)),
    ],
)
def test_the_evening_is_one_in_japan_and_a_missed_one_is_made_good_in_the_morning(local: str, day: date | None) -> None:
    now = datetime.fromisoformat(f"{local}+09:00").astimezone(UTC)
    assert day_to_ask(SETTINGS, now) == day
    assert day_to_ask(SETTINGS.model_copy(update={"at": time(23, 59)}), EVENING) is None


def test_everybody_booked_is_asked_for_once_whatever_restarts(line: ServiceLine) -> None:
    line.patients(*(patient(number) for number in range(1, 5)))
    line.run(bookings_changed(line, booked(1), booked(2), booked(3, date(2026, 5, 14)), booked(99)))
    line.pass_to(EVENING - timedelta(seconds=5))
    assert not line.asked
    line.pass_to(EVENING)
    line.restart()
    line.pass_to(EVENING + timedelta(hours=1))
    line.pass_to(EVENING + timedelta(hours=8))
    assert asked(line) == [["1", "2"]]
    (request,) = [row for row in line.rows(requests) if row["phase"] == "01"]
    assert (request["kind"], request["asked_by"]) == (MessageKind.BULK_ELIGIBILITY.value, "schedule")
    assert request["withdraw_at"] == datetime(2026, 5, 13, 1, 0, tzinfo=UTC)
    assert line.asked[0].header.confirmed_on == "20260513"
    (done,) = line.rows(schedules)
    assert (done["day"], done["count"]) == (TOMORROW, 2)
    line.pass_to(EVENING + timedelta(days=1))
    assert asked(line) == [["1", "2"], ["3"]]


def test_a_list_that_comes_late_is_asked_for_when_it_is_here(line: ServiceLine) -> None:
    line.patients(patient(1))
    line.pass_to(EVENING)
    assert not line.rows(schedules)
    line.run(bookings_changed(line, booked(1), at=EVENING))
    line.pass_to(EVENING + timedelta(minutes=1))
    assert asked(line) == [["1"]]


def test_more_than_three_hundred_are_asked_for_in_several_files(line: ServiceLine) -> None:
    line.patients(*(patient(number) for number in range(1, MAX_QUERIES + 2)))
    line.run(bookings_changed(line, *(booked(number) for number in range(1, MAX_QUERIES + 2))))
    line.pass_to(EVENING)
    assert sorted(len(one) for one in asked(line)) == [1, MAX_QUERIES]


def test_only_an_insurance_in_force_that_day_is_asked_for_and_one_card_once() -> None:
    people = {
        "1": [patient(1, valid_to="2026-05-12"), patient(1, number="11", valid_from="2026-05-13")],
        "2": [patient(2, number="11")],
        "3": [patient(3, insurer_number="12990001")],
        "4": [patient(4, birthdate="")],
        "5": [patient(5, insurer_number="138057", limit_class="01", limit_flag="A04")],
    }
    found = queries(people, TOMORROW)
    assert [(one.insurer_number, one.number, one.arbitrary_identifier) for one in found] == [
        ("06999999", "11", "1"),
        ("  138057", "5", "5"),
    ]
    assert found[1].limit_on_file is not None
    assert found[1].limit_on_file.flag == "A04"


LISTS: list[tuple[int, tuple[int, ...]]] = [(0, (1, 2)), (1, (2, 3)), (2, ())]


@pytest.mark.parametrize("order", list(permutations(LISTS)))
def test_the_newest_list_counts_in_any_order_and_days_gone_by_stay(order: tuple[Any, ...], line: ServiceLine) -> None:
    gone, today = date(2026, 5, 1), date(2026, 5, 12)
    for hour, numbers in order:
        rows = [booked(number, day) for number in numbers for day in (TOMORROW, today)]
        line.now = NOW + timedelta(hours=3)
        line.run(bookings_changed(line, *rows, booked(7, gone), at=NOW + timedelta(hours=hour)))
    found = days(line)
    assert (gone, "7") in found
    assert not [one for one in found if one[0] == TOMORROW]
    assert not any(b"patient_id" in row["sealed"] for row in line.rows(bookings))
