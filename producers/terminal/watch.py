"""May the scanner be woken before its time?

Only a hint: a lost event costs one scan's wait, a broken watcher nothing more (messaging section 4).
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import watchfiles

_log = logging.getLogger("onshi.terminal")
_RETRY_SECONDS = 30.0
_STEP_MS = 50


def watch(paths: Sequence[Path], wake: threading.Event, stop: threading.Event, *, poll: bool) -> None:
    """Set `wake` when something changes, until `stop`. Blocks; a failure is tried again after a while."""
    while not stop.is_set():
        try:
            _watch_once([path for path in paths if path.is_dir()], wake, stop, poll=poll)
        except Exception as fault:  # noqa: BLE001 - whatever fails here, the periodic scan goes on
            _log.warning("watcher failed", extra={"fault": type(fault).__name__})
        stop.wait(_RETRY_SECONDS)


def _watch_once(paths: Sequence[Path], wake: threading.Event, stop: threading.Event, *, poll: bool) -> None:
    if not paths:
        return
    changes = watchfiles.watch(
        *paths,
        watch_filter=None,
        debounce=200,
        step=_STEP_MS,
        stop_event=stop,
        rust_timeout=1000,
        raise_interrupt=False,
        force_polling=poll,
        poll_delay_ms=1000,
        recursive=False,
        ignore_permission_denied=True,
    )
    for _ in changes:
        wake.set()
