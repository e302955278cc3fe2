"""Which JSON Schema (2020-12) has each event for vendors?

A schema says what is promised, not all that may come: fields may be added within a major version, so none of them
forbids more.
"""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from pipeline.vendor_events import NOTICES, Notice, PersonResult

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


class _Promised(GenerateJsonSchema):
    """Leaves out what is only ours: generated titles, and that the model itself takes no more fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("additionalProperties", None)
        return made


def name_of(notice: type[Notice]) -> str:
    """Name an event's schema: `record.reconciled.v1`."""
    return f"{notice.subject}.{notice.verb}.v{notice.major}"


def schema_of(notice: type[Notice], ref_template: str = "#/$defs/{model}") -> Schema:
    """Make the schema of one event's body."""
    made = notice.model_json_schema(mode="serialization", schema_generator=_Promised, ref_template=ref_template)
    properties = made["properties"]
    properties["type"] = {
        "const": notice.type_name(),
        "type": "string",
        "description": properties["type"]["description"],
    }
    properties["event_id"] = {
        "type": "string",
        "format": "uuid",
        "description": properties["event_id"]["description"],
    }
    made["title"] = name_of(notice)
    # Who the event is and what it is about comes first, for whoever reads it.
    first = ("event_id", "type", "at", "clinic", "kind", "handle")
    made["properties"] = {name: properties[name] for name in (*first, *(n for n in properties if n not in first))}
    made["required"] = [name for name in made["properties"] if name in made["required"]]
    return made


def person_schema() -> Schema:
    """Make the schema of one row of the result list, which the events refer to."""
    return PersonResult.model_json_schema(mode="serialization", schema_generator=_Promised)


def files() -> dict[str, str]:
    """Render every schema file by its name."""
    made = {}
    for notice in NOTICES:
        schema = {"$schema": DIALECT, "$id": f"urn:onshi:{name_of(notice)}", **schema_of(notice)}
        made[f"{name_of(notice)}.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return made
