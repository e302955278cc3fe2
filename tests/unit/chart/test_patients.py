"""A patient list goes up whole, once, and only when it has settled and is well formed."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.contents import patients_context
from pipeline.events import EdgeReported, PatientsChanged
from pipeline.keyring import Keyring
from pipeline.patient_row import COLUMNS, PatientRow, rows_from_bytes
from pipeline.sealing import KeyClass, Opener
from pipeline.settings import Settings
from producers.chart.faults import Faults
from producers.chart.ledger import Ledger
from producers.chart.patients import LastList, Patients
from tests.support.chart import CLINIC, NOW, Heard, open_embedded, running
from tests.support.eventually import eventually


def list_of(*patient_ids: str, name: str = "山田花子canary") -> bytes:
    rows = [",".join([number, name, *[""] * (len(COLUMNS) - 2)]) for number in patient_ids]
    return "\n".join([",".join(COLUMNS), *rows, ""]).encode()


def put(root: Path, content: bytes) -> None:
    fresh = root / "patients.new"
    fresh.write_bytes(content)
    fresh.rename(root / "patients.csv")


def patients_in(parts: list[PatientsChanged], keyring: Keyring) -> list[PatientRow]:
    opener = Opener(keyring)
    return [
        row
        for part in sorted(parts, key=lambda one: one.part)
        for row in rows_from_bytes(opener.open(CLINIC, patients_context(part.list_id, part.part), part.sealed))
    ]


def ids_of(lists: Heard) -> list[str]:
    return list(dict.fromkeys(part.list_id for part in lists.of(PatientsChanged)))


def test_a_list_arrives_whole_and_sealed(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, lists: Heard, tmp_path: Path
) -> None:
    put(tmp_path, list_of("1", "2"))
    with running(settings, broker):
        (part,) = eventually(lambda: lists.of(PatientsChanged))
    assert (part.part, part.parts, part.rows) == (1, 1, 2)
    assert [row.patient_id for row in patients_in([part], keyring)] == ["1", "2"]
    assert not any(b"canary" in path.read_bytes() for path in settings.edge.state.iterdir())


def test_a_long_list_comes_in_numbered_parts(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, lists: Heard, tmp_path: Path
) -> None:
    numbers = [str(number) for number in range(20_000)]
    put(tmp_path, list_of(*numbers))
    with running(settings, broker):
        parts = eventually(lambda: (p := lists.of(PatientsChanged)) and len(p) == p[0].parts and p, 30, "every part")
    assert len({part.list_id for part in parts}) == 1
    assert max(len(part.model_dump_json()) for part in parts) < 1 << 20
    assert [row.patient_id for row in patients_in(parts, keyring)] == numbers


def test_an_unchanged_list_is_not_sent_again_after_a_restart(
    settings: Settings, broker: EmbeddedBroker, lists: Heard, reports: Heard, tmp_path: Path
) -> None:
    put(tmp_path, list_of("1"))
    with running(settings, broker):
        eventually(lambda: lists.of(PatientsChanged))
    put(tmp_path, list_of("1"))
    before = len(reports.of(EdgeReported))
    with running(settings, broker):
        eventually(lambda: len(reports.of(EdgeReported)) >= before + 3)
    assert len(lists.of(PatientsChanged)) == 1


def test_an_unchanged_list_is_said_again_in_time_as_the_same_list(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, lists: Heard, tmp_path: Path
) -> None:
    often = settings.model_copy(update={"centre": settings.centre.model_copy(update={"republish_seconds": 0.1})})
    put(tmp_path, list_of("1", "2"))
    with running(often, broker):
        heard = eventually(lambda: (parts := lists.of(PatientsChanged)) and len(parts) >= 3 and parts)
    assert len({(part.id, part.list_id, part.taken_at) for part in heard}) == 1
    assert [row.patient_id for row in patients_in(heard[-1:], keyring)] == ["1", "2"]


def test_a_list_that_came_back_is_a_new_one(
    settings: Settings, broker: EmbeddedBroker, lists: Heard, tmp_path: Path
) -> None:
    with running(settings, broker):
        for count, numbers in enumerate((["1"], ["2"], ["1"]), start=1):
            put(tmp_path, list_of(*numbers))
            eventually(lambda count=count: len(ids_of(lists)) == count)  # type: ignore[misc]


def test_a_list_the_broker_never_confirmed_is_sent_after_a_restart(
    settings: Settings, keyring: Keyring, tmp_path: Path
) -> None:
    put(tmp_path, list_of("1"))
    log = settings.edge.state / f"{CLINIC}.chart.db-wal"
    with open_embedded(tmp_path / "one.db") as broker:
        broker.close()
        with running(settings, broker):
            eventually(lambda: log.exists() and b"patients.changed" in log.read_bytes())
    with open_embedded(tmp_path / "two.db") as broker:
        heard = Heard(broker, "reconciliation")
        with running(settings, broker):
            parts = eventually(lambda: heard.of(PatientsChanged))
    assert [row.patient_id for row in patients_in(parts, keyring)] == ["1"]


def test_an_invalid_list_sends_nothing_is_reported_and_the_next_good_one_goes(
    settings: Settings, broker: EmbeddedBroker, lists: Heard, reports: Heard, tmp_path: Path
) -> None:
    put(tmp_path, list_of("1", ""))
    with running(settings, broker):
        eventually(lambda: any("patients_invalid" in report.faults for report in reports.of(EdgeReported)))
        assert not lists.of(PatientsChanged)
        put(tmp_path, list_of("1"))
        eventually(lambda: lists.of(PatientsChanged))
        eventually(lambda: reports.of(EdgeReported)[-1].faults == ())


def test_a_list_still_being_written_is_waited_for(
    settings: Settings, broker: EmbeddedBroker, lists: Heard, keyring: Keyring, tmp_path: Path
) -> None:
    whole = list_of(*(str(number) for number in range(200)))
    with (tmp_path / "patients.csv").open("wb") as out, running(settings, broker):
        for at in range(0, len(whole), 97):
            out.write(whole[at : at + 97])
            out.flush()
            os.fsync(out.fileno())
        parts = eventually(lambda: (p := lists.of(PatientsChanged)) and p[-1].rows == 200 and p)
    assert len(patients_in(parts[-1:], keyring)) == 200


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def test_two_identical_readings_count_only_when_the_settling_time_lies_between(
    settings: Settings, keyring: Keyring, tmp_path: Path
) -> None:
    clock, ledger = Hand(), Ledger(tmp_path / "ledger.db")
    last = LastList(ledger)
    patients = Patients(
        clinic=CLINIC,
        path=tmp_path / "patients.csv",
        scan_seconds=2.0,
        settle_seconds=5.0,
        identity=keyring.identity(CLINIC),
        standing_key=lambda: keyring.epoch_key(CLINIC, KeyClass.STANDING, NOW),
        last=last,
        clock=clock,
        faults=Faults(),
    )
    put(tmp_path, list_of("1"))
    for advance in (0.0, 2.0, 2.0):
        clock.seconds += advance
        patients.step()
        assert last.mac() is None
    put(tmp_path, list_of("1", "2"))
    for advance in (1.0, 4.9):
        clock.seconds += advance
        patients.step()
        assert last.mac() is None
    clock.seconds += 0.1
    patients.step()
    assert last.mac() == keyring.identity(CLINIC).mac("content", list_of("1", "2"))
    ledger.close()
