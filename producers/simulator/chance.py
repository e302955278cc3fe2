"""Which way does the die fall, the same way for the same seed?"""

from random import Random


def chance(*parts: object) -> Random:
    """Return a die of its own for what `parts` name, so that one more throw here changes nothing there."""
    return Random("/".join(map(str, parts)))  # noqa: S311 - invented people, no secrets
