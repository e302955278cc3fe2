"""How does something we want to know become a request file?

The name is random and tells nothing of a patient; neither does the ArbitraryFileIdentifier, by which the answer is
known again (oqs-interface sections 1.3 and 1.6). A download's name follows from a keyed hash of its cause instead, so
that the same answer, however often it comes, leads to one download; nobody without the key can foresee it.
"""

import secrets
import string
from collections.abc import Callable
from typing import Any, Final

from consumers.consent.asking import RequestFile
from pipeline.oqs.names import MessageKind, request_name
from pipeline.oqs.requests import DownloadHeader, DownloadRequest, Request
from pipeline.oqs.writer import render
from pipeline.request_row import RequestDetail

_LETTERS: Final = string.digits + "abcdfghijklmnopquvwxyz"
"""Without e, r and s: no name contains `req` or `res`, which other programs look for anywhere in it."""
_LENGTH: Final = 20


def free_text() -> str:
    """Choose 20 random half-width letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def text_of(digest: str) -> str:
    """Write a keyed hash (64 hex digits) as 20 half-width letters and digits; equal hashes, equal text."""
    number = int(digest, 16)
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(_LENGTH))


def compose(make: Callable[[str], Request], **person: Any) -> RequestFile:
    """Write a request. `make` is given the ArbitraryFileIdentifier; `person`: who it is asked for, as `RequestDetail`.

    Raises:
        ValueError: the service would refuse it. The message names the field and shows no value.
    """
    identifier = free_text()
    request = make(identifier)
    name = request_name(request.kind, request.phase, free_text())
    return RequestFile(
        base_name=name.removesuffix(".xml"), arbitrary_file_identifier=identifier, content=render(request), **person
    )


def compose_download(
    kind: MessageKind, institution_code: str, reception_number: str, upload: RequestDetail, digest: str
) -> RequestFile:
    """Write a download (ダウンロード要求). `upload`: the exchange's earlier request; `digest`: keyed hash of the cause.

    Raises:
        ValueError: the reception number (受付番号) cannot be used.
    """
    request = DownloadRequest(
        kind=kind, header=DownloadHeader(institution_code=institution_code), reception_number=reception_number
    )
    return RequestFile(
        base_name=request_name(kind, request.phase, text_of(digest)).removesuffix(".xml"),
        # It carries none itself; its answer repeats the one of the upload (oqs-interface section 6.21).
        arbitrary_file_identifier=upload.arbitrary_file_identifier,
        reception_number=reception_number,
        content=render(request),
    )
