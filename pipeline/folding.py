"""When are two spellings of one thing equal?

Pure normalisations of the fields by which people and insurances are compared; what is stored and shown stays as it
was written. A folded value is only ever compared with a folded value. Every fold is idempotent. Rules and traps:
field-and-chart-systems section 2.3, oqs-interface section 4 (nos. 5 to 14).
"""

import re
from datetime import date
from typing import Final
from unicodedata import normalize

OPEN_DAY: Final = date.max
"""An end that never comes: 99999999, 99991231, 9999-12-31."""

UNWRITABLE: Final = "●"
"""What the service writes for a character it cannot write (section 4, no. 5)."""

_SPACE = re.compile(r"\s+")
_HYPHENS: Final = "-‐‑‒–—―−─━ーｰ－﹣⁃˗"
# The long-vowel mark counts as a hyphen in a symbol or an address only: in a name it is a sound.
_SYMBOL_NOISE = re.compile(f"[{_HYPHENS}/・･·]")
_UPPER = {small: small - 32 for small in range(ord("a"), ord("z") + 1)}
_SMALL_KANA: Final = str.maketrans("ァィゥェォッャュョヮヵヶ", "アイウエオツヤユヨワカケ")
_KATAKANA: Final = {hira: hira + 0x60 for hira in (*range(0x3041, 0x3097), 0x309D, 0x309E)}
# Variation selectors choose a glyph of the same character.
_SELECTORS: Final = dict.fromkeys((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
_VARIANTS: Final = str.maketrans(
    "髙﨑嵜碕齋斎齊邉邊德濵濱廣國澤櫻眞惠髮靜榮藏萬圓瀨鷗黑彌與壽桒舘槇瑤龍嶋嶌淵𠮷",
    "高崎崎崎斉斉斉辺辺徳浜浜広国沢桜真恵髪静栄蔵万円瀬鴎黒弥与寿桑館槙瑶竜島島渕吉",
)
"""Old and other forms of kanji in names, folded to find candidates, never to confirm one (section 2.3)."""


def _plain(text: str | None) -> str:
    """Fold width and drop spaces; half-width voiced marks join their kana, whatever stood between."""
    if not text or text.isascii():
        # Numbers and dates, most of what is compared: no width to fold.
        return "".join((text or "").split())
    return normalize("NFKC", _SPACE.sub("", normalize("NFKC", text)))


def fold_kana(text: str | None) -> str:
    """Fold a kana name (氏名カナ): width, hiragana, small kana, spaces. Voiced and long-vowel marks stay."""
    katakana = _plain(text).translate(_KATAKANA).translate(_SMALL_KANA).translate(_UPPER)
    return _plain(katakana)


def fold_name(text: str | None) -> str:
    """Fold a kanji name (氏名) for equality: width, spaces, glyph selectors and Latin case only."""
    return _plain(_plain(text).translate(_SELECTORS).translate(_UPPER))


def fold_variants(text: str | None) -> str:
    """Fold a kanji name so that old and new forms meet. Finds candidates; never confirms one."""
    return _plain(fold_name(text).translate(_VARIANTS))


def resembles(one: str | None, other: str | None) -> bool:
    """Say whether two kanji names may be one: old and new forms meet, and ● stands for any one character.

    A resemblance is a suggestion and no more. Two empty names resemble nothing.
    """
    left, right = fold_variants(one), fold_variants(other)
    return bool(left) and len(left) == len(right) and all(map(_may_be, left, right))


def _may_be(one: str, other: str) -> bool:
    return one == other or UNWRITABLE in (one, other)


def given_kana(text: str | None) -> str | None:
    """Return the folded given name of a kana name that is split at a space; none where it is not."""
    family, _, given = normalize("NFKC", text or "").strip().partition(" ")
    return fold_kana(given) or None if family else None


def fold_symbol(text: str | None) -> str:
    """Fold a symbol (記号) or number (番号): width, spaces, hyphens, `/`, `・`, Latin case. Leading zeros stay."""
    return _plain(_SYMBOL_NOISE.sub("", _plain(text)).translate(_UPPER))


def without_zeros(folded: str) -> str:
    """Drop leading zeros for the second comparison; what was written never becomes empty."""
    return folded.lstrip("0") or folded[:1]


def same_symbol(one: str | None, other: str | None) -> bool:
    """Say whether two symbols or numbers are equal: insurers and charts pad differently (section 4, no. 8)."""
    return without_zeros(fold_symbol(one)) == without_zeros(fold_symbol(other))


def fold_insurer(text: str | None) -> str:
    """Fold an insurer number (保険者番号) to 8 digits: padded with spaces, zeros or not at all (section 4, no. 9)."""
    digits = _plain(text).lstrip("0")
    return digits.rjust(8, "0") if digits else ""


def fold_branch(text: str | None) -> str | None:
    """Fold a branch number (枝番) to 2 digits. Blank is unknown, and never 00."""
    plain = _plain(text)
    if plain.isascii() and plain.isdigit():
        return without_zeros(plain).rjust(2, "0")
    return plain or None


def fold_sex(sex2: str | None, sex1: str | None) -> str | None:
    """Choose the sex that counts: 性別2 where given, else 性別1. 未設定 (3) says nothing."""
    chosen = _plain(sex2) or _plain(sex1)
    return chosen if chosen in ("1", "2") else None


def fold_day(text: str | None) -> date | None:
    """Read `YYYYMMDD` or `YYYY-MM-DD`; an open end is `OPEN_DAY`, anything else unknown."""
    digits = _plain(text).replace("-", "").replace("/", "")
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    if digits.startswith("9999"):
        return OPEN_DAY
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def fold_birthdate(text: str | None) -> date | None:
    """Read a birthdate; an open date is none, so that two people without one never share it."""
    day = fold_day(text)
    return None if day == OPEN_DAY else day


def fold_ratio(text: str | None) -> str:
    """Fold a burden ratio (負担割合) to three digits of percent."""
    plain = _plain(text).lstrip("0")
    return plain.rjust(3, "0") if plain else ("000" if _plain(text) else "")


def fold_limit_class(text: str | None) -> str:
    """Fold a limit certificate class (限度額適用認定証区分) to two digits."""
    plain = _plain(text)
    return plain.rjust(2, "0") if plain else ""


def fold_limit_flag(text: str | None) -> str:
    """Fold a limit flag (限度額適用区分), `A01` to `B10`."""
    return _plain(_plain(text).translate(_UPPER))


def fold_postal(text: str | None) -> str:
    """Fold a postal code (郵便番号) to its digits."""
    return "".join(char for char in _plain(text) if char in "0123456789")


_NUMERALS: Final = {numeral: digit for digit, numeral in enumerate("〇一二三四五六七八九")}
_NUMERAL_RUN = re.compile("[〇一二三四五六七八九十]+")
_BLOCK_WORD = re.compile(f"番地の|丁目|番地|番|号室|号|の(?=[0-9])|[{_HYPHENS}]")
_HYPHEN_RUN = re.compile("-+")
_IDLE_HYPHENS = re.compile("(?<![0-9])-|-(?![0-9])")


def fold_address(text: str | None) -> str:
    """Fold an address (住所) to tell whether it differs. It is never a key: registers differ from charts."""
    folded, before = _plain(text).translate(_UPPER), None
    # What is dropped may bring the halves of a block word together; a few rounds at most.
    while folded != before:
        before = folded
        blocks = _BLOCK_WORD.sub("-", _NUMERAL_RUN.sub(_arabic, folded))
        folded = _plain(_IDLE_HYPHENS.sub("", _HYPHEN_RUN.sub("-", blocks)))
    return folded


def _arabic(run: re.Match[str]) -> str:
    """Write 二十三 as 23; digits in a row (一〇五) stay digits in a row."""
    head, ten, tail = run[0].partition("十")
    if not ten:
        return "".join(str(_NUMERALS[char]) for char in head)
    if len(head) > 1 or len(tail) > 1 or "十" in tail:
        return run[0]
    tens = _NUMERALS.get(head, 1)
    return str(tens * 10 + _NUMERALS.get(tail, 0))
