"""Read your stream to its end and on, and miss nothing: an example to begin with.

    pip install "pika>=1.4,<2" joserfc
    python subscribe.py --url amqps://broker.group.example:5671/onshi --vendor acme \
        --ca ca.crt --cert vendor.acme.crt --key vendor.acme.key --private-key acme.private.pem

What was handled stands in a journal, one line for each event, on the disk before the event is acknowledged. After
whatever happened, reading goes on behind the last line; an event that comes twice is known by its `event_id`.
A new journal begins at `--from`: `first`, `last`, `next`, an offset, or a time as 2026-05-12T09:00+09:00. So a replay
is a journal of its own.
"""

import argparse
import json
import os
import ssl
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pika
from joserfc import jwe
from joserfc.jwk import Key, import_key
from pika.adapters.blocking_connection import BlockingChannel
from pika.credentials import ExternalCredentials
from pika.exceptions import AMQPError

PREFETCH = 100
PAUSE_SECONDS = 5


class Journal:
    """Which events were handled, and how far the stream was read. A last line cut short never happened."""

    def __init__(self, path: Path) -> None:
        self.next_offset: int | None = None
        self.known: set[str] = set()
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            entry = json.loads(line)
            self.next_offset = entry["offset"] + 1
            self.known.add(entry["event"]["event_id"])
        if whole != content:
            os.truncate(path, len(whole))
        self._file = path.open("ab")

    def add(self, offset: int, event: dict) -> None:
        self._file.write(json.dumps({"offset": offset, "event": event}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.next_offset = offset + 1
        self.known.add(event["event_id"])


def handle(event: dict, record: dict | None) -> None:
    """Do your own work here. It must be finished, or safe to do again, when this returns."""
    opened = "" if record is None else f" record of {len(record['record'])} fields"
    print(f"{event['at']} {event['type']} {event['clinic']} {event['kind']} {event['handle']}{opened}", flush=True)


def read_key(path: Path) -> Key:
    """Read your private half: a JWK, or the PEM that openssl wrote."""
    content = path.read_bytes()
    if not content.startswith(b"-----BEGIN"):
        return import_key(json.loads(content))
    try:
        return import_key(content, "EC")
    except ValueError:
        return import_key(content, "OKP")


def open_record(event: dict, private_key: Path | None) -> dict | None:
    """Open the record of an event, where it has one and it is for you."""
    if private_key is None or not event.get("record"):
        return None
    content = jwe.decrypt_compact(
        event["record"], read_key(private_key), algorithms=["ECDH-ES+A256KW", "A256GCM"]
    ).plaintext
    record = json.loads(content or b"")
    if (record["handle"], record["revision"]) != (event["handle"], event["revision"]):
        raise ValueError("the record belongs to another event")
    return record


def parameters(options: argparse.Namespace) -> pika.URLParameters:
    made = pika.URLParameters(options.url)
    made.heartbeat = 20
    if options.ca:
        context = ssl.create_default_context(cafile=options.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(options.cert, options.key)
        made.ssl_options = pika.SSLOptions(context, made.host)
        made.credentials = ExternalCredentials()
    return made


def read(options: argparse.Namespace, journal: Journal) -> None:
    """Read until the connection ends, or the broker ends the reading alone."""
    with pika.BlockingConnection(parameters(options)) as connection:
        read_from(connection.channel(), options, journal)


def read_from(channel: BlockingChannel, options: argparse.Namespace, journal: Journal) -> None:
    channel.basic_qos(prefetch_count=PREFETCH)
    start = options.start if journal.next_offset is None else journal.next_offset
    stream = f"vendor.{options.vendor}"
    for method, properties, body in channel.consume(stream, arguments={"x-stream-offset": start}):
        offset, event = properties.headers["x-stream-offset"], json.loads(body)
        # A broker hands out whole chunks: the first events may lie before the offset that was asked for.
        is_before = journal.next_offset is not None and offset < journal.next_offset
        if not is_before and event["event_id"] not in journal.known:
            handle(event, open_record(event, options.private_key))
            journal.add(offset, event)
        channel.basic_ack(method.delivery_tag)


def start_of(text: str) -> str | int | datetime:
    """Read where a new journal begins; a time without a zone is that of this machine."""
    if text in ("first", "last", "next"):
        return text
    return int(text) if text.isdecimal() else datetime.fromisoformat(text).astimezone(UTC)


def main() -> int:
    parser = argparse.ArgumentParser(description="Read a vendor's stream.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--vendor", required=True)
    parser.add_argument("--journal", type=Path, default=Path("events.jsonl"))
    parser.add_argument("--from", dest="start", type=start_of, default="first")
    parser.add_argument("--ca")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--private-key", type=Path)
    options = parser.parse_args()
    journal = Journal(options.journal)
    if journal.next_offset is None and isinstance(options.start, int):
        journal.next_offset = options.start
    began = datetime.now(UTC)
    while True:
        try:
            read(options, journal)
            print("away: the broker ended the consumer", file=sys.stderr, flush=True)
        except (AMQPError, OSError) as error:
            print(f"away: {type(error).__name__}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            return 0
        # Named anew, these would be later places: what came meanwhile must not be passed over.
        options.start = began if options.start in ("last", "next") else options.start
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
