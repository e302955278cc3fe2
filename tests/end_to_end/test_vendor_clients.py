"""The clients of the guide: each event once, also when they were killed in between. They use what is published only."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import ECKey

from consumers.publication.records import VendorKeys
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.envelope import enclose, pack, write
from pipeline.topology import Reader, build
from pipeline.vendor_events import Notice, RecordReconciledNotice
from tests.support.eventually import eventually
from tests.support.node import NodeMissingError, installed
from tests.support.rabbit import RabbitNode
from tests.support.rights_proxy import RightsProxy

pytestmark = pytest.mark.rabbitmq
CLIENTS = Path(__file__).parents[2] / "docs" / "vendors" / "clients"
NOW = datetime(2026, 5, 12, tzinfo=UTC)
HALF = 40


def python_client() -> list[str]:
    return [sys.executable, str(CLIENTS / "subscribe.py")]


def node_client() -> list[str]:
    try:
        return ["node", str(installed(CLIENTS) / "subscribe.mjs")]
    except NodeMissingError as missing:
        pytest.fail(str(missing), pytrace=False)


def notice(number: int, public_key: Path, vendor: str = "acme") -> Notice:
    handle = f"{number:032x}"
    content = json.dumps({"handle": handle, "revision": 1, "record": {"schema_kind": "eligibility"}}).encode()
    return RecordReconciledNotice(
        clinic="c001",
        edge=vendor,
        source_id=f"source-{number}",
        at=NOW + timedelta(seconds=number),
        kind="face",
        handle=handle,
        revision=1,
        needs_review=False,
        processed_at=NOW,
        results=(),
        record_state="sealed",
        record=VendorKeys().encrypt(vendor, public_key, content),
    )


class Client:
    """A client of the guide as a process; its journal is its memory."""

    def __init__(
        self,
        command: list[str],
        url: str,
        root: Path,
        private_key: Path,
        *,
        vendor: str = "acme",
        tls: Mapping[str, Path] | None = None,
    ) -> None:
        self.journal = root / "events.jsonl"
        words: list[object] = [
            "--url",
            url,
            "--vendor",
            vendor,
            "--journal",
            self.journal,
            "--private-key",
            private_key,
        ]
        words += [part for pair in (tls or {}).items() for part in pair]
        self._command = [*command, *map(str, words)]
        self._log = root / "client.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def entries(self) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        return [
            json.loads(line) for line in self.journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
        ]

    def log(self) -> str:
        return self._log.read_text()


def make_key(root: Path) -> None:
    key = ECKey.generate_key("P-256")
    (root / "public.jwk").write_text(json.dumps(key.as_dict(private=False)))
    (root / "private.jwk").write_text(json.dumps(key.as_dict(private=True)))


@pytest.fixture
def proxy(rabbit_node: RabbitNode) -> Iterator[RightsProxy]:
    """Between the client and a broker that tells nobody whether a queue is there."""
    with RightsProxy(rabbit_node.port) as made:
        yield made


@pytest.fixture
def started(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str, proxy: RightsProxy
) -> Iterator[Callable[[list[str]], Client]]:
    clients: list[Client] = []

    def start(command: list[str]) -> Client:
        make_key(tmp_path)
        RabbitBroker(rabbit_url).declare(build((), [Reader("acme", timedelta(days=7))]))
        url = rabbit_url.replace(f":{rabbit_node.port}/", f":{proxy.port}/")
        clients.append(Client(command, url, tmp_path, tmp_path / "private.jwk"))
        clients[0].start()
        return clients[0]

    yield start
    for client in clients:
        client.kill()


@pytest.mark.parametrize("command", [python_client, node_client], ids=["python", "node"])
def test_a_client_sees_every_event_once_and_goes_on_after_a_kill(
    command: Callable[[], list[str]],
    started: Callable[[list[str]], Client],
    tmp_path: Path,
    rabbit_url: str,
    proxy: RightsProxy,
) -> None:
    client = started(command())
    publisher = RabbitBroker(rabbit_url).publisher()
    wanted = [notice(number, tmp_path / "public.jwk") for number in range(2 * HALF)]

    def publish(notices: list[Notice]) -> None:
        publisher.publish_confirmed(pack(write(enclose(each, NOW)) for each in notices))

    publish(wanted[:HALF])
    eventually(lambda: len(client.entries()) == HALF, 60, client.log())
    client.kill()
    with client.journal.open("ab") as torn:
        torn.write(b'{"offset": 4')
    # The last one comes a second time, as after a crash of publication.
    publish([wanted[HALF - 1], *wanted[HALF:]])
    client.start()
    eventually(lambda: len(client.entries()) >= 2 * HALF, 60, client.log())
    entries = client.entries()
    publisher.close()
    assert [entry["event"]["event_id"] for entry in entries] == [each.id for each in wanted]
    assert [entry["offset"] for entry in entries] == [*range(HALF), *range(HALF + 1, 2 * HALF + 1)]
    assert client.log().count("record of 1 fields") == 2 * HALF
    assert proxy.asked == [], "no client needs what RabbitMQ 4.2.6 and 4.3.0 refuse"


@pytest.mark.parametrize("command", [python_client, node_client], ids=["python", "node"])
def test_a_client_replays_from_an_offset_with_the_key_that_openssl_wrote(
    command: Callable[[], list[str]], tmp_path: Path, rabbit_url: str
) -> None:
    key = generate_private_key(SECP256R1())
    (tmp_path / "public.pem").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "private.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    broker = RabbitBroker(rabbit_url)
    broker.declare(build((), [Reader("acme", timedelta(days=7))]))
    publisher = broker.publisher()
    publisher.publish_confirmed(pack(write(enclose(notice(n, tmp_path / "public.pem"), NOW)) for n in range(4)))
    publisher.close()
    client = Client([*command(), "--from", "2"], rabbit_url, tmp_path, tmp_path / "private.pem")
    try:
        client.start()
        eventually(lambda: len(client.entries()) == 2, 60, client.log())
    finally:
        client.kill()
    assert [entry["offset"] for entry in client.entries()] == [2, 3]
    assert client.log().count("record of 1 fields") == 2


@pytest.mark.parametrize("command", [python_client, node_client], ids=["python", "node"])
def test_a_client_from_next_misses_nothing_though_it_cannot_connect_at_first(
    command: Callable[[], list[str]],
    tmp_path: Path,
    rabbit_url: str,
    rabbit_node: RabbitNode,
    proxy: RightsProxy,
) -> None:
    make_key(tmp_path)
    broker = RabbitBroker(rabbit_url)
    broker.declare(build((), [Reader("acme", timedelta(days=7))]))
    url = rabbit_url.replace(f":{rabbit_node.port}/", f":{proxy.port}/")
    proxy.cut(refuse=True)
    client = Client([*command(), "--from", "next"], url, tmp_path, tmp_path / "private.jwk")
    publisher = broker.publisher()
    try:
        client.start()
        eventually(lambda: "away" in client.log(), 60)
        publisher.publish_confirmed(pack(write(enclose(notice(n, tmp_path / "public.jwk"), NOW)) for n in range(3)))
        proxy.restore()
        eventually(lambda: len(client.entries()) == 3, 60, client.log())
    finally:
        client.kill()
        publisher.close()


@pytest.mark.parametrize("text", ["2026-05-12", "2026-05-12T09:00", "2026-05-12T09:00+09:00", "2026-05-12T00:00Z"])
def test_both_clients_mean_the_same_instant_by_a_time(text: str) -> None:
    said = [start_of(*client, text) for client in (PYTHON_START, NODE_START)]
    assert [each.returncode for each in said] == [0, 0], said
    assert said[0].stdout == said[1].stdout


@pytest.mark.parametrize("client", ["python", "node"])
def test_a_client_refuses_what_is_no_time(client: str) -> None:
    assert start_of(*(PYTHON_START if client == "python" else NODE_START), "yesterday").returncode != 0


@pytest.mark.parametrize("start", ["next", "last"])
def test_the_python_client_passes_nothing_over_when_the_broker_ends_its_reading(tmp_path: Path, start: str) -> None:
    """A stream's node that goes down ends the consumer, not the connection: nothing is raised."""
    said = subprocess.run(
        [sys.executable, "-c", END_PYTHON, str(CLIENTS), start], cwd=tmp_path, capture_output=True, check=True
    )
    assert said.stdout.split() == [start.encode(), b"datetime"]


