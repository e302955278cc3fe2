"""Vendors: each hears exactly of what it is granted, whatever is killed, and can read it again."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.support.site import Site, site
from tests.support.vendors import Told, make_key, opened, table, told

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(600)]
EACH = 3
FILES = 2 * EACH
ACME = {"records": ["face"], "public_key_file": "vendors/acme.jwk"}
BETA = {"clinics": ["c002"], "events": ["record.reconciled", "file.settled"]}


def settled(url: str, vendor: str) -> int:
    return len({each.id for each in told(url, vendor) if each.body["type"] == "onshi.file.settled"})


def once(events: list[Told]) -> dict[str, Told]:
    """Leave out what came twice, as a subscriber does."""
    return {each.id: each for each in events}


def test_each_vendor_has_exactly_its_own_results_after_publication_was_killed(tmp_path: Path, rabbit_url: str) -> None:
    with site(tmp_path / "site", broker=rabbit_url, two_clinics=True) as made:
        key = make_key(made.root / "vendors" / "acme.jwk")
        own = made.config.read_text()
        made.config.write_text(own + table("acme", **ACME) + table("beta", **BETA) + table("gone", disabled=True))
        made.start(*(role.value for role in Role if role is not Role.PUBLICATION))
        publication = made.start("publication")
        made.simulate(EACH)
        made.simulate(EACH, seed=2, clinic="c002")
        eventually(lambda: len(told(rabbit_url, "acme")) > 3, 120, "acme's first events")
        made.kill(publication)
        made.start("publication")
        made.wait_until_final(FILES)
        eventually(lambda: settled(rabbit_url, "acme") == FILES, 120, "acme's events")
        eventually(lambda: settled(rabbit_url, "beta") == EACH, 120, "beta's events")
        acme, beta = once(told(rabbit_url, "acme")), once(told(rabbit_url, "beta"))

        results = [each.body for each in acme.values() if each.body["type"] == "onshi.record.reconciled"]
        assert len({body["handle"] for body in results}) == FILES
        assert all(opened(body["record"], key)["handle"] == body["handle"] for body in results)
        assert Counter(each.body["clinic"] for each in beta.values()) == {"c002": 2 * EACH}
        assert {each.body["type"] for each in beta.values()} == {"onshi.record.reconciled", "onshi.file.settled"}
        assert not {each.body["handle"] for each in acme.values()} & {each.body["handle"] for each in beta.values()}
        assert told(rabbit_url, "gone") == []
        check_tail(made, list(acme.values()))

        made.config.write_text(own + table("acme", **ACME) + table("beta", disabled=True, **BETA))
        made.simulate(1, seed=3, clinic="c002")
        eventually(lambda: settled(rabbit_url, "acme") == FILES + 1, 120, "acme's event after beta was revoked")
        assert once(told(rabbit_url, "beta")).keys() == beta.keys()


def check_tail(made: Site, events: list[Told]) -> None:
    """See the same events with the command, from an offset and from a time on."""
    answer = made.say("vendors", "tail", "acme", "--from", "offset:3", "--count", "2")
    assert [line.split()[0] for line in answer.stdout.splitlines()] == ["3", "4"], answer.stderr
    early = events[0].body["at"]
    (line,) = made.say(
        "vendors", "tail", "acme", "--from", f"time:{early}", "--count", "1", "--json"
    ).stdout.splitlines()
    assert events[0].id in line
    assert made.say("vendors", "tail", "nobody").returncode == 2
    assert made.say("vendors", "tail", "acme", "--from", "yesterday").returncode == 2
