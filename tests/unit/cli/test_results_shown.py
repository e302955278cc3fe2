"""What reception staff read under the result list: which step is theirs, and by what it is said."""

from typing import Any

import pytest

from pipeline.cli.results import _show_with_step


def row(*, needs_review: bool) -> dict[str, Any]:
    names = ("reference_number", "insurer_number", "symbol", "number", "branch_number", "name", "kana", "confirmed_at")
    found: dict[str, Any] = dict.fromkeys(names)
    return {
        **found,
        "file_id": "f1",
        "result": 2,
        "verdicts": ["multiple_coverages"],
        "candidates": ["0000007", "0000008"],
        "needs_review": needs_review,
    }


def test_a_list_with_something_to_review_names_the_list_that_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    _show_with_step([row(needs_review=True), row(needs_review=False)], review_only=False)
    said = capsys.readouterr().out
    assert "要確認 1 件" in said
    assert "f1#2" not in said
    _show_with_step([row(needs_review=False)], review_only=False)
    assert "要確認 0" not in capsys.readouterr().out


def test_a_list_for_review_shows_candidates_and_the_id_that_confirm_takes(capsys: pytest.CaptureFixture[str]) -> None:
    _show_with_step([row(needs_review=True)], review_only=True)
    said = capsys.readouterr().out
    for part in ("f1#2", "0000007 0000008", "onshi results confirm 結果ID"):
        assert part in said
