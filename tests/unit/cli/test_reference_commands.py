"""`onshi reference-numbers`, `onshi bookings`: what is shown, written and wanted, and who is accounted for?"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from consumers.consent.bookings import TakeBookings, prepare, take
from consumers.consent.references import ledger
from consumers.consent.references.ledger import Write
from consumers.consent.references.report import detail_of
from consumers.consent.references.rows import ReferenceDetail, reference
from consumers.consent.references.state import ReferenceState
from consumers.reconciliation.patient_list import apply_part, decide_part, gather_lists, prepare_part
from pipeline.booking_row import BookingRow, bookings_to_bytes
from pipeline.contents import bookings_context, patients_context
from pipeline.events import BookingsChanged, PatientsChanged
from pipeline.oqs.times import JST
from pipeline.patient_row import PatientRow, rows_to_bytes
from pipeline.persons import patient_hash
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.schema import access_log, files, reference_numbers, results
from pipeline.topology import CHART_EDGE
from tests.unit.cli.conftest import Office

CLINIC = "c001"
NOW = datetime.now(UTC)


def patient(chart: str, **changes: str) -> PatientRow:
    fields = {"patient_id": chart, "birthdate": "1985-04-12", "insurer_number": "06999999", "symbol": "7"}
    return PatientRow(**{**fields, "number": chart, "branch_number": "01", **changes})


CHART = (
    patient("1"),
    patient("2"),
    patient("3"),
    patient("4", branch_number=""),
    patient("5"),
    patient("6", number="5"),
)


def seal(office: Office, context: str, content: bytes) -> bytes:
    return Sealer().seal(office.keyring.epoch_key(CLINIC, KeyClass.STANDING, NOW), CLINIC, context, content)


@pytest.fixture
def charted(office: Office) -> Office:
    """Six patients: 5 and 6 share one insurance, 4 has no branch number."""
    event = PatientsChanged(
        clinic=CLINIC,
        edge=CHART_EDGE,
        list_id="l1",
        taken_at=NOW,
        part=1,
        parts=1,
        rows=len(CHART),
        sealed=seal(office, patients_context("l1", 1), rows_to_bytes(CHART)),
    )
    part = prepare_part(event, office.keyring, Opener(office.keyring), Sealer())
    with office.store.transaction() as connection:
        write = decide_part(part, gather_lists(connection, event))
        assert write is not None
        apply_part(connection, write, NOW)
    return office


def stands(office: Office, detail: ReferenceDetail, state: ReferenceState) -> None:
    own = reference(office.keyring.identity(CLINIC), CLINIC, detail)
    with office.store.transaction() as connection:
        made = [Write(own, state, "9919000011", "consent", seen_at=NOW - timedelta(days=1))]
        ledger.write(connection, office.keyring, Sealer(), made, NOW)


def findings(office: Office, code: int) -> dict[str, list[str]]:
    got, text = office.say("reference-numbers", "check", "--json")
    assert got == code, text
    found: dict[str, list[str]] = {}
    for row in json.loads(text):
        found.setdefault(row["finding"], []).append(row["patient_id"])
    return found


def rows(office: Office) -> list[Any]:
    with office.store.reading() as connection:
        return list(connection.execute(select(reference_numbers)))


def accesses(office: Office) -> list[str]:
    with office.store.reading() as connection:
        return list(connection.scalars(select(access_log.c.action).order_by(access_log.c.number)))


def test_a_check_names_what_is_missing_and_what_a_person_must_decide(charted: Office) -> None:
    assert findings(charted, 0) == {"missing": ["1", "2", "3"], "ambiguous": ["5", "6"], "not_registrable": ["4"]}
    assert accesses(charted) == ["reference-numbers.check"]


def test_a_check_fails_where_a_number_is_wrong_shared_or_nobodys(charted: Office) -> None:
    stands(charted, detail_of(CHART[0]).model_copy(update={"carried": "2"}), ReferenceState.WRONG)
    stands(charted, detail_of(CHART[1]), ReferenceState.VERIFIED)
    stands(charted, detail_of(patient("gone")), ReferenceState.REGISTERED)
    found = findings(charted, 1)
    assert (found["wrong"], found["shared"], found["no_patient"]) == (["1"], ["1", "2"], ["gone"])


def test_a_changed_insurance_is_named_and_registered_by_itself(charted: Office) -> None:
    stands(charted, detail_of(patient("3", number="old")), ReferenceState.VERIFIED)
    assert findings(charted, 0)["changed"] == ["3"]
    assert charted.ask("reference-numbers", "register", "--changed") == {"wanted": 1}
    assert sorted(row.state for row in rows(charted)) == ["verified", "wanted"]


def test_what_is_missing_is_wanted_but_nothing_for_two_charts_of_one_card(charted: Office) -> None:
    assert charted.ask("reference-numbers", "register", "--all-missing") == {"wanted": 3}
    identity = charted.keyring.identity(CLINIC)
    assert {row.patient_hash for row in rows(charted)} == {patient_hash(identity, number) for number in "123"}
    assert {(row.state, row.asked_by) for row in rows(charted)} == {("wanted", "s1")}
    assert accesses(charted) == ["reference-numbers.register"]


@pytest.mark.parametrize("which", ["--all-missing", "--changed", "--all"])
def test_nothing_is_registered_in_bulk_over_the_number_of_a_chart_that_writes_the_insurance_otherwise(
    charted: Office, which: str
) -> None:
    stands(charted, detail_of(patient("2", number="1")), ReferenceState.VERIFIED)
    charted.ask("reference-numbers", "register", which)
    wanted = {row.patient_hash for row in rows(charted) if row.state == "wanted"}
    assert patient_hash(charted.keyring.identity(CLINIC), "1") not in wanted
    code, said = charted.say("request", "reference", "1")
    assert (code, "other_patient" in said) == (1, True)


def test_all_is_every_number_but_a_wrong_one_which_is_named_to_be_registered_over(charted: Office) -> None:
    stands(charted, detail_of(CHART[0]).model_copy(update={"carried": "x"}), ReferenceState.WRONG)
    stands(charted, detail_of(CHART[1]), ReferenceState.VERIFIED)
    assert charted.ask("reference-numbers", "register", "--all") == {"wanted": 2}
    assert sorted(row.state for row in rows(charted)) == ["wanted", "wanted", "wrong"]
    assert charted.ask("reference-numbers", "register", "--patient", "1") == {"wanted": 1}
    assert charted.say("reference-numbers", "register", "--patient", "4")[0] == 2


def test_what_is_on_its_way_is_not_wanted_twice(charted: Office) -> None:
    stands(charted, detail_of(CHART[0]), ReferenceState.WANTED)
    with charted.store.transaction() as connection:
        connection.execute(update(reference_numbers).values(state="asked"))
    charted.ask("reference-numbers", "register", "--patient", "1")
    assert [row.state for row in rows(charted)] == ["asked"]


def test_an_export_is_for_staff_never_overwrites_and_is_accounted_for(charted: Office) -> None:
    stands(charted, detail_of(CHART[1]), ReferenceState.VERIFIED)
    path = charted.root / "numbers.csv"
    assert charted.ask("reference-numbers", "export", str(path)) == {"rows": 1}
    header, line = path.read_text(encoding="utf-8-sig").splitlines()
    assert header.startswith("clinic,patient_id,reference_number,insurer_number")
    assert line.startswith("c001,2,2,06999999,7,2,01,verified")
    assert path.stat().st_mode & 0o077 == 0
    assert charted.say("reference-numbers", "export", str(path))[0] == 2
    text = (charted.root / "onshi.toml").read_text()
    (charted.root / "onshi.toml").write_text(text.replace('os_user = "root"', 'os_user = "nobody"'))
    assert charted.say("reference-numbers", "export", str(charted.root / "other.csv"))[0] == 1
    assert not (charted.root / "other.csv").exists()
    assert charted.ask("reference-numbers", "check")[0]["patient_id"] is None


@pytest.fixture
def booked(office: Office) -> Office:
    today = NOW.astimezone(JST).date()
    listed = [BookingRow(patient_id=chart, day=today, time="09:30") for chart in ("1", "2")]
    listed.append(BookingRow(patient_id="3", day=today + timedelta(days=40)))
    sealed = seal(office, bookings_context("b1"), bookings_to_bytes(listed))
    event = BookingsChanged(clinic=CLINIC, edge=CHART_EDGE, list_id="b1", taken_at=NOW, rows=3, sealed=sealed)
    with office.store.transaction() as connection:
        taken = prepare(event, office.keyring, Opener(office.keyring), Sealer())
        take(connection, [TakeBookings(taken, 12)], NOW)
    return office


def test_bookings_are_listed_from_today_on(booked: Office) -> None:
    listed = booked.ask("bookings", "list")
    assert [(row["patient_id"], row["time"], row["asked"]) for row in listed] == [
        ("1", "09:30", False),
        ("2", "09:30", False),
        ("3", "", False),
    ]
    assert booked.ask("bookings", "list", "--day", listed[2]["day"])[0]["patient_id"] == "3"
    assert set(accesses(booked)) == {"bookings.list"}


def test_whoever_was_booked_this_month_without_a_result_is_named(booked: Office) -> None:
    identity = booked.keyring.identity(CLINIC)

    def confirmed(chart: str, kind: str, at: datetime, verdicts: str = "match") -> None:
        name = f"{chart}{kind}"
        with booked.store.transaction() as connection:
            connection.execute(delete(files).where(files.c.file_id == name))
            connection.execute(
                files.insert().values(
                    file_id=name, clinic=CLINIC, terminal="t1", kind=kind, outcome="delivered", revision=1,
                    suffix=".xml", captured_at=at, stored_at=at,
                )
            )  # fmt: skip
            connection.execute(
                results.insert().values(
                    file_id=name, result=0, clinic=CLINIC, revision=1, state="closed", verdicts=verdicts,
                    needs_review=False, sealed_result=b"", patient_hash=patient_hash(identity, chart),
                    processed_at=at, decided_at=at,
                )
            )  # fmt: skip

    confirmed("1", "face", NOW)
    confirmed("2", "YZKsiquc", NOW)
    confirmed("2", "face", NOW - timedelta(days=40))
    confirmed("2", "OQSsiquc", NOW, "service_error")
    assert [row["patient_id"] for row in booked.ask("bookings", "unconfirmed")] == ["2"]
    assert booked.ask("bookings", "unconfirmed", "--month", "2024-01") == []


def test_the_check_names_the_faulty_line_of_the_bookings(office: Office) -> None:
    path = office.root / "onshi.toml"
    lines = path.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("[[staff]]"))
    path.write_text("\n".join([*lines[:at], "[clinics.bookings]", 'path = "bookings.csv"', *lines[at:], ""]))
    (office.root / "bookings.csv").write_text("patient_id,date\n1,someday\n")
    code, text = office.say("check")
    assert code == 1
    assert "clinics.c001.bookings: line 2, date: not_a_date" in text
