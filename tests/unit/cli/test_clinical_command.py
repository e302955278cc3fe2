"""Who sees medication and checkups, of whom, and what does the access log say of it?"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from pipeline.contents import record_context, result_context
from pipeline.events import derive_id
from pipeline.oqs.records import Record, record_json
from pipeline.persons import patient_hash
from pipeline.results import ResultDetail
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.schema import access_log, clinical_answers, files, results
from tests.support.clinical import checkup_sample, medication_of, medication_sample
from tests.unit.cli.conftest import Office

NOW = datetime.now(UTC)
PATIENT = "10234"
CONTENT = ("見本降圧錠", "見本検査", "収縮期血圧", "999000101", "例示調剤薬局")


def whose(office: Office, patient_id: str = PATIENT) -> str:
    return patient_hash(office.keyring.identity("c001"), patient_id)


def add(office: Office, number: int, record: Record, *, patient_id: str = PATIENT, form: str = "data") -> str:
    """An answer as parsing and reconciliation leave it; the newest has the greatest number."""
    file_id, at = derive_id("file", str(number)), NOW.replace(microsecond=number)
    kind = "medication" if record.schema_kind == "medication" else "checkup"

    def seal(key_class: KeyClass, context: str, content: str) -> bytes:
        return Sealer().seal(office.keyring.epoch_key("c001", key_class, NOW), "c001", context, content.encode())

    own = {"file_id": file_id, "clinic": "c001", "processed_at": at}
    row = {
        "terminal": "t1",
        "kind": {"medication": "YZKsiquc", "checkup": "TKKsiquc"}[kind],
        "outcome": "delivered",
        "revision": 1,
        "suffix": ".xml",
        "sealed_record": seal(KeyClass.CLINICAL, record_context(file_id), record_json(record)),
        "captured_at": at,
        "stored_at": at,
    }
    detail = ResultDetail(patient_id=patient_id, name="見本　花子").model_dump_json()
    result = {
        "result": 0,
        "revision": 1,
        "state": "closed",
        "verdicts": "match",
        "needs_review": False,
        "sealed_result": seal(KeyClass.CONFIRMATION, result_context(file_id, 0), detail),
        "patient_hash": whose(office, patient_id),
        "decided_at": at,
    }
    answer = {"kind": kind, "form": form, "patient_hash": whose(office, patient_id), "month": None}
    with office.store.transaction() as connection:
        connection.execute(insert(files).values(own | row))
        connection.execute(insert(results).values(own | result))
        connection.execute(insert(clinical_answers).values(own | answer))
    return file_id


@pytest.fixture
def filled(office: Office) -> Office:
    add(office, 1, medication_of("202604", "古い薬"))
    add(office, 2, medication_of("202604", "新しい薬"))
    add(office, 3, medication_sample())
    add(office, 4, checkup_sample())
    add(office, 5, medication_of("202605", "他人の薬"), patient_id="99999")
    return office


def give(office: Office, **rights: bool) -> None:
    path = office.root / "onshi.toml"
    text = path.read_text(encoding="utf-8")
    for right, given in rights.items():
        text = text.replace(f"{right} = true", f"{right} = {str(given).lower()}")
    path.write_text(text, encoding="utf-8")


def accesses(office: Office) -> list[tuple[str, str, str, str]]:
    with office.store.reading() as connection:
        rows = connection.execute(select(access_log).order_by(access_log.c.number)).all()
    return [(row.staff, row.action, row.subject, row.result) for row in rows]


def names(shown: dict[str, Any]) -> set[str]:
    return {row["name"] for row in shown["drugs"]}


def test_all_answers_of_one_patient_are_shown_as_one_history(filled: Office) -> None:
    shown = filled.ask("clinical", "show", PATIENT)
    # The sample was asked for February to now, so it speaks of April as well.
    assert names(shown) == {"見本降圧錠５ｍｇ", "見本去痰錠５００ｍｇ", "見本軟膏０．１％"}
    assert [row["source"] for row in shown["drugs"]] == ["dispensed", "prescribed", "receipt", "receipt", "receipt"]
    assert [row.get("duplicate_of") for row in shown["drugs"]] == [None, 0, None, None, None]
    assert [row["name"] for row in shown["treatments"]] == ["見本手術", "見本血液検査"]
    assert [row["value"] for row in shown["checkup_items"]][:2] == ["138", "86"]
    assert shown["unreadable"] == []


def test_of_a_month_asked_again_the_newer_answer_is_shown(office: Office) -> None:
    add(office, 2, medication_of("202604", "新しい薬"))
    add(office, 1, medication_of("202604", "古い薬"))
    assert names(office.ask("clinical", "show", PATIENT)) == {"新しい薬"}


def test_only_a_kind_and_only_since_a_day(filled: Office) -> None:
    shown = filled.ask("clinical", "show", PATIENT, "--kind", "checkup", "--since", "2025-01")
    assert set(shown) == {"unreadable", "checkup_items"}
    assert {row["day"] for row in shown["checkup_items"]} == {"2025-10-15"}
    medication = filled.ask("clinical", "show", PATIENT, "--kind", "medication", "--since", "2026-05-09")
    assert {row["day"] for row in medication["drugs"]} == {"2026-05-09"}


def test_a_table_for_people_is_in_their_words(filled: Office) -> None:
    code, text = filled.say("clinical", "show", PATIENT)
    assert code == 0
    for word in (
        "薬剤情報 (5)",
        "診療情報 (2)",
        "特定健診情報 (10)",
        "レセプト",
        "調剤",
        "処方",
        "１日３回毎食後/一包化",
    ):
        assert word in text


def test_the_list_names_the_answers_and_nothing_of_what_they_say(filled: Office) -> None:
    rows = filled.ask("clinical", "list", PATIENT)
    assert [(row["kind"], row["form"]) for row in rows] == [("checkup", "data")] + [("medication", "data")] * 3
    assert not any(word in json.dumps(rows, ensure_ascii=False) for word in CONTENT)


def test_each_use_of_each_right_is_in_the_access_log_without_the_chart_number(filled: Office) -> None:
    filled.ask("clinical", "show", PATIENT)
    filled.ask("clinical", "list", PATIENT, "--kind", "checkup")
    subject = f"c001 {whose(filled)[:12]}"
    assert accesses(filled) == [
        ("s1", "clinical.show", f"{subject} medication", "done"),
        ("s1", "clinical.show", f"{subject} checkup", "done"),
        ("s1", "clinical.list", f"{subject} checkup", "done"),
    ]


@pytest.mark.parametrize(("right", "kind"), [("view_medication", "medication"), ("view_checkup", "checkup")])
@pytest.mark.parametrize("action", ["list", "show"])
def test_a_right_opens_its_own_kind_and_no_other(filled: Office, right: str, kind: str, action: str) -> None:
    give(filled, **{right: False})
    code, text = filled.say("clinical", action, PATIENT, "--kind", kind)
    assert (code, right in text) == (1, True)
    assert not any(word in text for word in CONTENT)
    other = filled.ask("clinical", action, PATIENT)
    shown = json.dumps(other, ensure_ascii=False)
    assert ("drugs" in shown, "checkup_items" in shown) == (
        (action == "show" and kind != "medication"),
        (action == "show" and kind != "checkup"),
    )
    assert f'"kind": "{kind}"' not in shown
    assert [(subject.split()[2], result) for _, _, subject, result in accesses(filled)] == [
        (kind, "refused"),
        ({"medication": "checkup", "checkup": "medication"}[kind], "done"),
    ]


def test_without_either_right_nothing_is_shown(filled: Office) -> None:
    give(filled, view_medication=False, view_checkup=False)
    code, text = filled.say("clinical", "show", PATIENT)
    assert (code, "view_medication or view_checkup" in text) == (1, True)
    assert [result for *_, result in accesses(filled)] == ["refused"]


def test_who_is_not_listed_as_staff_sees_nothing(filled: Office) -> None:
    path = filled.root / "onshi.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("[[staff]]")], encoding="utf-8")
    code, shown = filled.say("clinical", "show", PATIENT)
    assert (code, "[[staff]]" in shown) == (1, True)
    assert [(staff, result) for staff, _, _, result in accesses(filled)] == [("-", "refused")]


@pytest.mark.parametrize(
    "words", [("results", "list"), ("files", "list"), ("requests", "list"), ("consents", "list"), ("status",)]
)
def test_no_other_command_shows_clinical_content(filled: Office, words: tuple[str, ...]) -> None:
    give(filled, view_medication=False, view_checkup=False)
    assert not any(word in json.dumps(filled.ask(*words), ensure_ascii=False) for word in CONTENT)


def test_an_answer_whose_key_has_ended_is_counted_and_not_guessed(filled: Office) -> None:
    with filled.store.transaction() as connection:
        own = files.c.file_id == derive_id("file", "4")
        connection.execute(update(files).where(own).values(sealed_record=None))
    shown = filled.ask("clinical", "show", PATIENT)
    assert (shown["checkup_items"], shown["unreadable"]) == ([], [derive_id("file", "4")])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "--since"),
        (("--since", "2026-13"), "--since"),
        (("--clinic", "c999"), "no such clinic"),
    ],
)
def test_wrong_use_is_said_in_one_line(office: Office, words: tuple[str, ...], said: str) -> None:
    code, text = office.say("clinical", "show", PATIENT, *words)
    assert (code, said in text, accesses(office)) == (2, True, [])
