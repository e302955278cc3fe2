"""What becomes of a ledger, a broker's file or a key ring that another release left behind?"""

import json
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.cli.supervise import Part, run_processes, run_threads
from pipeline.errors import UnfitStateError
from pipeline.file_format import FileFormat, UnfitFileError
from pipeline.keyring import NewerRingError, issue, read_ring
from producers.chart.ledger import Ledger as ChartLedger
from producers.terminal.ledger import Ledger as TerminalLedger
from producers.terminal.ledger import custody_counts


def open_terminal(path: Path) -> None:
    TerminalLedger(path).close()


def open_chart(path: Path) -> None:
    ChartLedger(path).close()


def open_broker(path: Path) -> None:
    EmbeddedBroker(path).close()


OPENERS = pytest.mark.parametrize("opened", [open_terminal, open_chart, open_broker])


def form_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        (number,) = db.execute("PRAGMA user_version").fetchone()
        return int(number)


@OPENERS
def test_a_file_says_its_form_and_one_of_before_forms_were_counted_is_taken_as_the_first(opened, tmp_path) -> None:
    path = tmp_path / "state.db"
    opened(path)
    assert form_of(path) == 1
    change(path, "PRAGMA user_version = 0")
    opened(path)
    assert form_of(path) == 1


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


@OPENERS
def test_a_newer_file_is_refused_in_both_languages_as_often_as_it_is_opened(opened, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    opened(path)
    change(path, "PRAGMA journal_mode = DELETE")
    change(path, "PRAGMA user_version = 2")
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(UnfitFileError, match=r"newer release.*onshi --version.*新しい版"):
            opened(path)
    assert path.read_bytes() == before


@OPENERS
@pytest.mark.parametrize("folder", ["a#1", "b?x", "c%41"])
def test_a_newer_file_is_found_in_a_folder_of_any_name_and_none_is_made_beside_it(opened, folder, tmp_path) -> None:
    path = tmp_path / folder / "state.db"
    path.parent.mkdir()
    opened(path)
    change(path, "PRAGMA journal_mode = DELETE")
    change(path, "PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(UnfitFileError):
        opened(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path.parent]


@OPENERS
def test_a_trials_file_with_other_columns_is_refused(opened, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    opened(path)
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = next(name for name in names if name not in {"sqlite_sequence", "sqlite_stat1"})
    change(path, f"DROP TABLE {table}")
    change(path, f"CREATE TABLE {table} (other INTEGER)")
    change(path, "PRAGMA user_version = 0")
    with pytest.raises(UnfitFileError, match="trial"):
        opened(path)


def test_an_older_form_is_brought_up_with_what_is_in_it(tmp_path: Path) -> None:
    first = FileFormat("CREATE TABLE IF NOT EXISTS t (a INTEGER);")
    third = FileFormat(
        "CREATE TABLE IF NOT EXISTS t (a INTEGER, b INTEGER, c INTEGER);",
        ("ALTER TABLE t ADD COLUMN b INTEGER; UPDATE t SET b = a + 1;", "ALTER TABLE t ADD COLUMN c INTEGER;"),
    )
    with closing(sqlite3.connect(tmp_path / "f.db", isolation_level=None)) as db:
        first.prepare(db, "f.db")
        db.execute("INSERT INTO t VALUES (1)")
        broken = FileFormat(third.schema, (third.steps[0], "ALTER TABLE nowhere ADD COLUMN c INTEGER;"))
        with pytest.raises(sqlite3.Error):
            broken.prepare(db, "f.db")
        assert db.execute("SELECT * FROM t").fetchall() == [(1,)]
        third.prepare(db, "f.db")
        third.prepare(db, "f.db")
        assert db.execute("SELECT * FROM t").fetchall() == [(1, 2, None)]
    with pytest.raises(UnfitFileError):
        first.require(tmp_path / "f.db")


def test_a_newer_ledger_is_not_counted_as_if_it_were_empty(tmp_path: Path) -> None:
    open_terminal(tmp_path / "c001.t1.db")
    change(tmp_path / "c001.t1.db", "PRAGMA user_version = 2")
    with pytest.raises(UnfitFileError):
        custody_counts(tmp_path / "c001.t1.db")


def test_a_newer_ring_of_keys_is_read_by_nobody_and_written_over_by_nobody(tmp_path: Path) -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    issue(tmp_path, ["c001"], [], now)
    path = tmp_path / "keyring.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "form": 2, "more": "unknown here"}))
    before = path.read_text()
    for use in (lambda: read_ring(tmp_path), lambda: issue(tmp_path, ["c001", "c002"], [], now)):
        with pytest.raises(NewerRingError, match="新しい版"):
            use()
    assert path.read_text() == before


def test_a_part_that_meets_another_releases_state_ends_the_process_and_not_only_itself() -> None:
    def unfit(stop: threading.Event) -> None:
        raise UnfitStateError("of a newer release")

    others = Part("other", lambda stop: None if stop.wait(30) else pytest.fail("was not ended"))
    with pytest.raises(UnfitStateError, match="newer"):
        run_threads([Part("one", unfit), others], threading.Event())


def test_a_role_that_died_of_another_releases_state_ends_the_others_and_is_not_started_again(tmp_path: Path) -> None:
    looks: list[int] = []

    def require_fit() -> None:
        looks.append(len(looks))
        if len(looks) > 1:
            raise UnfitStateError("of a newer release")

    # Without a configuration a role ends with the code of wrong use, as one does that meets such a state.
    with pytest.raises(UnfitStateError, match="newer"):
        run_processes(tmp_path / "none.toml", ["parsing", "consent"], threading.Event(), require_fit)
    assert looks == [0, 1]
