"""The end of a month by the command line: a manager ends it, and the lists go on without names."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.keyring import Keyring, issue
from tests.support.centre import Centre, make_store
from tests.support.retained import NAME, add
from tests.support.site import Site, site

LONG_AGO = datetime.now(UTC) - timedelta(days=70)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "site") as one:
        issue(one.settings.keys.dir, ["c001"], one.settings.edges, LONG_AGO)
        one.ask("status")  # makes the schema
        centre = Centre(one.settings, Keyring(one.settings.keys.dir), make_store(one.settings.store.url))
        add(centre, at=LONG_AGO)
        centre.store.close()
        yield one


def destroy(made: Site, key_class: str, month: datetime = LONG_AGO, code: int = 0) -> str:
    answer = made.say("keys", "destroy", "--class", key_class, "--epoch", f"{month:%Y-%m}")
    assert answer.returncode == code, answer.stderr
    return answer.stdout


def test_a_manager_ends_a_month_and_the_lists_go_on_without_names(made: Site) -> None:
    assert made.ask("files", "list")[0]["name"] == NAME.decode()
    assert made.ask("results", "list")[0]["name"] == "x"
    assert "destroyed" in destroy(made, "original")
    assert "destroyed" in destroy(made, "confirmation")
    (file,), (result,) = made.ask("files", "list"), made.ask("results", "list")
    assert (file["name"], file["outcome"], file["custody"]) == (None, "delivered", "vanished")
    assert (result["name"], result["verdicts"]) == (None, ["new_patient"])
    states = {(key["class"], key["epoch"]): key["state"] for key in made.ask("keys", "list")}
    assert states["original", f"{LONG_AGO:%Y-%m}"] == states["confirmation", f"{LONG_AGO:%Y-%m}"] == "destroyed"
    assert states["clinical", f"{LONG_AGO:%Y-%m}"] == "past"
    assert states["original", f"{datetime.now(UTC):%Y-%m}"] == "current"
    assert made.ask("verify")
    assert made.ask("audit", "verify")["valid"]


def test_a_month_that_is_not_over_is_refused_with_its_reason(made: Site) -> None:
    assert "epoch_open" in destroy(made, "original", datetime.now(UTC), code=1)
    assert made.ask("files", "list")[0]["name"] == NAME.decode()


def test_who_is_no_manager_destroys_nothing(made: Site) -> None:
    made.config.write_text(made.config.read_text().replace('role = "manager"', 'role = "clinician"'))
    destroy(made, "original", code=2)
    assert made.ask("files", "list")[0]["name"] == NAME.decode()


@pytest.mark.parametrize(
    "words", [("--class", "standing", "--epoch", "2026-01"), ("--class", "original", "--epoch", "1")]
)
def test_what_is_no_month_of_a_class_is_wrong_use(made: Site, words: tuple[str, ...]) -> None:
    assert made.say("keys", "destroy", *words).returncode == 2


def test_keys_are_backed_up_replaced_and_restored_by_a_manager(made: Site, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("a long enough passphrase")
    kept = (str(tmp_path / "kept"), "--passphrase-file", str(tmp_path / "passphrase"))
    for words in (("backup", *kept), ("rotate", "--class", "original"), ("restore", *kept)):
        answer = made.say("keys", *words)
        assert answer.returncode == 0, answer.stderr
    assert made.say("keys", "rotate", "--class", "original", "--clinic", "nowhere").returncode == 2
    assert made.say("keys", "backup", *kept).returncode == 1, "a backup is never overwritten"
