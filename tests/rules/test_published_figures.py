"""The page on reliability says what its figures say, and the figures say everything that was run."""

import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support import published, report
from tests.support.figures import BEGUN, BROKEN, HELD, NOT_RUN, Figures, record
from tests.support.matrix import EXPECTED
from tests.support.soak.plan import UNTIL
from tests.support.sweep import report as sweep

ROOT = Path(__file__).parents[2]
NAME = "broker wiped"
RUN = Figures(
    scenario=NAME,
    outcome=HELD,
    broker="RabbitMQ",
    store="SQLite",
    files=120,
    faults=1,
    lost=0,
    duplicates=0,
    false_certificates=0,
    wrong_erasures=0,
    drain_seconds=4.25,
    seconds=20.0,
    seed=7,
)
BROKE = replace(
    RUN, outcome=BROKEN, lost=None, false_certificates=None, drain_seconds=None, why="AssertionError: late\nx"
)


def line(*runs: Figures) -> str:
    (found,) = [one for one in report.matrix([asdict(run) for run in runs]).splitlines() if f"| {NAME} |" in one]
    return found


def test_the_page_is_what_the_figures_render() -> None:
    page = published.PAGE.read_text(encoding="utf-8")
    assert page == report.rendered(page, published.read([report.FIGURES]))


def test_a_scenario_that_held_is_published_with_the_sum_of_its_runs_and_its_longest_drain() -> None:
    told = line(RUN, replace(RUN, drain_seconds=8.0, broker="embedded"))
    assert told.endswith("| RabbitMQ + SQLite, embedded + SQLite | 2 | 0 | 240 | 2 | 0 | 0 | 0 | 0 | 8.0 |")


def test_a_scenario_that_broke_is_published_as_broken_with_its_reason_and_not_as_nothing_lost() -> None:
    assert line(RUN, BROKE).endswith("| RabbitMQ + SQLite | 2 | **1** | 240 | 2 | ? | 0 | ? | 0 | 4.2 |")
    assert "Broken: broker wiped (seed 7): AssertionError: late" in report.matrix([asdict(RUN), asdict(BROKE)])


def test_the_sweep_reads_its_own_rounds_from_the_file_of_a_soak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONSHI_FIGURES", str(tmp_path / "figures"))
    record(RUN)
    assert sweep.read([tmp_path / "figures"]) == []


def test_the_reason_of_a_break_names_no_folder_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONSHI_FIGURES", str(tmp_path / "figures"))
    record(replace(BROKE, why="TimeoutExpired: ['/home/me/.venv/bin/python', '-c', '/tmp/x-1/onshi.toml'] at 1/2"))
    assert "['…/python', '-c', '…/onshi.toml'] at 1/2" in (tmp_path / "figures").read_text(encoding="utf-8")


def test_a_scenario_that_was_not_run_is_published_as_not_run() -> None:
    assert "**not run**" in line(replace(RUN, scenario="slow line"))


def test_rendering_again_changes_nothing_and_keeps_what_no_row_speaks_of() -> None:
    page = f"a\n{report.BEGIN}\nstale figures\n{report.END}\nb\n{sweep.BEGIN}\nkept\n{sweep.END}\n"
    once = report.rendered(page, [asdict(RUN)])
    assert report.rendered(once, [asdict(RUN)]) == once
    assert "stale figures" not in once
    assert "kept" in once


def test_a_line_is_written_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONSHI_FIGURES", str(tmp_path / "figures"))
    record(RUN)
    record(BROKE)
    assert published.read([tmp_path / "figures"]) == [asdict(RUN), asdict(BROKE)]


def test_every_scenario_the_matrix_knows_has_a_test() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "fault").glob("test_matrix_*.py"))
    used = set(re.findall(r'scenario\(\s*f?"([^"]+)"', sources)) | set(re.findall(r'\("([^"]+)", Proxy', sources))
    patterns = [re.sub(r"\\\{.*?\\\}", ".+", re.escape(name)) for name in used]
    unknown = [name for name in EXPECTED if not any(re.fullmatch(pattern, name) for pattern in patterns)]
    assert [name for name in unknown if f'"{name}"' not in sources] == []


def test_a_run_that_began_and_never_ended_is_published_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONSHI_FIGURES", str(tmp_path / "figures"))
    begun = replace(BROKE, outcome=BEGUN)
    for run in (begun, RUN, begun, begun, replace(RUN, outcome=NOT_RUN)):
        record(run)
    assert [row["outcome"] for row in published.read([tmp_path / "figures"])] == [HELD, BROKEN]


PLANNED = """
import pytest

def test_usual():
    print("RAN usual")

@pytest.mark.takes(600)
def test_dear():
    print("RAN dear")

@pytest.mark.takes(1)
def test_cheap():
    print("RAN cheap")
"""


def test_the_plan_runs_the_cheapest_first_and_skips_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "test_planned.py").write_text(PLANNED)
    words = ["-m", "pytest", "-s", "-rs", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.support.soak.plan"]
    done = subprocess.run(
        [sys.executable, *words, "-p", "no:cacheprovider", str(tmp_path / "test_planned.py")],
        cwd=ROOT,
        env={**os.environ, UNTIL: str(time.monotonic() + 300)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"RAN (\w+)", done.stdout) == ["cheap", "usual"], done.stdout
    assert "takes 600 s, and there is no time left" in done.stdout