END_PYTHON = """
import sys
sys.path[:0] = [sys.argv[1]]
import subscribe
starts = []
def read(options, journal):
    starts.append(options.start)
    print(options.start if isinstance(options.start, str) else type(options.start).__name__)
    if len(starts) > 1:
        raise KeyboardInterrupt
subscribe.read = read
subscribe.PAUSE_SECONDS = 0
sys.argv[1:] = ["--url", "amqp://x", "--vendor", "acme", "--from", sys.argv[2]]
subscribe.main()
"""
ASK_PYTHON = """
import sys
sys.path[:0] = [sys.argv[1]]
from subscribe import start_of
print(int(start_of(sys.argv[2]).timestamp()))
"""
ASK_NODE = """
const text = require('fs').readFileSync(`${process.argv[1]}/subscribe.mjs`, 'utf8');
const [start] = text.match(/^function startOf[^]*?^}/m);
console.log(eval(`(${start})`)(process.argv[2]).value);
"""
PYTHON_START = (sys.executable, "-c", ASK_PYTHON, str(CLIENTS))
NODE_START = ("node", "-e", ASK_NODE, str(CLIENTS))


def start_of(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Ask a client which instant is meant, on a machine in Japan."""
    return subprocess.run(words, env={**os.environ, "TZ": "Asia/Tokyo"}, capture_output=True, check=False)
