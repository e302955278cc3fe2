"""On what is measured? Brokers, stores and instances, each opened as private servers that end with the measurement."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.costs import Tree
from tests.support.postgres import PostgresNode
from tests.support.rabbit import RabbitNode
from tests.support.site import ROLES_OF_A_CENTRE, Site

EDGES: Final = ("terminal", "chart")
EMBEDDED: Final = "embedded"
RABBITMQ: Final = "RabbitMQ"
SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Setup:
    """What one run is made of. `instances` of each centre role, each a process of its own."""

    broker: str
    store: str
    instances: int = 1

    @property
    def name(self) -> str:
        return f"{self.broker} + {self.store}, {self.instances} of each"


SETUPS: Final = (
    Setup(EMBEDDED, SQLITE),
    Setup(RABBITMQ, SQLITE),
    Setup(RABBITMQ, SQLITE, 2),
    Setup(RABBITMQ, POSTGRESQL),
    Setup(RABBITMQ, POSTGRESQL, 2),
)


@dataclass(slots=True)
class Place:
    """An installation whose roles run, and what it runs on. `trees` are its processes by the name they have here."""

    setup: Setup
    site: Site
    trees: dict[str, list[Tree]]
    rabbit: RabbitNode | None = None
    postgres: PostgresNode | None = None
    product: Path | None = field(default=None)

    @property
    def state(self) -> Path:
        return self.site.settings.state


@contextmanager
def opened(setup: Setup, root: Path, product: Path | None = None, others: str = "") -> Iterator[Place]:
    """Open servers and an installation; nothing runs yet.

    `product`: another tree whose roles are run. `others`: more clinics, as configuration.
    """
    with ExitStack() as stack:
        rabbit = stack.enter_context(RabbitNode()) if setup.broker == RABBITMQ else None
        postgres = PostgresNode() if setup.store == POSTGRESQL else None
        if postgres:
            stack.callback(postgres.close)
        site = Site(
            root / "site",
            broker=rabbit.url() if rabbit else "embedded:",
            store=postgres.database() if postgres else None,
            others=others,
        )
        stack.callback(site.close)
        # As often as by default: the tests want to be told sooner.
        site.environment = {"ONSHI_EDGE_REPORT_SECONDS": "60"}
        if product:
            # Without the current folder, which would come before it.
            site.environment |= {"PYTHONPATH": os.fspath(product), "PYTHONSAFEPATH": "1"}
        yield Place(setup, site, {}, rabbit, postgres, product)


def start(place: Place) -> None:
    """Start every role as an operator does: one process on the embedded broker, one for each on RabbitMQ."""
    trees = place.trees
    if place.setup.broker == EMBEDDED:
        trees["all roles"] = [Tree(place.site.start().pid)]
    else:
        for role in EDGES:
            trees[role] = [Tree(place.site.start(role).pid)]
        for role in ROLES_OF_A_CENTRE:
            trees[role.value] = [Tree(place.site.start(role.value).pid) for _ in range(place.setup.instances)]
    if place.rabbit:
        trees["RabbitMQ"] = [Tree(place.rabbit.pid)]
    if place.postgres:
        trees["PostgreSQL"] = [Tree(place.postgres.pid)]
