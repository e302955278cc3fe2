"""What is a dashboard made of, and how does Grafana want it written?

Only what Grafana 9 to 12 read alike is used. Panels flow in a grid of 24 columns from left to right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

WIDTH: Final = 24
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


class Unit(StrEnum):
    """How Grafana writes a value."""

    COUNT = "short"
    SECONDS = "s"
    BYTES = "bytes"
    PER_SECOND = "ops"
    FLAG = "bool_on_off"


class Shape(StrEnum):
    LINES = "timeseries"
    NUMBER = "stat"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression. `legend` names a series by its labels; `window` stands for Grafana's `$__rate_interval`."""

    expression: str
    legend: str = ""

    def concrete(self, window: str, variables: dict[str, str]) -> str:
        """Write it as Prometheus takes it."""
        text = self.expression.replace("$__rate_interval", window)
        for name, value in variables.items():
            text = text.replace(f"${name}", value)
        return text


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `says` tells whoever looks what is normal and what to do otherwise."""

    title: str
    says: str
    queries: Sequence[Query]
    unit: Unit = Unit.COUNT
    shape: Shape = Shape.LINES
    width: int = 8
    height: int = 7
    alarm_above: float | None = None
    alarm_below: float | None = None

    def to_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        defaults: dict[str, Any] = {"unit": self.unit.value, "thresholds": self._thresholds()}
        return {
            "id": number,
            "type": self.shape.value,
            "title": self.title,
            "description": self.says,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": {} if self.shape is Shape.LINES else {"reduceOptions": {"calcs": ["lastNotNull"]}},
            "targets": [self._target(at, query) for at, query in enumerate(self.queries)],
        }

    def _target(self, at: int, query: Query) -> dict[str, Any]:
        return {
            "refId": chr(ord("A") + at),
            "datasource": SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            "range": self.shape is Shape.LINES,
            "instant": self.shape is not Shape.LINES,
            "format": "table" if self.shape is Shape.TABLE else "time_series",
        }

    def _thresholds(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.alarm_below is not None:
            steps = [{"color": "red", "value": None}, {"color": "green", "value": self.alarm_below}]
        if self.alarm_above is not None:
            steps.append({"color": "red", "value": self.alarm_above})
        return {"mode": "absolute", "steps": steps}


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable at the head of a dashboard: the values of a label."""

    name: str
    metric: str
    label: str

    def to_json(self) -> dict[str, Any]:
        query = f"label_values({self.metric}, {self.label})"
        return {
            "name": self.name,
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": query, "refId": self.name},
            "definition": query,
            "refresh": 2,
            "sort": 1,
        }


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    panels: Sequence[Panel]
    choices: Sequence[Choice] = field(default=())

    def to_json(self) -> dict[str, Any]:
        source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["onshi"],
            "schemaVersion": 38,
            "version": 1,
            "editable": False,
            "refresh": "30s",
            "timezone": "Asia/Tokyo",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": [source, *(choice.to_json() for choice in self.choices)]},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        x = y = row_height = 0
        for number, panel in enumerate(self.panels, 1):
            if x + panel.width > WIDTH:
                x, y, row_height = 0, y + row_height, 0
            yield panel.to_json(number, x, y)
            x, row_height = x + panel.width, max(row_height, panel.height)
