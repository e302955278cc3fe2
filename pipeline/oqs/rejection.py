"""Why can a file not be read?

One closed list of reasons. A refusal carries its reason and nothing of the file.
"""

from enum import StrEnum

from pipeline.errors import PermanentError


class RejectReason(StrEnum):
    EMPTY = "empty"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    DOCTYPE = "doctype"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_MANY_ELEMENTS = "too_many_elements"
    ENCODING = "encoding"
    NOT_XML = "not_xml"
    WRONG_ROOT = "wrong_root"
    WRONG_MESSAGE = "wrong_message"
    ENCRYPTED = "encrypted"
    ARCHIVE_BAD = "archive_bad"
    ARCHIVE_SEVERAL = "archive_several"
    ARCHIVE_UNEXPECTED = "archive_unexpected"
    ARCHIVE_TOO_LARGE = "archive_too_large"
    PDF_INCOMPLETE = "pdf_incomplete"
    UNSUPPORTED = "unsupported"


class RejectedError(PermanentError):
    """The file cannot be read, now or later."""

    reason: RejectReason

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason)
        self.reason = reason
