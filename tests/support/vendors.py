"""How does a test get vendors: their keys, their tables of the configuration, and what lies in their streams?"""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey

from pipeline.broker.port import TopologyError
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.broker.tls import Certificates
from pipeline.topology import vendor_stream


@dataclass(frozen=True)
class Told:
    """One event as a vendor received it."""

    offset: int
    routing_key: str
    headers: dict[str, Any]
    body: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.headers["cloudEvents_id"])


def make_key(path: Path) -> ECKey:
    """Draw a vendor's pair, and leave the public half where the vendor hands it in."""
    key = ECKey.generate_key("P-256", {"kid": path.stem, "use": "enc"})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(key.as_dict(private=False)))
    return key


def table(vendor: str, **values: object) -> str:
    """Write one `[[vendors]]` table."""
    values = {"clinics": "*", **values}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["[[vendors]]", f'id = "{vendor}"', *lines, "", ""])


def told(
    url: str, vendor: str, wait: timedelta = timedelta(seconds=1), certificates: Certificates | None = None
) -> list[Told]:
    """Read a vendor's stream from its first event to its end; an end is where nothing comes for `wait`."""
    try:
        subscription = RabbitBroker(url, certificates).read_stream(vendor_stream(vendor), "first", 100)
    except TopologyError:
        return []
    try:
        found: list[Told] = []
        while deliveries := subscription.receive(100, wait):
            found += [
                Told(int(d.headers["x-stream-offset"]), d.routing_key, dict(d.headers), json.loads(d.body))
                for d in deliveries
            ]
            subscription.ack(deliveries)
        return found
    finally:
        subscription.close()


def opened(record: str, key: ECKey) -> dict[str, Any]:
    """Open a record as its vendor does."""
    found = jwe.decrypt_compact(record, key, algorithms=["ECDH-ES+A256KW", "A256GCM"])
    assert found.plaintext is not None
    content: dict[str, Any] = json.loads(found.plaintext)
    return content
