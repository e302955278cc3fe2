"""Who restarts what stops? Threads in one process on the embedded broker, one process per role on RabbitMQ."""

import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.cli.main import WRONG_USE
from pipeline.errors import OnshiError, UnfitStateError

LOG = logging.getLogger("onshi.supervisor")
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A part that ran this long starts over with the first pause."""
GRACE_SECONDS: Final = 30.0
WAKE_SECONDS: Final = 0.5


@dataclass(slots=True)
class Part:
    """One thing to keep running: a callable that works until the event is set."""

    name: str
    run: Callable[[threading.Event], None]


def run_threads(parts: Sequence[Part], stop: threading.Event) -> None:
    """Run every part in a thread of its own until `stop`; one that fails starts again after a growing pause.

    Raises:
        UnfitStateError: a part met what another release wrote; every part has ended.
    """
    unfit: list[UnfitStateError] = []
    threads = [threading.Thread(target=_keep_running, args=(part, stop, unfit), name=part.name) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        # A signal that another thread took is handled when the main thread wakes, and an endless join never does.
        while thread.is_alive():
            thread.join(WAKE_SECONDS)
    if unfit:
        raise unfit[0]


def _keep_running(part: Part, stop: threading.Event, unfit: list[UnfitStateError]) -> None:
    pause = FIRST_PAUSE
    while not stop.is_set():
        started = time.monotonic()
        try:
            part.run(stop)
        except UnfitStateError as error:
            LOG.critical("role ended", extra={"role": part.name, "reason": str(error)})
            unfit.append(error)
            stop.set()
        except OnshiError as error:
            # Not a bug: its text is for people (another process, keys missing).
            LOG.error("role failed", extra={"role": part.name, "reason": str(error)})  # noqa: TRY400
        except Exception:
            LOG.exception("role failed", extra={"role": part.name})
        if stop.is_set():
            return
        pause = FIRST_PAUSE if time.monotonic() - started > STEADY_SECONDS else min(pause * 2, LONGEST_PAUSE)
        stop.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads restarts, guards nothing


@dataclass(slots=True)
class _Child:
    role: str
    process: subprocess.Popen[bytes]
    started: float
    pause: float = FIRST_PAUSE
    again_at: float | None = field(default=None)


def run_processes(
    config: Path, roles: Sequence[str], stop: threading.Event, require_fit: Callable[[], None] = lambda: None
) -> None:
    """Run `onshi run ROLE` for each role until `stop`, then end them with SIGTERM; one that dies starts again.

    Raises:
        UnfitStateError: one died because of what another release wrote, says `require_fit`; every role has ended.
    """
    children = [_Child(role, _start(config, role), time.monotonic()) for role in roles]
    try:
        while not stop.wait(0.2):
            for child in children:
                if _look_after(config, child) == WRONG_USE:
                    require_fit()
    finally:
        _end(children)


def _end(children: Sequence[_Child]) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            LOG.error("role did not end in time", extra={"role": child.role, "pid": child.process.pid})  # noqa: TRY400
            child.process.kill()
            child.process.wait()


def _look_after(config: Path, child: _Child) -> int | None:
    """Start what died anew, in its time; returns the exit code of one that was just found dead."""
    code = child.process.poll()
    if code is None:
        return None
    now = time.monotonic()
    if child.again_at is None:
        steady = now - child.started > STEADY_SECONDS
        child.pause = FIRST_PAUSE if steady else min(child.pause * 2, LONGEST_PAUSE)
        child.again_at = now + child.pause
        LOG.error("role ended", extra={"role": child.role, "reason": f"exit {code}"})
        return code
    if now >= child.again_at:
        child.process, child.started, child.again_at = _start(config, child.role), now, None
    return None


def _start(config: Path, role: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "pipeline.cli", "run", role, "--config", str(config)])  # noqa: S603
