"""To which final state does each sample of an answer bring the request it answers?"""

from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from consumers.consent.asking import RequestFile, Wanted, add
from pipeline.oqs.answers import arbitrary_file_identifier
from pipeline.oqs.names import FileName, parse_name
from pipeline.oqs.parse import parse
from pipeline.storage.schema import requests
from tests.support.centre import Centre
from tests.support.consents import NOW, store_file
from tests.unit.consent.test_consent_requests import _handle

SAMPLES = Path(__file__).parents[2] / "samples"
OTHERS = {
    "OQSmuquc02res_202605120003": ("answered", "still_processing"),
    "OQSsiimm01res_202605120022": ("refused", "person_error"),
    "OQSsiquc01req_202605120018": ("refused", "returned"),
    "OQSsiquc01res_202605120016": ("refused", "message_error"),
    "OQSsiquc01res_202605120017": ("refused", "person_error"),
    "YZKsiquc01res_202605120033": ("refused", "message_error"),
}
"""All else is answered, be the answer negative or not."""


def _asked(name: FileName) -> dict[str, str | None]:
    """Read out of the request's sample what an answer must repeat; where there is none, of its answer."""
    path = SAMPLES / "req" / f"{name.correlation}.xml"
    root = etree.parse(path).getroot() if path.exists() else None
    found = {} if root is None else {node.tag: node.text for node in root.iter() if not len(node)}
    return {"identifier": found.get("ArbitraryFileIdentifier"), "number": found.get("ReceptionNumber")}


@pytest.mark.parametrize("path", sorted((SAMPLES / "res").iterdir()), ids=lambda path: path.name)
def test_every_sample_of_an_answer_brings_its_request_to_its_end(centre: Centre, path: Path) -> None:
    name = parse_name(path.name)
    assert name is not None
    assert name.correlation is not None
    record = parse(name, path.read_bytes())
    asked = _asked(name)
    file = RequestFile(
        base_name=name.correlation,
        arbitrary_file_identifier=asked["identifier"] or arbitrary_file_identifier(record) or "",
        reception_number=asked["number"],
        content=b"",
    )
    wanted = Wanted("c1", "t1", name.kind.value, file, None, phase=name.phase)
    with centre.store.transaction() as connection:
        request_id = add(connection, centre.keyring, wanted, timedelta(minutes=3), NOW)
    _handle(centre, store_file(centre, path.name, record, kind=name.kind, correlation=name.correlation))
    rows = {row["request_id"]: row for row in centre.rows(requests)}
    own = rows.pop(request_id)
    assert (own["state"], own["reason"]) == OTHERS.get(path.stem, ("answered", None))
    follows = name.kind.is_bulk and (name.phase == "01" or path.stem in OTHERS)
    assert [(row["phase"], row["state"]) for row in rows.values()] == [("02", "wanted")] * follows
    assert (own["sealed_message"] is not None) is ((path.stem in OTHERS and path.suffix == ".err") or _speaks(path))


def _speaks(path: Path) -> bool:
    """Say whether the service says something in words of the message as a whole, or of the one person."""
    return path.stem in OTHERS and OTHERS[path.stem][1] not in ("returned", "still_processing")
