"""What does the AsyncAPI 3 document say? Written from where a vendor stands: it receives.

The AMQP binding has no word for a queue's arguments, so those of the stream stand in `x-rabbitmq-arguments`.
"""

import json
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

from pipeline.asyncapi.examples import examples, headers_of
from pipeline.asyncapi.schemas import name_of, person_schema, schema_of
from pipeline.broker.definitions import stream_arguments
from pipeline.topology import StreamSpec, vendor_stream
from pipeline.vendor_events import NOTICES, Notice

_SCHEMAS: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = """\
Results of online eligibility confirmation (オンライン資格確認) and what became of them, as one RabbitMQ stream for \
each vendor. Patients are pseudonyms of your own; the record itself comes only where it was granted for its kind, \
encrypted to your key. Events come at least once: drop an `event_id` that you have. The guide is `docs/vendors.md`.\
"""


def document() -> dict[str, Any]:
    """Make the document."""
    names = [name_of(notice) for notice in NOTICES]
    refs = [{"$ref": f"#/channels/vendorStream/messages/{name}"} for name in names]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Onshi: result topics for vendors",
            "version": version("onshi"),
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {
            "group": {
                "host": "broker.group.example:5671",
                "protocol": "amqps",
                "protocolVersion": "0.9.1",
                "description": "The broker of the group of clinics: TLS 1.3, your client certificate, SASL EXTERNAL.",
            }
        },
        "channels": {"vendorStream": _channel(names)},
        "operations": {
            "receiveEvents": {
                "action": "receive",
                "channel": {"$ref": "#/channels/vendorStream"},
                "summary": "Consume your stream from an offset or a time on, with prefetch and acknowledgements.",
                "messages": refs,
                "bindings": {"amqp": {"ack": True, "bindingVersion": "0.3.0"}},
            }
        },
        "components": {
            "messages": {name_of(notice): _message(notice) for notice in NOTICES},
            "schemas": _schemas(),
        },
    }


def text() -> str:
    """Render `docs/vendors/asyncapi.json`."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(names: list[str]) -> dict[str, Any]:
    stream = StreamSpec(vendor_stream("{vendor}"), timedelta(days=7))
    return {
        "address": stream.name,
        "title": "The stream of one vendor",
        "description": "A RabbitMQ stream (x-queue-type: stream), seven days long unless agreed otherwise.",
        "servers": [{"$ref": "#/servers/group"}],
        "parameters": {"vendor": {"description": "Your id, as agreed.", "examples": ["acme"]}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": stream.name,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                    "vhost": "onshi",
                },
                "bindingVersion": "0.3.0",
            }
        },
        "x-rabbitmq-arguments": stream_arguments(stream),
    }


def _message(notice: type[Notice]) -> dict[str, Any]:
    body = examples()[notice]
    return {
        "name": notice.type_name(),
        "title": name_of(notice),
        "summary": (notice.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": {"$ref": _SCHEMAS.format(model="Headers")},
        "payload": {"$ref": _SCHEMAS.format(model=name_of(notice))},
        "bindings": {"amqp": {"messageType": notice.type_name(), "bindingVersion": "0.3.0"}},
        "examples": [{"name": "invented", "headers": headers_of(body), "payload": body}],
    }


def _schemas() -> dict[str, Any]:
    made: dict[str, Any] = {"Headers": headers_schema(), "PersonResult": person_schema()}
    for notice in NOTICES:
        schema = schema_of(notice, _SCHEMAS)
        schema.pop("$defs", None)
        made[name_of(notice)] = schema
    return made


def headers_schema() -> dict[str, Any]:
    """Describe the headers of every event: CloudEvents 1.0 in binary mode."""
    words = {
        "cloudEvents_specversion": {"const": "1.0", "type": "string", "description": "CloudEvents 1.0, binary mode."},
        "cloudEvents_id": {"type": "string", "format": "uuid", "description": "The same as `event_id`."},
        "cloudEvents_source": {"type": "string", "description": "`/onshi/` and the clinic."},
        "cloudEvents_type": {"type": "string", "description": "The same as `type`."},
        "cloudEvents_time": {"type": "string", "format": "date-time", "description": "When it was sent. UTC."},
        "x-stream-offset": {
            "type": "integer",
            "minimum": 0,
            "description": "Where it stands in your stream; the broker adds it. Store it, and go on from the next.",
        },
    }
    return {"type": "object", "properties": words, "required": list(words)}
