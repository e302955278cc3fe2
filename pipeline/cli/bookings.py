"""`onshi bookings list|unconfirmed`: who is booked, and whose insurance was not confirmed in a month?"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from consumers.consent.bookings import evening, intake
from pipeline.booking_row import BookingRow
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.errors import PermanentError
from pipeline.oqs.names import MessageKind
from pipeline.oqs.times import JST
from pipeline.settings import Settings
from pipeline.storage.schema import files, results
from pipeline.verdicts import Verdict, read_codes

_LISTED: Final = {
    "clinic": "clinic",
    "day": "予約日",
    "time": "時刻",
    "patient_id": "患者番号",
    "asked": "一括照会済",
}
_UNCONFIRMED: Final = {"clinic": "clinic", "patient_id": "患者番号", "days": "予約日"}
_FAR: Final = date(9999, 12, 31)
_HISTORIES: Final = [kind.value for kind in MessageKind if kind.is_history]


def bookings(settings: Settings, arguments: Namespace) -> int:
    if arguments.clinic and settings.clinic(arguments.clinic) is None:
        raise WrongUseError(f"--clinic: there is no clinic {arguments.clinic}")
    clinics = [clinic.id for clinic in settings.clinics if arguments.clinic in (None, clinic.id)]
    with Desk(settings, arguments).closing() as desk:
        with desk.store.reading() as connection:
            if arguments.action == "list":
                rows = [row for clinic in clinics for row in _listed(desk, connection, clinic, arguments.day)]
                rows = rows[: arguments.limit]
            else:
                month = _month(desk, arguments.month)
                rows = [row for clinic in clinics for row in _unconfirmed(desk, connection, clinic, month)]
        if desk.staff:
            desk.log_access(f"bookings.{arguments.action}", f"{len(rows)} patients")
        if arguments.action == "list":
            desk.show(rows, _LISTED, "予約")
        else:
            desk.show(rows, _UNCONFIRMED, "資格未確認")
    return 0


def _today(desk: Desk) -> date:
    return desk.now.astimezone(JST).date()


def _open(desk: Desk, rows: Sequence[Any]) -> Iterator[tuple[Any, BookingRow | None]]:
    for row in rows:
        try:
            yield row, intake.open_booking(desk.opener, row) if desk.staff else None
        except PermanentError:
            yield row, None


def _listed(desk: Desk, connection: Connection, clinic: str, day: date | None) -> list[dict[str, Any]]:
    rows = intake.of_days(connection, clinic, day or _today(desk), day or _FAR)
    asked = {row.day: evening.was_asked(connection, clinic, row.day) for row in rows}
    listed = [
        {
            "clinic": clinic,
            "day": row.day.isoformat(),
            "time": found.time if found else None,
            "patient_id": found.patient_id if found else None,
            "asked": asked[row.day],
        }
        for row, found in _open(desk, rows)
    ]
    return sorted(listed, key=_when)


def _when(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["day"], row["time"] or "", row["patient_id"] or ""


def _month(desk: Desk, text: str | None) -> tuple[date, date]:
    """Name the first and the last day that are looked at."""
    first = date.fromisoformat(f"{text}-01") if text else _today(desk).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return first, min(following - timedelta(days=1), _today(desk))


def _unconfirmed(desk: Desk, connection: Connection, clinic: str, month: tuple[date, date]) -> list[dict[str, Any]]:
    first, last = month
    rows = intake.of_days(connection, clinic, first, last)
    confirmed = _confirmed(connection, clinic, first)
    days: dict[str, list[str]] = {}
    patients: dict[str, str | None] = {}
    for row, found in _open(desk, [row for row in rows if row.patient_hash not in confirmed]):
        days.setdefault(row.patient_hash, []).append(row.day.isoformat())
        patients[row.patient_hash] = found.patient_id if found else None
    listed = [{"clinic": clinic, "patient_id": patients[hashed], "days": days[hashed]} for hashed in days]
    return sorted(listed, key=_first_day)


def _first_day(row: dict[str, Any]) -> tuple[str, str]:
    return row["days"][0], row["patient_id"] or ""


def _confirmed(connection: Connection, clinic: str, first: date) -> frozenset[str]:
    """Name whom a result of eligibility, of that month by the service's own time, was matched to."""
    following = (first + timedelta(days=31)).replace(day=1)
    start, end = (datetime(day.year, day.month, 1, tzinfo=JST).astimezone(UTC) for day in (first, following))
    query = (
        select(results.c.patient_hash, results.c.verdicts)
        .join(files, files.c.file_id == results.c.file_id)
        .where(
            results.c.clinic == clinic,
            results.c.patient_hash.is_not(None),
            results.c.processed_at >= start,
            results.c.processed_at < end,
            files.c.kind.not_in(_HISTORIES),
        )
    )
    found = connection.execute(query.distinct())
    # What the service could not say confirms nothing, though it is known for whom it was asked.
    return frozenset(row.patient_hash for row in found if Verdict.SERVICE_ERROR not in read_codes(row.verdicts))
