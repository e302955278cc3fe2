"""How is a whole run simulated? (`onshi simulate`, `onshi demo`)

Everything comes from the seed and the clock.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.clock import Clock, SystemClock
from pipeline.oqs.times import JST
from producers.simulator.people import Population
from producers.simulator.terminal import Folders, Modes, SimulatedTerminal, Written


@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """What was written, in the order it was."""

    written: tuple[Written, ...]


def prepare(
    folders: Folders,
    *,
    count: int,
    seed: int,
    institution_code: str,
    rate: float | None = None,
    clock: Clock | None = None,
    modes: Modes | None = None,
    has_mixed_consents: bool = False,
) -> SimulatedTerminal:
    """Make the folders and a terminal for `count` visits that has written nothing yet."""
    clock = clock or SystemClock()
    folders.make()
    population = Population(seed, count, institution_code, clock.now().astimezone(JST).date())
    return SimulatedTerminal(
        folders, population, clock, seed, rate=rate, modes=modes, has_mixed_consents=has_mixed_consents
    )


def simulate(
    folders: Folders,
    *,
    count: int,
    seed: int,
    institution_code: str,
    rate: float | None = None,
    patients_path: Path | None = None,
    everything: bool = False,
    clock: Clock | None = None,
) -> Summary:
    """Write `count` face files and, with `everything`, one answer of every other kind.

    The patient list goes to `patients_path` and nowhere else, before the first file.
    """
    terminal = prepare(folders, count=count, seed=seed, institution_code=institution_code, rate=rate, clock=clock)
    if patients_path is not None:
        terminal.write_patients(patients_path)
    terminal.write_faces()
    if everything:
        terminal.write_every_kind()
    return Summary(tuple(terminal.written))
