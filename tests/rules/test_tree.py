"""The tree keeps its own rules."""

import re
from pathlib import Path

import pytest

from tests.support.scheduling import group_of

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for name in ("pipeline", "consumers", "producers", "benchmarks")
    for path in sorted((ROOT / name).rglob("*.py"))
]
BANNED = {"utils", "common", "helpers", "misc", "base"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_longer_than_four_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in BANNED


def test_no_file_of_the_tests_is_longer_either() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if len(text.splitlines()) > 400] == []


def test_tests_that_share_a_server_run_in_one_process() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        shares = 'fixture(scope="module")' in text and ("with site(" in text or "node.start()" in text)
        if path != Path(__file__) and (shares or "mark.xdist_group" in text):
            assert group_of(name), name
    assert group_of("tests/broker/test_hostile.py") == group_of("tests/broker/test_hostile_entry.py") == "hostile"


def test_a_lock_file_names_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_every_page_of_the_documentation_that_is_linked_is_there() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_setting_stands_in_its_page_with_a_sentence() -> None:
    from pipeline import setting_reference as reference  # noqa: PLC0415
    from pipeline.settings import Settings  # noqa: PLC0415

    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference.page(), "run `make generated`"
    tables = dict(reference.tables(Settings))
    assert {"[broker]", "[[clinics.terminals]]", "[clinics.fetch]", "[[vendors]]", "[group]"} <= tables.keys()
    said = {name: reference.settings(model) for name, model in tables.items()}
    silent = [f"{name} {key}" for name, each in said.items() for key, (_, text) in each.items() if not text]
    assert silent == []


def test_the_picture_shows_events_that_there_are() -> None:
    from pipeline.events import BY_TYPE  # noqa: PLC0415

    (picture,) = re.findall(r"```mermaid\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), flags=re.DOTALL)
    shown = {name for label in re.findall(r"-- (.+?) -->", picture) for name in label.split(" · ")}
    assert len(shown) > 15
    assert shown <= set(BY_TYPE)


def test_every_command_of_the_readme_exists() -> None:
    from pipeline.cli.grammar import parse  # noqa: PLC0415

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\.venv/bin/onshi ([^#\n]+)", text, flags=re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        parse(command.split())


def test_every_command_of_the_page_for_operators_exists() -> None:
    import shlex  # noqa: PLC0415

    from pipeline.cli.grammar import parse  # noqa: PLC0415

    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    commands = re.findall(r"^onshi ([^#\n]+)", text, flags=re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        parse(shlex.split(command))


def test_the_page_for_operators_says_of_nothing_two_things() -> None:
    """Two answers to one question, left by a merge, and whoever was woken follows the wrong one."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    asked = [[row.split(" | ")[0] for row in table.splitlines()] for table in tables]
    assert [row for rows in asked for row in rows if rows.count(row) > 1] == []
    begun = [line[:40] for line in text.splitlines() if len(line) > 200 and not line.startswith("|")]
    assert [line for line in begun if begun.count(line) > 1] == []


def test_the_page_for_operators_knows_every_word_of_an_edge_and_no_other() -> None:
    from pipeline.edge_words import EdgeFault, Refusal  # noqa: PLC0415

    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    def words(title: str) -> set[str]:
        (part,) = [part for part in page.split("\n## ") if part.startswith(title)]
        first = [row.split(" | ")[0] for row in re.findall(r"^\|.*", part, flags=re.MULTILINE)]
        return set(re.findall(r"`([a-z_]+)`", " ".join(first)))

    assert words("Words of an edge") == set(EdgeFault)
    assert set(Refusal) - words("Something is parked") == set()


def test_every_metric_of_the_page_for_operators_exists() -> None:
    from pipeline.metrics import REGISTRY  # noqa: PLC0415

    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    known = {f"{metric.name}{'_total' if metric.type == 'counter' else ''}" for metric in REGISTRY.collect()}
    assert set(re.findall(r"onshi_[a-z_]+", text)) <= known
