"""What was found of one invariant?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant: `broken` names the files, copies or rows that break it, never a patient or a file's name.

    `note` says what could not be looked at. What is not `applicable` was not looked at at all.
    """

    name: str
    says: str
    broken: tuple[str, ...] = ()
    note: str | None = None
    applicable: bool = True

    @property
    def is_held(self) -> bool:
        return not self.broken


def joined(findings: Iterable[Finding]) -> list[Finding]:
    """Join what several looks found of one invariant, in the order of their numbers."""
    made: dict[str, Finding] = {}
    for finding in findings:
        known = made.get(finding.name)
        made[finding.name] = finding if known is None else _both(known, finding)
    return sorted(made.values(), key=lambda finding: int(finding.name[1:]))


def _both(one: Finding, other: Finding) -> Finding:
    notes = [note for note in (one.note, other.note) if note]
    return Finding(
        one.name,
        one.says,
        tuple(dict.fromkeys((*one.broken, *other.broken))),
        "; ".join(dict.fromkeys(notes)) or None,
        one.applicable or other.applicable,
    )


def lasting(first: Iterable[Finding], second: Iterable[Finding]) -> list[Finding]:
    """Keep what both looks saw: on a live system, what only one saw was movement."""
    again = {finding.name: set(finding.broken) for finding in second}
    return [replace(one, broken=tuple(b for b in one.broken if b in again.get(one.name, ()))) for one in first]


def broken(findings: Iterable[Finding]) -> Iterator[Finding]:
    return (finding for finding in findings if not finding.is_held)
