"""Has a file arrived whole?

Asked at an edge, which needs none of the records that `parse` reads a file into.
"""

from typing import Final

from pipeline.oqs.archive import has_directory
from pipeline.oqs.names import Extension, FileName
from pipeline.oqs.reader import read_tree
from pipeline.oqs.rejection import RejectedError, RejectReason

_CURED_BY_WAITING: Final = frozenset(
    {RejectReason.EMPTY, RejectReason.TRUNCATED, RejectReason.MALFORMED, RejectReason.ENCODING}
)
_PDF_TAIL: Final = 1024


def is_complete(name: FileName, content: bytes) -> bool:
    """Say whether the bytes look whole, so that waiting would not change them.

    A file that no waiting will make good is whole too: `parse` then says what is wrong with it.
    """
    if name.extension is Extension.ERR:
        return bool(content)
    if name.extension is Extension.PDF:
        return has_pdf_end(content)
    if name.extension is Extension.ZIP:
        return has_directory(content)
    try:
        read_tree(content)
    except RejectedError as rejected:
        return rejected.reason not in _CURED_BY_WAITING
    return True


def has_pdf_end(content: bytes) -> bool:
    """Say whether the end of a PDF is where it should be."""
    return b"%%EOF" in content[-_PDF_TAIL:]
