"""`onshi request` and `onshi requests`: what may be asked, by whom, and what is shown of it?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from consumers.consent import Consent
from consumers.consent.asking import RequestFile
from consumers.reconciliation import Reconciliation
from pipeline.contents import patients_context, record_context, request_context
from pipeline.events import PatientsChanged, RecordParsed
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import ErrNotice, Record, record_json
from pipeline.oqs.requests import BulkRegistrationRequest, read_request
from pipeline.patient_row import PatientRow, rows_to_bytes
from pipeline.request_row import RequestDetail
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.schema import access_log, files, requests
from tests.support.centre import Centre
from tests.support.consents import face, granted
from tests.unit.cli.conftest import Office

HANAKO = PatientRow(
    patient_id="00001",
    name="見本　花子",
    kana="ミホン　ハナコ",
    birthdate="1985-04-12",
    sex="2",
    insurer_number="06999999",
    symbol="7001",
    number="0001234",
    branch_number="00",
    valid_from="2020-04-01",
    valid_to="9999-12-31",
)
TARO = HANAKO.model_copy(
    update={"patient_id": "00002", "number": "8842", "branch_number": "", "kana": "レイジ　タロウ"}
)
OLD = HANAKO.model_copy(update={"insurer_number": "06999981", "valid_from": "2010-04-01", "valid_to": "2020-03-31"})
AID = HANAKO.model_copy(update={"insurer_number": "12999991", "symbol": "", "number": "0012345", "branch_number": ""})


@pytest.fixture
def front(office: Office) -> Office:
    """A clinic with a patient list in its store."""
    now = datetime.now(UTC)
    people = (HANAKO, OLD, AID, TARO)
    public = office.keyring.epoch_key("c001", KeyClass.STANDING, now)
    sealed = Sealer().seal(public, "c001", patients_context("l1", 1), rows_to_bytes(people))
    event = PatientsChanged(
        clinic="c001", edge="chart", list_id="l1", taken_at=now, part=1, parts=1, rows=len(people), sealed=sealed
    )
    _centre(office).handle(Reconciliation(office.settings, office.keyring), event, now)
    return office


def _centre(office: Office) -> Centre:
    return Centre(office.settings, office.keyring, office.store)


def _asked(office: Office) -> list[tuple[str, str]]:
    with office.store.reading() as connection:
        rows = connection.execute(select(requests).order_by(requests.c.kind, requests.c.request_id))
        return [(row.kind, row.asked_by) for row in rows]


def _deeds(office: Office) -> list[tuple[str, str]]:
    with office.store.reading() as connection:
        rows = connection.execute(select(access_log).order_by(access_log.c.number))
        return [(row.action, row.result) for row in rows]


def test_a_patient_is_asked_for_under_each_insurance_in_force(front: Office) -> None:
    told = front.ask("request", "single", "--patient", "00001", "--limit-consent")
    assert [one["label"] for one in told["requests"]] == ["資格確認", "資格確認"]
    insurers = set()
    with front.store.reading() as connection:
        for row in connection.execute(select(requests)):
            raw = Opener(front.keyring).open("c001", request_context(row.request_id), row.sealed_request)
            insurers.add(RequestDetail.model_validate_json(raw).insurer_number)
    assert insurers == {"06999999", "12999991"}
    assert _deeds(front) == [("request.single", "done")] * 2


def test_what_is_being_asked_already_is_not_asked_twice(front: Office) -> None:
    words = ("request", "single", "--patient", "00001")
    assert front.say(*words)[0] == 0
    code, said = front.say(*words)
    assert (code, "asked_already" in said) == (1, True)
    assert len(_asked(front)) == 2
    assert front.say("request", "withdraw", "--patient", "00001")[0] == 0


def test_chart_numbers_may_come_from_a_file_and_one_that_is_not_on_the_list_is_counted_out(front: Office) -> None:
    listed = front.root / "tomorrow.txt"
    listed.write_text("00001\n\n00002\n", encoding="utf-8")
    assert front.ask("request", "booking", "--from", str(listed))["requests"][0]["kind"] == "OQSmuquc"
    code, said = front.say("request", "booking", "00001", "４０４")
    assert (code, "chart number 2" in said, "４０４" in said) == (2, True, False)
    assert len(_asked(front)) == 1


def test_only_insurances_with_a_branch_number_or_without_any_are_registered(front: Office) -> None:
    (bulk,) = front.ask("request", "reference", "00001", "00002")["requests"]
    with front.store.reading() as connection:
        sealed = connection.execute(select(requests.c.sealed_request)).scalar_one()
    raw = Opener(front.keyring).open("c001", request_context(bulk["request_id"]), sealed)
    written = read_request(MessageKind.BULK_REGISTRATION, RequestFile.model_validate_json(raw).content)
    assert isinstance(written, BulkRegistrationRequest)
    assert [(entry.reference_number, entry.number) for entry in written.registrations] == [
        ("00001", "0001234"),
        ("00001", "0012345"),
    ]
    assert front.say("request", "reference", "00002")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["single"],
        ["single", "--patient", "00001", "--number", "1"],
        ["single", "--insurer", "1", "--number", "2"],
        ["single", "--insurer", "06999999", "--number", "2", "--birthdate", "85"],
        ["single", "--patient", "nobody"],
        ["single", "--patient", "00001", "--day", "2026-02-30"],
        ["single", "--patient", "00001", "--care", "dental"],
        ["single", "--patient", "00001", "--terminal", "t9"],
        ["single", "--patient", "00001", "--clinic", "c9"],
        ["booking"],
        ["booking", "--from", "there-is-no-such-file"],
        ["medication"],
        ["visit", "--from", "2026-05-01"],
        ["visit", "--from", "2026-05-02", "--to", "2026-05-01"],
        ["medical-aid", "--month", "2026-13"],
        ["dance"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_use_asks_nothing(front: Office, words: list[str]) -> None:
    code, said = front.say("request", *words)
    assert code == (1 if "there-is-no-such-file" in words else 2), said
    assert _asked(front) == []
    assert "a fault of ours" not in said


def test_who_is_not_staff_asks_nothing_and_leaves_a_trace(front: Office) -> None:
    _configure(front, 'os_user = "', 'os_user = "not-')
    code, said = front.say("request", "single", "--patient", "00001")
    assert (code, "not_staff" in said) == (1, True)
    assert _deeds(front) == [("request.single", "refused")]


@pytest.mark.parametrize(("kind", "right"), [("medication", "view_medication"), ("checkup", "view_checkup")])
def test_who_may_not_see_histories_may_not_ask_for_them(front: Office, kind: str, right: str) -> None:
    _configure(front, f"{right} = true", f"{right} = false")
    code, said = front.say("request", kind, "--patient", "00001")
    assert (code, "not_allowed" in said) == (1, True)
    assert _deeds(front) == [(f"request.{kind}", "refused")]


def test_medication_is_asked_only_under_a_consent_that_stands(front: Office) -> None:
    assert "no_consent" in front.say("request", "medication", "--patient", "00001")[1]
    # Answered earlier: of two answers of one second the one that ends first stands.
    _consent(front, until=timedelta(seconds=50), ago=timedelta(minutes=1))
    assert "no_consent" in front.say("request", "medication", "--patient", "00001")[1]
    _consent(front, until=timedelta(hours=24))
    (made,) = front.ask("request", "medication", "--patient", "00001", "--from", "2026-03")["requests"]
    assert "no_consent" in front.say("request", "medication", "--patient", "00001", "--treatments")[1]
    found = front.ask("requests", "show", made["request_id"])
    assert (found["kind_label"], found["person"]["patient_id"], found["asked_by"]) == ("薬剤情報", "00001", "s1")
    assert found["grant"]["category"] == "medication"
    with front.store.reading() as connection:
        assert connection.execute(select(requests.c.window_until)).scalar_one() is not None


def test_a_request_shows_its_history_and_what_was_said_to_staff_only(front: Office) -> None:
    (made,) = front.ask("request", "medical-aid", "--month", "2026-05")["requests"]
    centre = _centre(front)
    with front.store.reading() as connection:
        row = connection.execute(select(requests)).one()
    raw = Opener(front.keyring).open("c001", request_context(row.request_id), row.sealed_request)
    base = RequestDetail.model_validate_json(raw).base_name
    notice = ErrNotice(schema_kind="err_notice", text="（見本）形式", encoding="utf-8")
    _store(front, "e1", notice, MessageKind.BULK_MEDICAL_AID, base)
    found = front.ask("requests", "show", made["request_id"])
    assert [step["state"] for step in found["history"]] == ["wanted", "refused"]
    assert (found["state_label"], found["reason_label"]) == ("エラー", "要求が受け付けられませんでした")
    assert found["message"] == {"layer": "returned", "code": None, "text": "（見本）形式"}
    assert "メッセージ  （見本）形式" in front.say("requests", "show", made["request_id"])[1]
    _configure(front, 'os_user = "', 'os_user = "not-')
    assert front.ask("requests", "show", made["request_id"])["message"] is None
    assert centre.rows(requests)[0]["sealed_message"] is not None


def test_a_request_nobody_was_ordered_to_place_can_be_withdrawn_once(front: Office) -> None:
    (made,) = front.ask("request", "medical-aid", "--month", "2026-05")["requests"]
    assert front.ask("requests", "list", "--open")[0]["state_label"] == "送信待ち"
    assert front.say("requests", "withdraw", made["request_id"])[0] == 0
    assert front.ask("requests", "list", "--open") == []
    assert front.ask("requests", "list")[0]["reason_label"] == "職員が取り消しました"
    assert front.say("requests", "withdraw", made["request_id"])[0] == 1
    assert front.say("requests", "withdraw", "nothing")[0] == 2


def test_a_request_that_a_terminal_may_have_is_not_withdrawn(front: Office) -> None:
    (made,) = front.ask("request", "medical-aid", "--month", "2026-05")["requests"]
    with front.store.transaction() as connection:
        connection.execute(update(requests).values(ordered_until=datetime.now(UTC) + timedelta(minutes=1)))
    code, said = front.say("requests", "withdraw", made["request_id"])
    assert (code, "too_late" in said) == (1, True)
    assert front.ask("requests", "show", made["request_id"])["state"] == "wanted"


def _consent(office: Office, *, until: timedelta, ago: timedelta = timedelta(0)) -> None:
    now = datetime.now(UTC)
    record = face(granted(now - ago, now + until))
    (result,) = record.results
    names = ("insurer_number", "symbol", "number", "branch_number")
    own = {name: getattr(HANAKO, name) for name in names} | {"birthdate": "19850412", "name_kana": "ﾐﾎﾝ ﾊﾅｺ"}
    record = record.model_copy(update={"results": (result.model_copy(update=own),)})
    _store(office, f"f{until.total_seconds():.0f}", record, MessageKind.FACE)


def _store(office: Office, file_id: str, record: Record, kind: MessageKind, base: str | None = None) -> None:
    """Let a file that says this be parsed and heard by consent."""
    now = datetime.now(UTC)
    public = office.keyring.epoch_key("c001", KeyClass.ORIGINAL, now)
    sealed = Sealer().seal(public, "c001", record_context(file_id), record_json(record).encode())
    hashed = office.keyring.identity("c001").mac("correlation", base.encode()) if base else None
    with office.store.transaction() as connection:
        connection.execute(
            files.insert().values(
                file_id=file_id,
                clinic="c001",
                terminal="t1",
                kind=kind.value,
                outcome="pending",
                revision=1,
                suffix=".xml",
                correlation_hash=hashed,
                sealed_record=sealed,
                processed_at=now,
                captured_at=now,
                stored_at=now,
            )
        )
    event = RecordParsed(clinic="c001", file_id=file_id, revision=1, kind=kind.value, terminal="t1")
    _centre(office).handle(Consent(office.settings, office.keyring), event, now)


def _configure(office: Office, old: str, new: str) -> None:
    path = Path(office.root / "onshi.toml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
