"""Are the alert rules right, and are dashboards and the list of metrics those of the code?"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from pipeline.observing import reference
from pipeline.observing.dashboards import ALL
from tests.support.prometheus import tool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "infra/prometheus"
RULES = (PROMETHEUS / "rules.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)
OWN = re.compile(r"\bonshi_[a-z_]+")


def promtool(*words: str, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("promtool"), *words], cwd=folder, capture_output=True, text=True, check=False)


def test_the_rules_and_the_configuration_are_prometheus_own() -> None:
    for words in (("check", "rules", "rules.yml"), ("check", "config", "--syntax-only", "prometheus.yml")):
        answer = promtool(*words)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_each_alert_tells_a_person_in_time_and_not_before() -> None:
    answer = promtool("test", "rules", "rules.test.yml")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_no_alert_can_be_taken_away_unnoticed(tmp_path: Path) -> None:
    shutil.copy(PROMETHEUS / "rules.test.yml", tmp_path)
    (tmp_path / "rules.yml").write_text(re.sub(r"(alert: \w+)", r"\1Gone", RULES))
    answer = promtool("test", "rules", "rules.test.yml", folder=tmp_path)
    missed = set(re.findall(r'alertname=\\?"(\w+)', answer.stdout + answer.stderr))
    assert answer.returncode != 0
    assert set(ALERTS) - missed == set()
    assert len(ALERTS) == len(set(ALERTS)) > 20


def test_alerts_and_panels_ask_only_for_metrics_that_exist() -> None:
    asked = set(OWN.findall(RULES))
    asked.update(name for board in ALL for p in board.panels for q in p.queries for name in OWN.findall(q.expression))
    assert asked - reference.exposed_names() == set()


def test_what_every_instance_shows_of_the_store_is_never_added_up() -> None:
    """Two instances of the deletion role show the same figures; their sum says twice as much."""
    asked = [RULES, *(query.expression for board in ALL for panel in board.panels for query in panel.queries)]
    added = r"\bsum(?: by \([^)]*\))? ?\((?:delta\()?(onshi_[a-z_]+)"
    assert [name for text in asked for name in re.findall(added, text)] == []


def test_every_alert_leads_to_a_heading_of_the_operations_page() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-") for line in re.findall("(?m)^## .+", page)
    }
    assert set(re.findall(r"operations\.md#(\S+)", RULES)) - headings == set()


def test_the_dashboards_and_the_list_of_metrics_are_made_from_the_code() -> None:
    for board in ALL:
        written = (ROOT / f"infra/grafana/dashboards/{board.uid}.json").read_text()
        assert json.loads(written) == board.to_json(), "run `make generated`"
    assert (ROOT / "docs/metrics.md").read_text() == reference.page(), "run `make generated`"
