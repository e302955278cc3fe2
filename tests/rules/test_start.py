"""Does a process load only what it works with? What one role needs, every other would pay for at each start."""

import json
import subprocess
import sys

import pytest

_LOADED = """
import sys, json
for name in sys.argv[1:]:
    __import__(name)
print(json.dumps(sorted(sys.modules)))
"""

STORE = {"sqlalchemy", "alembic", "psycopg", "pipeline.runner"}
TABLES = {"rich"}
RABBITMQ = {"pika"}
GROUP = {"cryptography.x509", "pipeline.authority", "pipeline.expiry", "joserfc"}
RECORDS = {"pipeline.oqs.records", "pipeline.oqs.eligibility"}


def loaded(*modules: str) -> set[str]:
    run = subprocess.run([sys.executable, "-c", _LOADED, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (["pipeline.cli.main"], STORE | TABLES | RABBITMQ | GROUP | RECORDS | {"pydantic", "cryptography"}),
        (
            # Both edges, on the embedded broker: what a clinic's own machine starts.
            ["pipeline.cli.session", "pipeline.broker.embedded", "producers.chart.role", "producers.terminal.role"],
            STORE | TABLES | RABBITMQ | GROUP | RECORDS | {"consumers"},
        ),
        (
            ["pipeline.cli.session", "pipeline.cli.centre", "pipeline.broker.embedded", "consumers.parsing"],
            {"alembic", "sqlalchemy.dialects.postgresql"} | TABLES | RABBITMQ | GROUP | {"producers", "watchfiles"},
        ),
        (
            ["pipeline.cli.status"],
            {"alembic", "pipeline.runner", "producers.terminal.role", "lxml"} | TABLES | RABBITMQ | GROUP | RECORDS,
        ),
    ],
    ids=["a word of the command line", "edges", "parsing", "status"],
)
def test_a_process_loads_nothing_it_does_not_work_with(modules: list[str], unwanted: set[str]) -> None:
    assert loaded(*modules) & unwanted == set()
