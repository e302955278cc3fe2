"""What was set aside, grouped by cause, and what a person may do with one, several, a group or all."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from pipeline import parking
from pipeline.sealing import Opener
from pipeline.storage.schema import access_log, parked
from tests.unit.cli.conftest import Office

FIRST = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
"""10:00 in Japan."""


@pytest.fixture
def lot(office: Office) -> Office:
    """Three of one cause, two of another, one of another consumer; a minute apart, in this order."""
    causes = [("parsing", "bug_KeyError")] * 3 + [("parsing", "seal_broken")] * 2 + [("consent", "seal_broken")]
    with office.store.transaction() as connection:
        for number, (consumer, reason) in enumerate(causes):
            connection.execute(
                parked.insert().values(
                    parked_id=f"p{number}",
                    consumer=consumer,
                    event_id=f"e{number}",
                    clinic="c001",
                    type="file.captured" if consumer == "parsing" else "record.parsed",
                    reason=reason,
                    state="parked",
                    attempts=1,
                    routing_key="k",
                    content_type="application/json",
                    headers="{}",
                    body=b"{}",
                    parked_at=FIRST + timedelta(minutes=number),
                )
            )
    return office


def states(office: Office) -> dict[str, str]:
    with office.store.reading() as connection:
        return {row.parked_id: row.state for row in connection.execute(select(parked))}


def chosen(office: Office, state: str) -> list[str]:
    return sorted(parked_id for parked_id, now in states(office).items() if now == state)


def test_groups_name_consumer_cause_and_event_with_count_times_and_an_example(lot: Office) -> None:
    rows = lot.ask("parked", "groups")
    assert [(r["consumer"], r["reason"], r["type"], r["count"], r["example"]) for r in rows] == [
        ("parsing", "bug_KeyError", "file.captured", 3, "p0"),
        ("parsing", "seal_broken", "file.captured", 2, "p3"),
        ("consent", "seal_broken", "record.parsed", 1, "p5"),
    ]
    assert (rows[0]["oldest"], rows[0]["newest"]) == ("2026-05-12T01:00:00Z", "2026-05-12T01:02:00Z")
    assert "bug_KeyError" in lot.say("parked", "groups")[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["p1"], ["p1"]),
        (["p1", "e4"], ["p1", "p4"]),
        (["--consumer", "parsing", "--cause", "seal_broken"], ["p3", "p4"]),
        (["--consumer", "parsing"], ["p0", "p1", "p2", "p3", "p4"]),
        (["--all"], ["p0", "p1", "p2", "p3", "p4", "p5"]),
        (["--all", "--event", "record.parsed"], ["p5"]),
        (["--all", "--since", "2026-05-12T01:04Z"], ["p4", "p5"]),
        (["--all", "--since", "2026-05-12T10:01", "--until", "2026-05-12T10:03"], ["p1", "p2"]),
        (["--all", "--rate", "1000"], ["p0", "p1", "p2", "p3", "p4", "p5"]),
    ],
    ids=["one", "several", "group", "consumer", "all", "event", "since", "japanese-time", "rate"],
)
def test_replay_and_discard_touch_exactly_what_was_meant(lot: Office, words: list[str], expected: list[str]) -> None:
    assert lot.ask("parked", "replay", *words) == {"replaying": len(expected)}
    assert chosen(lot, "replaying") == expected


def test_discard_of_a_group_keeps_who_and_why(lot: Office) -> None:
    words = ("--consumer", "parsing", "--cause", "bug_KeyError", "--reason", "asked again")
    assert lot.ask("parked", "discard", *words) == {"discarded": 3}
    assert chosen(lot, "discarded") == ["p0", "p1", "p2"]
    with lot.store.reading() as connection:
        rows = connection.execute(select(parked).where(parked.c.state == "discarded")).all()
        logged = connection.execute(select(access_log)).all()
    opener = Opener(lot.keyring)
    reasons = {opener.open("c001", parking.reason_context(row.parked_id), row.sealed_reason) for row in rows}
    assert ({row.staff for row in rows}, reasons) == ({"s1"}, {b"asked again"})
    assert [(row.action, row.subject, row.staff) for row in logged] == [
        ("parked.discard", "parsing bug_KeyError: 3", "s1")
    ]


@pytest.mark.parametrize(
    "words",
    [["--cause", "seal_broken"], [], ["p1", "p9"], ["--all", "--since", "yesterday"]],
    ids=["cause-alone", "nothing", "unknown-id", "no-time"],
)
def test_what_is_not_clear_does_nothing(lot: Office, words: list[str]) -> None:
    assert lot.say("parked", "replay", *words)[0] == 2
    assert set(states(lot).values()) == {"parked"}


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_that_never_ends_is_wrong_use(lot: Office, rate: str) -> None:
    assert lot.say("parked", "replay", "--all", "--rate", rate)[0] == 2
    assert set(states(lot).values()) == {"parked"}


def test_a_list_can_be_narrowed_like_a_group(lot: Office) -> None:
    rows = lot.ask("parked", "list", "--consumer", "parsing", "--cause", "seal_broken")
    assert [row["parked_id"] for row in rows] == ["p3", "p4"]


def subjects(office: Office) -> list[str]:
    with office.store.reading() as connection:
        return [row.subject for row in connection.execute(select(access_log).order_by(access_log.c.number))]


def test_the_access_log_names_each_message_that_was_named(lot: Office) -> None:
    lot.ask("parked", "replay", "p1", "p4")
    assert subjects(lot) == ["p1", "p4"]


def test_who_replays_is_told_whose_messages_come_later(lot: Office) -> None:
    said = lot.say("parked", "replay", "p1")[1]
    for part in ("within seconds", "edge that is not believed", "fuse has blown: it takes them after its restart"):
        assert part in said
    assert lot.say("parked", "replay", "--consumer", "deletion")[1].strip() == "replaying 0"


def test_the_access_log_names_each_cause_that_was_replayed_with_its_count(lot: Office) -> None:
    lot.ask("parked", "replay", "--all")
    assert subjects(lot) == ["consent seal_broken: 1", "parsing bug_KeyError: 3", "parsing seal_broken: 2"]


def test_without_a_clinic_nothing_is_discarded_and_it_says_why(lot: Office) -> None:
    config = lot.root / "onshi.toml"
    head, _, rest = config.read_text().partition("[[clinics]]")
    staff = "[[staff]]" + rest.partition("[[staff]]")[2] if "[[staff]]" not in head else ""
    config.write_text(f'{head}{staff}\n[group]\nadmin = "admin"\n')
    code, said = lot.say("parked", "discard", "p1", "--reason", "seen")
    assert (code, "no clinic" in said) == (2, True), said
    assert set(states(lot).values()) == {"parked"}
