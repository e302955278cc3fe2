"""The page on sizing says what its figures say."""

import re

from benchmarks import report, rest
from benchmarks.figures import read


def test_the_page_is_what_the_figures_render() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert page == report.rendered(page, read(report.FIGURES), rest.read(report.FIGURES))


def test_rendering_again_changes_nothing_and_keeps_the_words_around() -> None:
    page = f"a\n{report.BEGIN}\nstale\n{report.END}\nb\n"
    rows, rests = read(report.FIGURES), rest.read(report.FIGURES)
    once = report.rendered(page, rows, rests)
    assert report.rendered(once, rows, rests) == once
    assert "stale" not in once
    assert (once.startswith("a\n"), once.endswith("b\n")) == (True, True)


def test_the_figures_name_nothing_of_the_machine_but_cores_and_memory() -> None:
    text = report.FIGURES.read_text(encoding="utf-8") + report.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"/(?:tmp|home|work|var)/|(?:\d+\.){3}\d+", text) == []


def test_every_setup_was_run_and_every_figure_is_of_a_run() -> None:
    from benchmarks.setups import SETUPS  # noqa: PLC0415

    own = [row for row in read(report.FIGURES) if row.product == report.THIS]
    assert {row.setup for row in own} == {setup.name for setup in SETUPS}
    assert all(row.files > 0 and row.seconds_to_certificate > 0 for row in own)
