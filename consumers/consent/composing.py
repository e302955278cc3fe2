"""How does something we want to know become a request file?

The name is random and tells nothing of a patient; neither does the ArbitraryFileIdentifier, by which the answer is
known again (oqs-interface sections 1.3 and 1.6).
"""

import secrets
import string
from collections.abc import Callable
from typing import Any, Final

from consumers.consent.asking import RequestFile
from pipeline.oqs.names import request_name
from pipeline.oqs.requests import DownloadRequest, Request
from pipeline.oqs.writer import render

_LETTERS: Final = string.digits + "abcdfghijklmnopquvwxyz"
"""Without e, r and s: no name contains `req` or `res`, which other programs look for anywhere in it."""
_LENGTH: Final = 20


def free_text() -> str:
    """Choose 20 random half-width letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def compose(make: Callable[[str], Request], **person: Any) -> RequestFile:
    """Write a request. `make` is given the ArbitraryFileIdentifier; `person`: who it is asked for, as `RequestDetail`.

    Raises:
        ValueError: the service would refuse it. The message names the field and shows no value.
    """
    identifier = free_text()
    request = make(identifier)
    name = request_name(request.kind, request.phase, free_text())
    known = "" if isinstance(request, DownloadRequest) else identifier
    return RequestFile(
        base_name=name.removesuffix(".xml"), arbitrary_file_identifier=known, content=render(request), **person
    )
