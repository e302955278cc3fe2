"""What is published of the cluster is what its figures say, and nothing broken is left out."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import cluster_report as report
from tests.support.cluster_run import FIGURES, Fault, Kept, Loss, kept
from tests.support.figures import BROKEN, HELD, Figures
from tests.support.matrix import OF_A_CLUSTER
from tests.support.published import PAGE, read
from tests.support.rabbit_cluster import CONFIGURATION

ROOT = Path(__file__).parents[2]


def run(outcome: str = HELD, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "scenario": next(iter(OF_A_CLUSTER)),
        "outcome": outcome,
        "files": 100,
        "lost": 0,
        "duplicates": 0,
        "false_certificates": 0,
        "wrong_erasures": 0,
        "seed": 7,
        "why": "",
        "losses": [loss(0.5), loss(9.0, "a node hangs")],
        "told_twice": 3,
    }
    return values | changes


def loss(seconds: float, fault: str = "a node is killed") -> dict[str, Any]:
    times = {"next_seconds": seconds, "whole_way_seconds": seconds + 1, "back_seconds": None}
    return {"fault": fault, "led": 4, "queues": 9, **times}


def test_the_table_of_the_page_is_what_the_figures_render() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == report.rendered(page, read([report.FIGURES]))


def test_of_several_runs_the_longest_times_are_published() -> None:
    told = report.table([run(), run(losses=[loss(2.25)])])
    assert "| a node is killed | 4 of 9 | 2.2 | 3.2 |  |" in told
    assert "| a node hangs | 4 of 9 | 9.0 | 10.0 |  |" in told
    assert "2 runs, 0 broken; 200 files, 0 lost" in told


def test_a_broken_run_is_published_as_broken() -> None:
    told = report.table([run(), run(BROKEN, lost=None, false_certificates=None, told_twice=None, why="late\nx")])
    assert "2 runs, 1 broken; 200 files, 0 (unknown of 1) lost" in told
    assert "Broken (seed 7): late" in told


class Run:
    """As much of a scenario as its figures need."""

    def figures(self, outcome: str, why: str = "") -> Figures:
        return Figures("x", outcome, "RabbitMQ", "PostgreSQL", 1, 1, 0, 0, 0, 0, 0.0, 0.0, 7, why)


def test_a_run_that_breaks_is_kept_with_what_it_had_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FIGURES, str(tmp_path / "build" / "figures"))

    def broken(own: Kept) -> None:
        own.losses.append(Loss(Fault("a node is killed", 4, 9, 0.0).words, 4, 9, 0.5, 1.5))
        raise AssertionError("late")

    with pytest.raises(AssertionError), kept(Run()) as own:  # type: ignore[arg-type]
        broken(own)
    (row,) = read([tmp_path / "build" / "figures"])
    assert (row["outcome"], row["why"], len(row["losses"])) == (BROKEN, "AssertionError: late", 1)


def test_the_file_for_operators_is_the_one_that_is_tried_and_names_three_nodes() -> None:
    assert CONFIGURATION == ROOT / "infra/rabbitmq/cluster/rabbitmq.conf"
    text = CONFIGURATION.read_text(encoding="utf-8")
    named = re.findall(r"^cluster_formation\.classic_config\.nodes\.\d = rabbit@(\w+)$", text, re.MULTILINE)
    assert named == ["broker1", "broker2", "broker3"]
    assert "\ncluster_partition_handling = pause_minority\n" in text
    handbook = (CONFIGURATION.parent / "README.md").read_text(encoding="utf-8")
    (url,) = set(re.findall(r"amqps://\S+?/onshi", handbook))
    for page in (handbook, (ROOT / "docs/group.md").read_text(encoding="utf-8")):
        assert url in page
    assert all(f"{name}:5671" in url for name in named)
