"""No patient is anywhere but in the chart's folders: not in logs, broker, store, dumps, spool, keys or metrics."""

import base64
import csv
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from pipeline.cli.key_care import issue_keys
from pipeline.settings import load
from tests.support.eventually import eventually
from tests.support.postgres import PostgresNode
from tests.support.rabbit import RabbitNode
from tests.support.site import Site, site
from tests.support.vendors import make_key, table, told

ENCODINGS = ("utf-8", "cp932", "utf-16-le", "utf-16-be")
SAMPLE = 6
"""Words that are looked for in what is large, or written in other letters."""


def words(made: Site) -> list[str]:
    """Every patient's name, kana and address."""
    with made.patients.open(encoding="utf-8-sig", newline="") as source:
        rows = list(csv.DictReader(source))
    return sorted({word for row in rows for word in (row["name"], row["kana"], row["address"]) if len(word) > 2})


def canaries(made: Site) -> dict[bytes, str]:
    """Spell names and kana of every patient the way files, databases and logs could hold them."""
    spellings = {form for word in words(made) for form in (word, *_halves(word))}
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


def dumped(made: Site, said: str) -> dict[bytes, str]:
    """Spell some of them as a database's dump and a message's JSON would: in hex, in base64, or as they are."""
    found: dict[bytes, str] = {}
    some = [said, *words(made)[:: max(1, len(words(made)) // SAMPLE)]]
    for raw in (form for word in some for form in (word.encode(), word.encode("unicode_escape"))):
        found |= {raw: "utf-8", raw.hex().encode(): "hex", raw.hex().upper().encode(): "HEX"}
        for shift in range(3):
            # Without what is before and after it: the letters that depend on its own bytes only.
            letters = base64.b64encode(bytes(shift) + raw)
            found[letters[(0, 2, 3)[shift] : len(letters) // 4 * 4 - 4]] = "base64"
    return found


def leaks(folders: Sequence[Path], wanted: Mapping[bytes, str]) -> list[str]:
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


def check_dump(wanted: Mapping[bytes, str], dump: bytes, *, of: str) -> None:
    """Look for them in what somebody who takes a backup away would have."""
    assert len(set(wanted.values())) == 4
    planted = base64.b64encode(b"?" + next(iter(wanted)) + b"?")
    assert any(word in planted for word in wanted), "the search itself finds what is there"
    assert of.encode() in dump
    assert [encoding for word, encoding in wanted.items() if word in dump] == []


def dump_of(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        return "\n".join(db.iterdump()).encode("utf-8", "surrogateescape")


def ports(made: Site) -> list[int]:
    logs = "\n".join(path.read_text() for path in made.root.glob("run-*.log"))
    lines = [json.loads(line) for line in re.findall(r'^\{.*"listening".*\}$', logs, flags=re.MULTILINE)]
    return [int(line["port"]) for line in lines]


def ask_processes(made: Site, pid: int) -> bytes:
    """Read what every process tells whoever asks, and see that none would leave its memory behind."""
    answers = []
    for port in ports(made):
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            answers.append(answer.read())
    for each in (pid, *children(pid)):
        limits = Path(f"/proc/{each}/limits").read_text()
        assert re.search(r"^Max core file size\s+0\s+0\s", limits, flags=re.MULTILINE), limits
    return b"\n".join(answers)


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def run(made: Site) -> str:
    """Let good files, a rejected one and a human decision pass; returns the name that the person's reasons hold."""
    made.simulate(30)
    (made.face / "OQSsiquc01res_face_20260512091533.xml").write_text("<XmlMsg><MessageHeader/>見本　花子</XmlMsg>")
    process = made.start()
    made.wait_until_final(31)
    rows = made.ask("results", "list")
    row = next(row for row in rows if row["needs_review"] and (row["patient_id"] or row["candidates"]))
    words = ("--reason", row["name"]) + (() if row["patient_id"] else ("--patient", row["candidates"][0]))
    made.say("results", "confirm", row["file_id"], *words)
    made.say("hold", "add", row["file_id"], "--reason", row["name"])
    metrics = ask_processes(made, process.pid)
    assert b"onshi_messages_total{" in metrics
    assert [encoding for word, encoding in canaries(made).items() if word in metrics] == []
    assert made.stop(process) == 0
    return str(row["name"])


def test_no_name_is_left_in_state_broker_log_metric_or_dump_of_a_single_clinic(tmp_path: Path) -> None:
    with site(tmp_path / "site") as made:
        said = run(made)
        check(made, [])
        for path, table_ in (("onshi.db", "files"), ("broker.db", "message"), ("edge/c001.t1.db", "copies")):
            check_dump(dumped(made, said), dump_of(made.root / "state" / path), of=table_)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_no_name_is_left_in_the_files_and_dumps_of_a_groups_broker_and_store(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str, postgres_node: PostgresNode, postgresql_url: str
) -> None:
    with site(tmp_path / "site", broker=rabbit_url, store=postgresql_url) as made:
        make_key(made.root / "acme.jwk")
        with made.config.open("a") as more:
            more.write(table("acme", records=["face"], public_key_file="acme.jwk"))
        issue_keys(load(made.config, {}))
        wanted = dumped(made, run(made))
        check(made, [rabbit_node.directory])
        check_dump(wanted, postgres_node.dump(postgresql_url), of="COPY public.files")
        assert leaks([postgres_node.directory], wanted) == []
        events = eventually(lambda: told(rabbit_url, "acme"), 30, "the vendor was told")
        assert {event.body.get("record_state") for event in events} >= {"sealed"}, "a record is in its stream"
        check_dump(wanted, json.dumps([event.body for event in events]).encode(), of="record_state")
