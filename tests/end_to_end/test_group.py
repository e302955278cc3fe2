"""A group of three clinics and two vendors on one broker: built, used, broken, and whole at the end."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pika.exceptions import AMQPError
from sqlalchemy import select

from consumers.publication.pseudonyms import Pseudonyms
from pipeline.keyring import Keyring
from pipeline.storage.schema import copies, files, results
from tests.support.doors import channel_as, come_again, enter_with_a_password, enter_with_an_older_tls, strange
from tests.support.eventually import eventually
from tests.support.group import Group
from tests.support.intruder import ATTEMPTS, CENTRE, EDGE, VENDOR, Intruder
from tests.support.vendors import Told, told

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.postgresql,
    pytest.mark.timeout(280),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CODES = {"c001": "9919000011", "c002": "9919000029", "c003": "9919000037"}
GRANTED = {"acme": ["c001"], "beta": ["c002", "c003"]}
EACH = 4


@pytest.fixture
def group(tmp_path: Path, postgresql_url: str) -> Iterator[Group]:
    made = Group(tmp_path, postgresql_url)
    try:
        made.node.start()
        yield made
    finally:
        made.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def build(group: Group) -> None:
    group.say("provision", "apply")
    for clinic in ("c002", "c003"):
        group.say("clinics", "add", clinic, "--code", CODES[clinic])
    for clinic in CODES:
        for edge in ("t1", "chart"):
            group.enrol(clinic, edge)
    group.enrol("c001", "t2")
    for vendor, clinics in GRANTED.items():
        grants = [word for clinic in clinics for word in ("--clinic", clinic)]
        group.say("vendors", "add", vendor, *grants, "--out", str(group.root / f"vendor.{vendor}"))


def test_three_clinics_and_two_vendors_end_whole_whatever_is_killed(group: Group) -> None:
    build(group)
    group.start()
    for clinic in CODES:
        group.simulate(clinic, EACH, seed=1)
    eventually(lambda: gone(group) >= EACH, 120, "first files final")
    for clinic in CODES:
        group.simulate(clinic, EACH, seed=2)
    group.node.kill()
    group.kill("centre", "c002.t1", "c003.chart")
    group.node.start()
    group.start()
    try:
        eventually(lambda: gone(group) == 2 * EACH * len(CODES), 120, "every file final")
    except AssertionError as late:
        raise AssertionError(f"{late}\n{group.logs()}") from None

    try_everything(group)
    for vendor in GRANTED:
        check_vendor(group, vendor)
    for words in (("verify",), ("certificates", "verify"), ("audit", "verify"), ("provision", "audit")):
        group.say(*words)
    assert group.stop() == [0] * len(group.processes)


def try_everything(group: Group) -> None:
    """Run the hostile suite against this very broker, while it works."""
    with closing(Intruder(group)) as intruder:
        assert [name for name, attempt in ATTEMPTS.items() if not intruder.is_refused(*attempt)] == []
    with pytest.raises((AMQPError, OSError)):
        enter_with_an_older_tls(group, EDGE)
    for password in ("", "guest"):
        with pytest.raises(AMQPError):
            enter_with_a_password(group, EDGE, "edge.c002.t1", password)
    for user in (EDGE, VENDOR, CENTRE):
        with pytest.raises(AMQPError):
            channel_as(group, group.certificates(user), "/")
    for how in ("no certificate", "another authority", "expired", "a server's", "of nobody configured", "revoked"):
        place = group.root / "strange" / how
        with pytest.raises((AMQPError, OSError)):
            channel_as(group, strange(group, "edge.c001.t2", how, place))
        come_again(group, "edge.c001.t2", place / "fresh")


def gone(group: Group) -> int:
    with group.store.reading() as connection:
        return len(connection.execute(select(copies.c.copy_id).where(copies.c.gone_at.is_not(None))).all())


def check_vendor(group: Group, vendor: str) -> None:
    """Hold what a vendor was told against the store: its clinics' files, every one of them, and nothing else."""
    names = Pseudonyms(Keyring(group.settings.keys.dir).vendor(vendor))
    with group.store.reading() as connection:
        decided = connection.execute(select(results.c.clinic, results.c.file_id).distinct()).all()
        stored = connection.execute(select(files.c.clinic, files.c.file_id)).all()
    mine = GRANTED[vendor]
    wanted = {
        "onshi.record.reconciled": {names.handle(*row) for row in decided if row.clinic in mine},
        "onshi.file.settled": {names.handle(*row) for row in stored if row.clinic in mine},
    }
    assert all(len(handles) == 2 * EACH * len(mine) for handles in wanted.values())

    def heard() -> list[Told]:
        return told(group.url, vendor, certificates=group.certificates(f"vendor.{vendor}"))

    def handles(kind: str) -> set[str]:
        return {each.body["handle"] for each in heard() if each.body["type"] == kind}

    for kind, expected in wanted.items():
        eventually(lambda k=kind, e=expected: handles(k) >= e, 60, f"{vendor}: {kind}")  # type: ignore[misc]
        assert handles(kind) == expected
    assert {each.body["clinic"] for each in heard()} == set(mine)
