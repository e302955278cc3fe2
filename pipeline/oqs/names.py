"""What does a file's name in the exchange folders say, and which names do we give requests?

Scheme and folders: oqs-interface sections 1.3 to 1.6 and 2. Names are compared without regard to case, because the
folders lie on Windows. A name that fits no known form belongs to others and is left alone.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pipeline.oqs.times import parse_instant

Phase = Literal["01", "02"]


class MessageKind(StrEnum):
    """Kinds of message in scope; the value is the head of the file name, before the phase."""

    FACE = "face"
    ELIGIBILITY = "OQSsiquc"
    REGISTRATION = "OQSsiimm"
    BULK_ELIGIBILITY = "OQSmuquc"
    BULK_REGISTRATION = "OQSmuimm"
    BULK_MEDICAL_AID = "OQSmutic"
    BULK_VISIT = "OQSmuhvq"
    BULK_ONLINE = "OQSmuonq"
    VISIT = "OQSsihvq"
    ONLINE = "OQSsionq"
    WITHDRAWAL = "OQSsihvd"
    MEDICATION = "YZKsiquc"
    CHECKUP = "TKKsiquc"

    @property
    def is_bulk(self) -> bool:
        return self.value.startswith("OQSmu")

    @property
    def is_history(self) -> bool:
        """Medication (薬剤情報) and checkup (特定健診) messages have a frame of their own and may come as PDF."""
        return self in (MessageKind.MEDICATION, MessageKind.CHECKUP)


class Direction(StrEnum):
    REQUEST = "req"
    RESPONSE = "res"
    FACE = "face"


class Folder(StrEnum):
    FACE = "face"
    RES = "res"
    REQ = "req"


class Extension(StrEnum):
    XML = ".xml"
    PDF = ".pdf"
    ZIP = ".zip"
    ERR = ".err"


@dataclass(frozen=True, slots=True)
class FileName:
    """A name of ours.

    `base_name` is as written. `correlation` is the base name of the request, head in its usual spelling: equal for
    a request, its answer and its return. `written_at` is the terminal's clock in a face name.
    """

    kind: MessageKind
    direction: Direction
    phase: Phase
    base_name: str
    extension: Extension
    correlation: str | None = None
    written_at: datetime | None = None

    def belongs_in(self, folder: Folder) -> bool:
        """Say whether the name is expected there; a request file in `res` is one that came back refused."""
        if self.direction is Direction.FACE:
            return folder is Folder.FACE
        if folder is Folder.REQ:
            return self.direction is Direction.REQUEST and self.extension is Extension.XML
        return folder is Folder.RES


_MAX_NAME: Final = 160
# A terminal that encrypts its face results writes them as archives (section 1.1, encrypt_face.conf).
_FACE: Final = re.compile(r"OQSsiquc01res_face_([0-9A-Za-z_-]+)(\.xml|\.zip)", re.ASCII | re.IGNORECASE)
_EXCHANGE: Final = re.compile(
    r"((?:OQS|YZK|TKK)(?:si|mu)[a-z]{3})(0[12])(req|res)_([0-9A-Za-z_-]+)(\.xml|\.pdf|\.zip|\.err)",
    re.ASCII | re.IGNORECASE,
)
_FACE_TIME: Final = re.compile(r"(?:^|_)([0-9]{14})$")
_FREE_PART: Final = re.compile(r"[0-9A-Za-z]{12,20}")
_KINDS: Final = {kind.value.lower(): kind for kind in MessageKind if kind is not MessageKind.FACE}


def parse_name(name: str) -> FileName | None:
    """Read a bare file name; `None` when it is none of ours."""
    if len(name) > _MAX_NAME:
        return None
    if face := _FACE.fullmatch(name):
        return _face(name, face[1], Extension(face[2].lower()))
    found = _EXCHANGE.fullmatch(name)
    return None if found is None else _exchange(name, found)


def _face(name: str, free_part: str, extension: Extension) -> FileName:
    # The part before the time is opaque (section 1.4): three makers fill it in three ways.
    time = _FACE_TIME.search(free_part)
    return FileName(
        kind=MessageKind.FACE,
        direction=Direction.FACE,
        phase="01",
        base_name=name[: -len(extension)],
        extension=extension,
        written_at=parse_instant(time[1]) if time else None,
    )


def _exchange(name: str, found: re.Match[str]) -> FileName | None:
    head, phase, direction, free_part, extension = found.groups()
    kind = _KINDS.get(head.lower())
    if kind is None or free_part.lower().startswith("face_"):
        return None
    name_of = FileName(
        kind=kind,
        direction=Direction(direction.lower()),
        phase="01" if phase == "01" else "02",
        base_name=name[: -len(extension)],
        extension=Extension(extension.lower()),
        correlation=f"{kind}{phase}req_{free_part}",
    )
    return name_of if _is_possible(name_of) else None


def _is_possible(name: FileName) -> bool:
    if name.phase == "02" and not name.kind.is_bulk:
        return False
    if name.direction is Direction.REQUEST:
        return name.extension in (Extension.XML, Extension.ERR)
    if name.extension is Extension.PDF:
        return name.kind.is_history
    return name.extension in (Extension.XML, Extension.ZIP)


def request_name(kind: MessageKind, phase: Phase, free_part: str) -> str:
    """Name a request file.

    `free_part`: 12 to 20 half-width letters and digits (section 1.6).

    Raises:
        ValueError: the kind is never asked for, has no such phase, or the free part cannot be used.
    """
    if kind is MessageKind.FACE:
        raise ValueError("a face result is never asked for")
    if phase not in ("01", "02") or (phase == "02" and not kind.is_bulk):
        raise ValueError("this kind has no such phase")
    if not _FREE_PART.fullmatch(free_part):
        raise ValueError("the free part must be 12 to 20 half-width letters and digits")
    # Others swap the first "req" they find for "res", wherever it stands (section 4, no. 26).
    if "req" in free_part.lower() or "res" in free_part.lower():
        raise ValueError("the free part must not contain req or res")
    return f"{kind}{phase}req_{free_part}.xml"


def response_name(request: str) -> str:
    """Name the answer to a request file, extension kept (section 1.3, rule 3).

    Raises:
        ValueError: not the name of a request.
    """
    parsed = parse_name(request)
    if parsed is None or parsed.direction is not Direction.REQUEST or parsed.extension is not Extension.XML:
        raise ValueError("not the name of a request")
    at = len(parsed.kind) + len(parsed.phase)
    return request[:at] + Direction.RESPONSE + request[at + len(Direction.REQUEST) :]
