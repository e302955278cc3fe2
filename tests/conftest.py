"""Which servers may any test ask for?"""

import logging
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.support import postgres
from tests.support.postgres import PostgresNode
from tests.support.rabbit import NotInstalledError, RabbitNode

# A busy machine is slow, and no law is broken by that.
settings.register_profile("without haste", deadline=None)
settings.load_profile("without haste")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.support.scheduling import GroupScheduling  # noqa: PLC0415 - one process of several, if there are several

    return GroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed on a broker shows what the broker had to say."""
    report = yield
    node = getattr(item, "funcargs", {}).get("rabbit_node")
    if report.failed and isinstance(node, RabbitNode):
        report.sections.append(("the broker's errors", node.complaints()))
    return report


@pytest.fixture(autouse=True)
def the_logs_go_where_they_went() -> Iterator[None]:
    """A command that is run in this process sends the logs to its own standard error, which ends with its test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[RabbitNode]:
    """One private node for the session. A test that kills it starts it again."""
    try:
        node = RabbitNode()
    except NotInstalledError as missing:
        pytest.fail(str(missing), pytrace=False)
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture
def rabbit_vhost(rabbit_node: RabbitNode) -> Iterator[str]:
    vhost, starts = rabbit_node.add_vhost(), rabbit_node.starts
    yield vhost
    # RabbitMQ 3.10 can lose the supervisor of all its dead-letter workers when queues are deleted while their leaders
    # are still being elected, and then answers every declaration with 541. A vhost whose node came back stays.
    if rabbit_node.starts == starts:
        rabbit_node.delete_vhost(vhost)


@pytest.fixture
def rabbit_url(rabbit_node: RabbitNode, rabbit_vhost: str) -> str:
    """The URL of a vhost that only this test uses."""
    return rabbit_node.url(rabbit_vhost)


@pytest.fixture(scope="session")
def postgres_node() -> Iterator[PostgresNode]:
    """One private cluster for the session."""
    if postgres.binaries() is None:
        pytest.fail(postgres.MISSING, pytrace=False)
    node = PostgresNode()
    yield node
    node.close()


@pytest.fixture
def postgresql_url(postgres_node: PostgresNode) -> str:
    """The URL of a database that only this test uses."""
    return postgres_node.database()
