"""Which servers may any test ask for?"""

from collections.abc import Iterator

import pytest

from tests.support.rabbit import NotInstalledError, RabbitNode


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
    vhost = rabbit_node.add_vhost()
    yield vhost
    rabbit_node.delete_vhost(vhost)


@pytest.fixture
def rabbit_url(rabbit_node: RabbitNode, rabbit_vhost: str) -> str:
    """The URL of a vhost that only this test uses."""
    return rabbit_node.url(rabbit_vhost)
