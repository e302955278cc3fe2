"""A delivery comes into the inbox exactly once, complete, whatever step the last process died at."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.contents import SealedDelivery
from pipeline.sealing import IdentityKey
from producers.chart.folder import FolderChart
from producers.chart.ledger import Ledger, LedgerBusyError
from producers.chart.port import ChartAwayError, ChartDelivery, ChartRefusedError
from producers.chart.stages import LedgerStages
from tests.support.chart import NAME_CANARY, delivery_of, file_id_of, record_of

STEPS = (
    "staging",
    "original written",
    "record written",
    "staged",
    "original renamed",
    "record renamed",
    "shown",
)


class DiedError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "c001.chart.db")
    yield opened
    opened.close()


def chart(inbox: Path, ledger: Ledger, after: Callable[[str], None] = lambda _step: None) -> FolderChart:
    return FolderChart(inbox, IdentityKey(b"k" * 32), LedgerStages(ledger), after)


def one(number: int = 1, revision: int = 1, original: bytes | None = b"<a/>") -> ChartDelivery:
    return ChartDelivery(file_id_of(number), revision, delivery_of(number, revision, original))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die_at(wanted: str) -> Callable[[str], None]:
    def after(step: str) -> None:
        if step == wanted:
            raise DiedError

    return after


def test_original_and_record_appear_byte_for_byte(inbox: Path, ledger: Ledger) -> None:
    chart(inbox, ledger).apply([one(original=b"\xef\xbb\xbf<a/>")])
    record = (inbox / f"{file_id_of(1)}.json").read_bytes()
    assert (inbox / f"{file_id_of(1)}.xml").read_bytes() == b"\xef\xbb\xbf<a/>"
    assert json.loads(record) == record_of(file_id_of(1))
    assert NAME_CANARY.encode() in record
    assert len(names(inbox)) == 2


def test_the_record_comes_last_and_each_is_whole_when_it_appears(inbox: Path, ledger: Ledger) -> None:
    seen: list[list[str]] = []
    chart(inbox, ledger, lambda _step: seen.append(sorted(p.suffix for p in inbox.glob("[!.]*")))).apply([one()])
    assert seen[-3:] == [[".xml"], [".json", ".xml"], [".json", ".xml"]]
    assert not any(seen[:-3])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("software", ["leaves files", "takes files at once"])
def test_whatever_step_the_process_died_at_the_chart_gets_it_once(
    inbox: Path, ledger: Ledger, step: str, software: str
) -> None:
    taken: list[str] = []
    is_taken = software == "takes files at once"

    def take() -> None:
        for path in inbox.glob("[!.]*") if is_taken else ():
            taken.append(path.suffix)
            path.unlink()

    def after(done: str) -> None:
        take()
        die_at(step)(done)

    with pytest.raises(DiedError):
        chart(inbox, ledger, after).apply([one()])
    again = chart(inbox, ledger, lambda _step: take())
    found = again.find([one().key])
    answers = found or again.apply([one()])
    take()
    expected = FolderChart(inbox, IdentityKey(b"k" * 32), LedgerStages(ledger))
    assert set(answers) == {one().key}
    assert sorted(taken) == ([".json", ".xml"] if is_taken else [])
    assert sorted(path.suffix for path in inbox.iterdir()) == ([] if is_taken else [".json", ".xml"])
    assert expected.find([one().key]) == answers


def test_the_receipt_is_the_same_before_and_after_the_crash(inbox: Path, ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(DiedError):
        chart(inbox, ledger, die_at("original renamed")).apply([one()])
    found = chart(inbox, ledger).find([one().key])
    other = Ledger(tmp_path / "other.db")
    (tmp_path / "other").mkdir()
    assert found == chart(tmp_path / "other", other).apply([one()])
    other.close()


def test_an_empty_folder_in_place_of_the_inbox_is_no_proof(inbox: Path, ledger: Ledger) -> None:
    with pytest.raises(DiedError):
        chart(inbox, ledger, die_at("staged")).apply([one()])
    inbox.rename(inbox.with_name("unmounted"))
    inbox.mkdir()
    assert chart(inbox, ledger).find([one().key]) == {}
    chart(inbox, ledger).apply([one()])
    assert len(names(inbox)) == 2


def test_a_record_somebody_cleaned_away_before_its_name_is_written_again(inbox: Path, ledger: Ledger) -> None:
    with pytest.raises(DiedError):
        chart(inbox, ledger, die_at("staged")).apply([one()])
    record = next(path for path in inbox.iterdir() if NAME_CANARY.encode() in path.read_bytes())
    record.unlink()
    assert chart(inbox, ledger).find([one().key]) == {}
    assert names(inbox) == []


def test_only_leftovers_of_ours_are_removed(inbox: Path, ledger: Ledger) -> None:
    (inbox / ".onshi-0123456789abcdef.tmp").write_bytes(b"another clinic's")
    with pytest.raises(DiedError):
        chart(inbox, ledger, die_at("original written")).apply([one()])
    assert len(names(inbox)) == 2
    assert chart(inbox, ledger).find([one().key]) == {}
    assert names(inbox) == [".onshi-0123456789abcdef.tmp"]


def test_a_later_revision_replaces_the_record_alone(inbox: Path, ledger: Ledger) -> None:
    chart(inbox, ledger).apply([one()])
    (inbox / f"{file_id_of(1)}.xml").unlink()
    chart(inbox, ledger).apply([one(revision=2, original=None)])
    assert [path.name for path in inbox.iterdir()] == [f"{file_id_of(1)}.json"]
    assert json.loads((inbox / f"{file_id_of(1)}.json").read_bytes())["revision"] == 2


def test_a_missing_inbox_is_the_charts_absence(inbox: Path, ledger: Ledger) -> None:
    inbox.rmdir()
    with pytest.raises(ChartAwayError):
        chart(inbox, ledger).apply([one()])
    with pytest.raises(ChartAwayError):
        chart(inbox, ledger).find([])


def test_a_file_in_place_of_the_inbox_is_the_charts_absence(inbox: Path, ledger: Ledger) -> None:
    inbox.rmdir()
    inbox.write_bytes(b"")
    with pytest.raises(ChartAwayError):
        chart(inbox, ledger).apply([one()])


def test_a_full_disk_keeps_no_half_file_and_the_delivery_goes_later(
    inbox: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = iter([None, OSError(28, "No space left on device")])
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if isinstance(fault := next(flushed, None), OSError):
            raise fault
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ChartAwayError, match="enospc"):
        chart(inbox, ledger).apply([one()])
    assert names(inbox) == []
    assert chart(inbox, ledger).find([one().key]) == {}
    assert set(chart(inbox, ledger).apply([one()])) == {one().key}


def test_a_folder_under_a_deliverys_name_refuses_that_one_alone(inbox: Path, ledger: Ledger) -> None:
    (inbox / f"{file_id_of(1)}.json").mkdir()
    answers = chart(inbox, ledger).apply([one(1), one(2)])
    assert isinstance(answers[one(1).key], ChartRefusedError)
    assert isinstance(answers[one(2).key], str)
    assert (inbox / f"{file_id_of(2)}.json").exists()


@pytest.mark.parametrize(("file_id", "suffix"), [("../x", ".xml"), (file_id_of(1), "/../y"), (file_id_of(1), ".json")])
def test_what_is_no_file_name_of_ours_is_refused(inbox: Path, ledger: Ledger, file_id: str, suffix: str) -> None:
    delivery = ChartDelivery(file_id, 1, SealedDelivery(suffix, {}, b""))
    answer = chart(inbox, ledger).apply([delivery])[delivery.key]
    assert isinstance(answer, ChartRefusedError)
    assert answer.reason == "unsafe_name"


def test_a_second_process_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerBusyError):
        Ledger(ledger.path)
