"""How does a process sleep whose clock libfaketime has set?

libfaketime 0.9.10 answers `clock_nanosleep` to a monotonic point in time, which `time.sleep` asks for, with EINVAL or
with a sleep of a day. Python imports this module by its name before the program; everything then sleeps by `select`.
"""

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep
