"""How does the reference look to a person? One file without a script, made from the AsyncAPI document."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from pipeline.asyncapi.document import document
from pipeline.asyncapi.examples import routing_keys
from pipeline.asyncapi.schemas import name_of
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.vendor_events import NOTICES, PUBLIC_KINDS
from pipeline.verdicts import Verdict


def page() -> str:
    """Render `docs/vendors/index.html`."""
    made = document()
    schemas = made["components"]["schemas"]
    server, channel = made["servers"]["group"], made["channels"]["vendorStream"]
    template = Template(files("pipeline.asyncapi").joinpath("page.html").read_text(encoding="utf-8"))
    arguments = (f"<code>{escape(k)}</code> = {escape(str(v))}" for k, v in channel["x-rabbitmq-arguments"].items())
    return template.substitute(
        title=escape(made["info"]["title"]),
        version=escape(made["info"]["version"]),
        description=_prose(made["info"]["description"]),
        contents="\n".join(f'<li><a href="#{name_of(n)}"><code>{name_of(n)}</code></a></li>' for n in NOTICES),
        host=escape(server["host"]),
        protocol=escape(server["protocol"]),
        protocol_version=escape(server["protocolVersion"]),
        server_description=_prose(server["description"]),
        address=escape(channel["address"]),
        channel_description=_prose(channel["description"]),
        arguments=", ".join(arguments),
        headers=_fields(schemas["Headers"], schemas),
        events="\n".join(_event(made, name_of(notice), routing_keys()[notice]) for notice in NOTICES),
        verdicts=_table(("code", "結果"), ((f"<code>{v.value}</code>", escape(v.label)) for v in Verdict)),
        kinds=_list(PUBLIC_KINDS),
        categories=_list([category.value for category in ConsentCategory]),
    )


def _event(made: Mapping[str, Any], name: str, routing_key: str) -> str:
    message, schemas = made["components"]["messages"][name], made["components"]["schemas"]
    example = json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
    return "\n".join(
        [
            f'<h3 id="{name}"><code>{escape(message["name"])}</code> <span class="tag">{name}</span></h3>',
            f"<p>{_prose(message['summary'])}</p>",
            f'<p class="soft">Routing key as <code>{escape(routing_key)}</code></p>',
            _fields(schemas[name], schemas),
            f"<details><summary>Example</summary><pre><code>{escape(example)}</code></pre></details>",
        ]
    )


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    return _table(("field", "type", "meaning"), _rows(schema, schemas, ""))


def _rows(schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str) -> Iterable[Sequence[str]]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        optional = "" if name in required else ' <span class="tag">optional</span>'
        meaning = _prose(field.get("description", "")) + optional
        yield f"<code>{escape(prefix + name)}</code>", _type(field), meaning
        inner = field.get("items", {}).get("$ref")
        if inner:
            yield from _rows(schemas[inner.rpartition("/")[2]], schemas, f"{prefix}{name}[].")


def _type(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return f"<code>{escape(str(field['const']))}</code>"
    if "enum" in field:
        return " · ".join(f"<code>{escape(value)}</code>" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"])
    if field.get("type") == "array":
        return f"array of {_type(field['items'])}" if "type" in field["items"] else "array"
    return escape(field.get("format") or field.get("type", "object"))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="rows">\n<tr>{head}</tr>\n{body}\n</table></div>'


def _list(words: Iterable[str]) -> str:
    return " · ".join(f"<code>{escape(word)}</code>" for word in words)


def _prose(text: str) -> str:
    """Escape a sentence; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
