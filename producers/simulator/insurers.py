"""Which insurers are there, and are their numbers well formed?

All lie in the dummy prefecture 99 (oqs-interface section 5.4); the last digit is a true check digit.
"""

from dataclasses import dataclass
from typing import Final

WIDTH: Final = 8


@dataclass(frozen=True, slots=True)
class Insurer:
    """An insurer (保険者). `number` as the service writes it: 8 characters, six digits after two spaces."""

    number: str
    name: str


def check_digit(digits: str) -> str:
    """Compute the last digit of an insurer number (検証番号): weights 2, 1 from the right, digits of products added."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        product = int(digit) * (2 - place % 2)
        total += product // 10 + product % 10
    return str(-total % 10)


def is_well_formed(number: str) -> bool:
    digits = number.strip(" ")
    return len(digits) in (6, WIDTH) and digits.isdigit() and check_digit(digits[:-1]) == digits[-1]


def _number(stem: str) -> str:
    return (stem + check_digit(stem)).rjust(WIDTH)


SOCIETIES: Final = (
    Insurer(_number("0699999"), "見本健康保険組合"),
    Insurer(_number("0699998"), "例示電機健康保険組合"),
    Insurer(_number("0199999"), "全国見本保険協会　例示支部"),
    Insurer(_number("3199991"), "試験共済組合"),
    Insurer(_number("0699951"), "仮想運輸健康保険組合"),
)
"""Employees' insurance (被用者保険)."""

MUNICIPAL: Final = (
    Insurer(_number("99999"), "例示市"),
    Insurer(_number("99901"), "試験町"),
    Insurer(_number("99912"), "例示村"),
)
"""National health insurance (国民健康保険), numbers of six digits."""

LATE_ELDERLY: Final = Insurer(_number("3999999"), "見本県後期高齢者医療広域連合")
WELFARE: Final = (Insurer(_number("1299999"), "例示市福祉事務所"), Insurer(_number("1299915"), "試験町福祉事務所"))
"""Payers of medical aid (医療扶助)."""
