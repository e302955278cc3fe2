"""Every kind of inquiry, from the command to its final state, through a running pipeline and the service's answers."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.cli.main import main
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind
from producers.simulator.cases import Case
from producers.simulator.run import prepare
from producers.simulator.terminal import Folders, SimulatedTerminal
from producers.simulator.visits import Visit
from tests.rules.test_canary import check
from tests.support.eventually import eventually
from tests.support.site import Site, site

pytestmark = pytest.mark.xdist_group("inquiries")

NEEDED = (ConsentCategory.MEDICATION, ConsentCategory.CHECKUP)


class Front:
    """The desk of a clinic whose pipeline runs: commands in this process, answers by the simulated service."""

    def __init__(self, made: Site, terminal: SimulatedTerminal) -> None:
        self.made = made
        self.terminal = terminal

    def say(self, *words: str) -> tuple[int, Any]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = main([*words, "-c", str(self.made.config), "--json"])
        return code, json.loads(out.getvalue())

    def ask(self, *words: str) -> list[str]:
        code, told = self.say("request", *words)
        assert code == 0, (words, told)
        return [one["request_id"] for one in told["requests"]]

    def show(self, request_id: str) -> dict[str, Any]:
        code, told = self.say("requests", "show", request_id)
        assert code == 0, told
        return dict(told)

    def done(self) -> None:
        """Let the service get done with every bulk request it has taken, and with those to come at once."""
        desk = self.terminal._desk
        desk.behaviour.processing_for = timedelta(0)
        desk._taken = {number: replace(taken, ready_at=datetime.now(UTC)) for number, taken in desk._taken.items()}

    def is_waiting(self, request_id: str) -> bool:
        """Say whether the service has said that it is still at work on it."""
        return any(step["reason"] == "still_processing" for step in self.show(request_id)["inquiry"]["steps"])

    def ended(self, request_id: str) -> dict[str, Any]:
        """Wait until the whole inquiry is over."""

        def is_over() -> dict[str, Any] | None:
            found = self.show(request_id)
            return None if found["inquiry"]["state"] in ("wanted", "placed", "processing") else found

        try:
            return eventually(is_over, 90, f"the end of {request_id}")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.show(request_id)}\n{self.made.logs()}") from None


def _is_plain(visit: Visit) -> bool:
    given = all(visit.consents.get(category) for category in NEEDED)
    return given and visit.case is Case.MATCH and len(visit.person.coverages) == 1


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with site(tmp_path_factory.mktemp("inquiries") / "site") as made:
        own = made.clinic.terminals[0]
        folders = Folders(own.face, own.res, own.req)
        terminal = prepare(folders, count=25, seed=7, institution_code=made.clinic.institution_codes[0])
        # Until a download has come too early; see `done`.
        terminal.behaviour.processing_for = timedelta(days=1)
        terminal.write_patients(made.patients)
        made.start(ONSHI_CENTRE_DOWNLOAD_FIRST_SECONDS="0.2")
        with terminal.serving():
            yield Front(made, terminal)


@pytest.fixture(scope="module")
def patient(front: Front) -> str:
    """Somebody who agreed to everything at the reader just now."""
    visit = next(visit for visit in front.terminal.visits if _is_plain(visit))
    front.terminal.write_face(visit)
    eventually(lambda: len(front.say("consents", "list")[1]) >= len(NEEDED), 60, "the patient's consents")
    eventually(lambda: front.say("patients", "list")[1], 60, "the patient list")
    assert visit.patient_id
    return visit.patient_id


def test_every_kind_of_inquiry_ends_answered(front: Front, patient: str) -> None:
    visitor = front.terminal.register.visitors[0].person.patient_id
    others = [visit.person.patient_id for visit in front.terminal.visits if visit.case is Case.ADDRESS_MISMATCH][:2]
    made = [
        *front.ask("single", "--patient", patient, "--limit-consent"),
        *front.ask("single", "--insurer", "06999999", "--number", "404", "--birthdate", "1985-04-12"),
        *front.ask("single", "--patient", visitor, "--care", "visit"),
        *front.ask("booking", patient, *others),
        *front.ask("reference", patient),
        *front.ask("reference", patient, *others),
        *front.ask("medication", "--patient", patient, "--from", "2026-01"),
        *front.ask("checkup", "--patient", patient, "--pdf"),
        *front.ask("visit", "--from", "2026-05-01", "--to", "2026-05-12"),
        *front.ask("online", "--from", "2026-05-01", "--to", "2026-05-12", "--examined"),
        *front.ask("medical-aid", "--month", "2026-05"),
    ]
    uploads = [made[at] for at in (3, 5, 8, 9, 10)]
    eventually(lambda: all(front.is_waiting(upload) for upload in uploads), 90, "a download that comes too early")
    front.done()
    ended = [front.ended(request_id) for request_id in made]
    assert {(one["kind_label"], one["inquiry"]["state"], one["reason"]) for one in ended} == {
        (label, "answered", None)
        for label in (
            *("資格確認", "資格確認（訪問診療等）", "資格確認一括照会", "照会番号登録", "照会番号一括登録", "薬剤情報"),
            *("特定健診情報", "同意済資格情報一括取得（訪問診療等）", "同意済資格情報一括取得（オンライン診療等）"),
            "医療券一括取得",
        )
    }
    bulk = [one["inquiry"]["steps"] for one in ended if one["kind"].startswith("OQSmu")]
    assert [[step["phase"] for step in steps][:2] for steps in bulk] == [["01", "02"]] * 5
    # Asked for last: without a stored consent the service has nothing to tell of the visitor.
    (withdrawn,) = front.ask("withdraw", "--patient", visitor)
    assert front.ended(withdrawn)["state"] == "answered"
    asked = [one.name.correlation for one in front.terminal.service.asked]
    assert len(asked) == len(set(asked)) == len(made) + 1 + sum(len(steps) - 1 for steps in bulk)


def test_refusals_in_every_layer_show_the_words_of_the_service(front: Front, patient: str) -> None:
    (person,) = front.ask("single", "--insurer", "06999999", "--number", "404", "--birthdate", "20010230")
    assert front.ended(person)["message"]["text"] == "（見本）生年月日の形式が正しくありません。"
    assert front.show(person)["reason"] == "person_error"
    front.terminal.behaviour.fails = frozenset({MessageKind.CHECKUP, MessageKind.BULK_VISIT})
    (checkup,) = front.ask("checkup", "--patient", patient)
    (visits,) = front.ask("visit", "--from", "2026-05-01", "--to", "2026-05-12")
    for failed in (checkup, visits):
        found = front.ended(failed)
        assert (found["state"], found["reason"]) == ("refused", "message_error")
        assert found["message"]["text"] == "（見本）システムエラーが発生しました。"
    front.terminal.behaviour.fails = frozenset()
    front.terminal._desk.institution_code = "9919000099"
    (returned,) = front.ask("medical-aid", "--month", "2026-05")
    found = front.ended(returned)
    front.terminal._desk.institution_code = front.made.clinic.institution_codes[0]
    assert (found["state"], found["reason"]) == ("refused", "returned")
    words = eventually(lambda: (front.show(returned)["message"] or {}).get("text"), 60, "the notice beside it")
    assert words == "（見本）要求ファイルの形式が正しくありません。\r\n"


def test_what_was_asked_is_erased_from_the_terminal_and_nothing_is_parked(front: Front, patient: str) -> None:
    folders = (front.made.face, front.made.res, front.terminal._folders.req)
    eventually(lambda: not [path for folder in folders for path in folder.iterdir()], 90, "empty folders")
    code, status = front.say("status")
    assert (code, status["parked"]) == (0, {})
    code, told = front.say("verify")
    assert code == 0, told
    check(front.made, [])
