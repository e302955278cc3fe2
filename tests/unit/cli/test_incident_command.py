"""Who is affected? Every record of a time, a clinic or a key, and not one beside them; for managers alone."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from pipeline.contents import file_context, result_context
from pipeline.results import ResultDetail
from pipeline.sealing import KeyClass, Sealer, recipient_of
from pipeline.storage.schema import access_log, copies, files, results
from tests.unit.cli.conftest import Office

DAY = datetime.now(UTC).replace(hour=1, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)


def add(office: Office, name: str, at: datetime, gone_after: timedelta | None, clinic: str = "c001") -> str:
    """A file of one person that lay on a terminal for a while; returns the key its original is sealed to."""
    place = {"clinic": clinic, "terminal": "t1", "kind": "face", "captured_at": at, "stored_at": at}
    keys = office.keyring
    sealer, public = Sealer(), keys.epoch_key("c001", KeyClass.ORIGINAL, DAY)
    original = sealer.seal(public, clinic, file_context(name), b"<xml/>")
    detail = ResultDetail(patient_id=f"p-{name}", name="見本　花子").model_dump_json().encode()
    shown = sealer.seal(keys.epoch_key("c001", KeyClass.CONFIRMATION, DAY), clinic, result_context(name, 0), detail)
    about = {"file_id": name, "original_key": recipient_of(original), "sealed_original": original}
    result = {"state": "closed", "verdicts": "", "needs_review": False, "sealed_result": shown, "decided_at": at}
    copy = {"copy_id": name, "custody": "erased", "sealed_name": b"x", "size": 1, "seen_at": at}
    with office.store.transaction() as connection:
        connection.execute(insert(files).values(outcome="delivered", suffix=".xml", **about, **place))
        connection.execute(insert(results).values(file_id=name, clinic=clinic, result=0, revision=1, **result))
        gone = None if gone_after is None else at + gone_after
        connection.execute(insert(copies).values(file_id=name, gone_at=gone, **copy, **place))
    return recipient_of(original)


def found(office: Office, *words: str) -> list[str]:
    return [row["file_id"] for row in office.ask("incident", *words)]


def text(at: datetime) -> str:
    return at.isoformat()


def test_a_time_finds_what_lay_on_a_terminal_during_it_and_what_was_stored_in_it(office: Office) -> None:
    add(office, "before", DAY, HOUR)
    add(office, "through", DAY, 10 * HOUR)
    add(office, "until", DAY, 3 * HOUR)
    add(office, "within", DAY + 3 * HOUR, HOUR / 2)
    add(office, "left", DAY + HOUR, None)
    add(office, "after", DAY + 5 * HOUR, HOUR)
    span = ("--from", text(DAY + 2 * HOUR), "--to", text(DAY + 4 * HOUR))
    assert found(office, *span) == ["through", "until", "left", "within"]
    assert found(office, *span, "--clinic", "c002") == []
    rows = {row["file_id"]: row for row in office.ask("incident", *span)}
    assert rows["left"]["gone_at"] is None
    assert rows["through"]["patient_id"] == "p-through"
    assert "見本" in office.say("incident", *span)[1]


@pytest.mark.parametrize("key_class", [KeyClass.ORIGINAL, KeyClass.CONFIRMATION, KeyClass.STANDING, KeyClass.CLINICAL])
def test_a_key_finds_what_is_sealed_to_it_and_the_standing_one_the_whole_clinic(
    office: Office, key_class: KeyClass
) -> None:
    add(office, "f1", DAY, HOUR)
    add(office, "elsewhere", DAY, HOUR, clinic="c009")
    month = f"{DAY:%Y-%m}"
    (key,) = (k for k in office.keyring.ring.epochs if k.key_class is key_class and k.epoch in (month, "standing"))
    assert found(office, "--key", key.identifier) == ([] if key_class is KeyClass.CLINICAL else ["f1"])


def test_only_a_manager_is_told_and_every_use_is_in_the_access_log(office: Office) -> None:
    add(office, "f1", DAY, HOUR)
    assert found(office, "--clinic", "c001") == ["f1"]
    path = office.root / "onshi.toml"
    path.write_text(path.read_text().replace('role = "manager"', 'role = "reception"'))
    code, said = office.say("incident", "--clinic", "c001")
    assert code == 2
    assert "見本" not in said
    with office.store.reading() as connection:
        rows = connection.execute(select(access_log).order_by(access_log.c.number)).all()
    assert [(row.action, row.subject, row.result) for row in rows] == [
        ("incident", "c001 1", "done"),
        ("incident", "c001", "not_allowed"),
    ]


@pytest.mark.parametrize(
    "words",
    [(), ("--from", "2026-05-12"), ("--from", "2026-05-13", "--to", "2026-05-12"), ("--key", "00"), ("--from", "x")],
)
def test_what_cannot_be_meant_is_wrong_use(office: Office, words: tuple[str, ...]) -> None:
    assert office.say("incident", *words)[0] == 2
