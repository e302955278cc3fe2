"""No name of a patient is anywhere but in the chart's folders: not in logs, broker, store, spool, keys or metrics."""

import csv
import unicodedata
from pathlib import Path

import pytest

from tests.support.rabbit import RabbitNode
from tests.support.site import Site, site

ENCODINGS = ("utf-8", "cp932", "utf-16-le", "utf-16-be")


def canaries(made: Site) -> dict[bytes, str]:
    """Spell names and kana of every patient the way files, databases and logs could hold them."""
    words: set[str] = set()
    with made.patients.open(encoding="utf-8-sig", newline="") as source:
        for row in csv.DictReader(source):
            words |= {row["name"], row["kana"], row["address"]}
    spellings = {form for word in words if len(word) > 2 for form in (word, *_halves(word))}
    found: dict[bytes, str] = {}
    for spelling in spellings:
        for encoding in ENCODINGS:
            try:
                found[spelling.encode(encoding)] = encoding
            except UnicodeEncodeError:
                continue
    return found


def _halves(word: str) -> tuple[str, ...]:
    escaped = word.encode("unicode_escape").decode()
    return (word.replace("　", " "), unicodedata.normalize("NFKC", word), escaped)


def leaks(folders: list[Path], wanted: dict[bytes, str]) -> list[str]:
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                # A ballast is much nothing: searched for each word it would take minutes.
                content = path.read_bytes().strip(b"\0")
                found += [f"{path.name}: {encoding}" for word, encoding in wanted.items() if word in content]
    return found


def check(made: Site, others: list[Path]) -> None:
    wanted = canaries(made)
    assert len(wanted) > 50
    assert leaks([made.patients.parent], wanted), "the search itself finds what is there"
    assert leaks([made.root / "state", *others], wanted) == []
    logs = b"".join(path.read_bytes() for path in made.root.glob("run-*.log"))
    assert b'"handled"' in logs
    assert [encoding for word, encoding in wanted.items() if word in logs] == []


def run(made: Site) -> None:
    """Let good files, a rejected one and a human decision pass."""
    made.simulate(30)
    (made.face / "OQSsiquc01res_face_20260512091533.xml").write_text("<XmlMsg><MessageHeader/>見本　花子</XmlMsg>")
    process = made.start()
    made.wait_until_final(31)
    rows = made.ask("results", "list")
    row = next(row for row in rows if row["needs_review"] and (row["patient_id"] or row["candidates"]))
    words = ("--reason", row["name"]) + (() if row["patient_id"] else ("--patient", row["candidates"][0]))
    made.say("results", "confirm", row["file_id"], *words)
    made.say("hold", "add", row["file_id"], "--reason", row["name"])
    assert made.stop(process) == 0


def test_no_name_is_left_in_state_broker_or_log_of_a_single_clinic(tmp_path: Path) -> None:
    with site(tmp_path / "site") as made:
        run(made)
        check(made, [])


@pytest.mark.rabbitmq
def test_no_name_is_left_in_the_files_of_rabbitmq(tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str) -> None:
    with site(tmp_path / "site", broker=rabbit_url) as made:
        run(made)
        check(made, [rabbit_node.directory])
