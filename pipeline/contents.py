"""What lies inside a seal, and how is it written as bytes?

Each form is a 4-byte big-endian length, that many bytes of JSON, then raw bytes. Nothing here is ever on the wire or
on a disk unsealed. `repr` shows nothing.
"""

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

from pipeline.edge_words import Refusal
from pipeline.errors import PermanentError


class ContentsError(PermanentError):
    """What was sealed is not what was expected."""

    def __init__(self) -> None:
        super().__init__(Refusal.CONTENTS)


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A terminal's file with the name and folder it lay under. Bound to context `file:<file id>`."""

    name: str = field(repr=False)
    folder: str
    """`face`, `res` or `req`."""
    content: bytes = field(repr=False)
    archive_password: str | None = field(default=None, repr=False)

    def to_bytes(self) -> bytes:
        return _join({"name": self.name, "folder": self.folder, "password": self.archive_password}, self.content)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        head, content = _split(raw)
        return cls(head["name"], head["folder"], content, head.get("password"))


@dataclass(frozen=True, slots=True)
class SealedDelivery:
    """What a chart is given for one revision of a file. Bound to context `delivery:<file id>:<revision>`."""

    suffix: str
    """Of the original, with the dot."""
    record: dict[str, Any] = field(repr=False)
    """The JSON of the folder contract (design section 12)."""
    original: bytes | None = field(repr=False)
    """The original bytes; none when only the record is replaced (revision 2 and later)."""

    def to_bytes(self) -> bytes:
        return _join(
            {"suffix": self.suffix, "record": self.record, "has_original": self.original is not None},
            self.original or b"",
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        head, original = _split(raw)
        return cls(head["suffix"], head["record"], original if head["has_original"] else None)


def _join(head: dict[str, Any], rest: bytes) -> bytes:
    encoded = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    return len(encoded).to_bytes(4, "big") + encoded + rest


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(raw[:4], "big")
    try:
        return json.loads(raw[4 : 4 + size]), raw[4 + size :]
    except ValueError:
        raise ContentsError from None


def file_context(file_id: str) -> str:
    return f"file:{file_id}"


def orphan_context(name: str) -> str:
    return f"orphan:{name}"


def record_context(file_id: str) -> str:
    return f"record:{file_id}"


def delivery_context(file_id: str, revision: int) -> str:
    return f"delivery:{file_id}:{revision}"


def name_context(copy_id: str) -> str:
    return f"name:{copy_id}"


def result_context(file_id: str, result: int) -> str:
    return f"result:{file_id}:{result}"


def decision_context(decision_id: str) -> str:
    return f"decision:{decision_id}"


def request_context(request_id: str) -> str:
    return f"request:{request_id}"


def person_context(hashed: str) -> str:
    return f"person:{hashed}"


def booking_context(clinic: str, day: date, hashed: str) -> str:
    return f"booking:{clinic}:{day.isoformat()}:{hashed}"


def reference_context(patient_hash: str, insurance_hash: str) -> str:
    return f"reference:{patient_hash}:{insurance_hash}"


def patients_context(list_id: str, part: int) -> str:
    return f"patients:{list_id}:{part}"


def bookings_context(list_id: str) -> str:
    return f"bookings:{list_id}"
