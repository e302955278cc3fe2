"""Which number does a text of the service mean, and is it exact?"""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final
from unicodedata import normalize


class Bound(StrEnum):
    """How a measured value lies to the number that is written."""

    BELOW = "below"
    """未満"""
    AT_MOST = "at_most"
    """以下"""
    AT_LEAST = "at_least"
    """以上"""
    ABOVE = "above"
    """超"""


_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,20})(?:\.[0-9]{1,20})?")
# The longer mark first: `<=` begins like `<`.
_BEFORE: Final = {
    "<=": Bound.AT_MOST,
    ">=": Bound.AT_LEAST,
    "≦": Bound.AT_MOST,
    "≤": Bound.AT_MOST,
    "≧": Bound.AT_LEAST,
    "≥": Bound.AT_LEAST,
    "<": Bound.BELOW,
    ">": Bound.ABOVE,
}
_AFTER: Final = {"未満": Bound.BELOW, "以下": Bound.AT_MOST, "以上": Bound.AT_LEAST, "超": Bound.ABOVE}


def amount(text: str | None) -> Decimal | None:
    """Read a plain decimal number, full width as well; anything else is none."""
    return _number(_plain(text))


def measured(text: str | None) -> tuple[Decimal | None, Bound | None]:
    """Read a number with at most one mark before or behind it, as `<5` or `5未満`."""
    plain = _plain(text)
    for mark, bound in _BEFORE.items():
        if plain.startswith(mark):
            number = _number(plain[len(mark) :].strip())
            return number, None if number is None else bound
    for mark, bound in _AFTER.items():
        if plain.endswith(mark):
            number = _number(plain[: -len(mark)].strip())
            return number, None if number is None else bound
    return _number(plain), None


def count(text: str | None) -> int | None:
    """Read a whole number from 0."""
    number = amount(text)
    return int(number) if number is not None and number >= 0 and number == int(number) else None


def _plain(text: str | None) -> str:
    return normalize("NFKC", text or "").strip()


def _number(plain: str) -> Decimal | None:
    return Decimal(plain.replace(",", "")) if _NUMBER.fullmatch(plain) else None
