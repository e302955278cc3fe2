"""What vendors are promised: it is what the models say, the official parser takes it, and no release breaks it."""

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.asyncapi import document, page, schemas
from pipeline.asyncapi.compatibility import breaks
from pipeline.group import GroupSettings
from pipeline.vendor_events import NOTICES
from tests.support.node import NodeMissingError, installed

DOCS = Path(__file__).parents[2] / "docs" / "vendors"
PROGRAM = Path(__file__).parents[1] / "asyncapi"
Schemas = dict[str, dict[str, Any]]


def read(folder: Path) -> Schemas:
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def last_release() -> Schemas:
    """Read the schemas of the newest release."""
    folders = (DOCS / "released").iterdir()
    newest = max(folders, key=lambda folder: tuple(int(part) for part in folder.name.split(".")))
    return read(newest / "schemas")


def test_the_document_is_what_the_models_say() -> None:
    assert (DOCS / "asyncapi.json").read_text(encoding="utf-8") == document.text()


def test_the_page_is_what_the_models_say() -> None:
    assert (DOCS / "index.html").read_text(encoding="utf-8") == page.page()


def test_the_schemas_are_what_the_models_say() -> None:
    made = schemas.files()
    assert {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "schemas").iterdir()} == made
    assert len(made) == len(NOTICES)


def test_the_page_asks_nothing_of_anybody() -> None:
    text = (DOCS / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "src=" not in text
    assert "//" not in text.replace("/onshi/", "")


def test_the_official_parser_takes_the_document_and_the_schemas_take_its_examples() -> None:
    try:
        place = installed(PROGRAM)
    except NodeMissingError as missing:
        pytest.fail(str(missing), pytrace=False)
    command = ["node", "validate.mjs", str(DOCS / "asyncapi.json"), str(DOCS / "schemas")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert [each for each in answer["found"] if each["severity"] in ("error", "warning")] == []
    assert answer["refused"] == []
    assert answer["messages"] == answer["schemas"] == len(NOTICES)


def test_whoever_reads_the_last_release_can_read_this_one() -> None:
    assert last_release()
    assert breaks(last_release(), read(DOCS / "schemas")) == []


def _gone(made: Schemas) -> None:
    del made["file.settled.v1.json"]


def _field_gone(made: Schemas) -> None:
    del made["file.settled.v1.json"]["properties"]["outcome"]


def _renamed(made: Schemas) -> None:
    properties = made["record.reconciled.v1.json"]["$defs"]["PersonResult"]["properties"]
    properties["codes"] = properties.pop("verdicts")


def _retyped(made: Schemas) -> None:
    made["delivery.done.v1.json"]["properties"]["revision"]["type"] = "string"


def _new_value(made: Schemas) -> None:
    made["record.reconciled.v1.json"]["properties"]["record_state"]["enum"].append("maybe")


def _no_longer_sure(made: Schemas) -> None:
    made["delivery.done.v1.json"]["required"].remove("revision")


def _new_and_required(made: Schemas) -> None:
    made["file.settled.v1.json"]["properties"]["more"] = {"type": "string"}
    made["file.settled.v1.json"]["required"].append("more")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_gone, "the event is gone"),
        (_field_gone, "outcome: is gone"),
        (_renamed, "results[].verdicts: is gone"),
        (_retyped, "revision: was"),
        (_new_value, "record_state: was"),
        (_no_longer_sure, "revision: may be missing now"),
        (_new_and_required, "more: is new and must be optional"),
    ],
)
def test_a_change_that_breaks_a_reader_is_named(change: Callable[[Schemas], None], said: str) -> None:
    changed = copy.deepcopy(last_release())
    change(changed)
    (fault,) = breaks(last_release(), changed)
    assert said in fault


def test_the_guide_the_clients_and_the_document_name_the_virtual_host_of_a_group() -> None:
    vhost = GroupSettings().vhost
    queue = document.document()["channels"]["vendorStream"]["bindings"]["amqp"]["queue"]
    assert queue["vhost"] == vhost
    for path in (DOCS.parent / "vendors.md", *(DOCS / "clients").glob("subscribe.*")):
        named = re.findall(r"amqps://\S+", path.read_text(encoding="utf-8"))
        assert named
        assert all(url.endswith(f":5671/{vhost}") for url in named), path.name


def test_a_new_optional_field_and_a_new_event_break_nobody() -> None:
    changed = copy.deepcopy(last_release())
    changed["file.settled.v1.json"]["properties"]["more"] = {"type": "string"}
    changed["file.found.v1.json"] = {"properties": {}}
    assert breaks(last_release(), changed) == []


def test_a_lock_file_of_node_names_hashes_and_no_address() -> None:
    for folder in (PROGRAM, DOCS / "clients"):
        packages = json.loads((folder / "package-lock.json").read_text())["packages"]
        assert all("integrity" in package for name, package in packages.items() if name)
        assert "://" not in (folder / "package-lock.json").read_text()
