"""How many clinics does a core carry? What is reckoned from measured costs, and from nothing else but these numbers."""

from typing import Final

from benchmarks.figures import Figures
from benchmarks.setups import EDGES

FULL: Final = 0.5
"""How full a core may be in the busiest hour: half is left for a failover, a backlog and the neighbours."""
BUSIEST_HOUR: Final = 0.2
"""Share of a day's files that come in its busiest hour."""
FILES_A_DAY: Final = (100, 300, 1000)


def centre_ms(run: Figures) -> float:
    """Sum what the centre spends on a file; the edges run on the clinics' own machines."""
    return sum(cost for role, cost in run.cpu_ms_a_file.items() if role not in EDGES)


def clinics_a_core(cost_ms: float, files_a_day: int) -> int:
    """Say how many clinics of so many files a day keep one core as full as `FULL` in the busiest hour."""
    in_an_hour = 3600 * FULL / (cost_ms / 1000)
    return int(in_an_hour / (files_a_day * BUSIEST_HOUR))
