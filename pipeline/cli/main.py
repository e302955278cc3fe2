"""Which command was asked for, and what does the shell get back?"""

import gc
import io
import json
import os
import resource
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.grammar import UsageError, parse
from pipeline.errors import OnshiError, UnfitStateError
from pipeline.logs import frames

if TYPE_CHECKING:
    from pipeline.settings import Settings

DONE, FAILED, WRONG_USE = 0, 1, 2
RUBBISH = 50_000
"""After how many new objects Python looks for rubbish among them. With its own 700 it looked all through a start, when
nearly all that is made stays; that took a tenth of the time."""
USUAL = gc.get_threshold()
"""Python's own, for a process that works on."""

# Modules are imported when asked for: `onshi status` need not load a broker client and an XML parser.
_WITH_SETTINGS = {
    "check": "pipeline.cli.check:check",
    "store": "pipeline.cli.store:store",
    "run": "pipeline.cli.run:run",
    "simulate": "pipeline.cli.simulate:simulate",
    "status": "pipeline.cli.status:status",
    "files": "pipeline.cli.files:files_command",
    "results": "pipeline.cli.results:results",
    "patients": "pipeline.cli.patients:patients",
    "consents": "pipeline.cli.consents:consents",
    "request": "pipeline.cli.request:request",
    "requests": "pipeline.cli.requests:requests",
    "clinical": "pipeline.cli.clinical:clinical",
    "parked": "pipeline.cli.parked:parked",
    "hold": "pipeline.cli.hold:hold",
    "keys": "pipeline.cli.keys:keys",
    "certificates": "pipeline.cli.proofs:certificates",
    "audit": "pipeline.cli.proofs:audit",
    "verify": "pipeline.cli.verify:verify",
    "reference-numbers": "pipeline.cli.references:references",
    "bookings": "pipeline.cli.bookings:bookings",
    "incident": "pipeline.cli.incident:incident",
    "resend": "pipeline.cli.resend:resend",
    "provision": "pipeline.cli.provision:provision",
    "ca": "pipeline.cli.authority:ca",
    "clinics": "pipeline.cli.clinics:clinics",
    "terminals": "pipeline.cli.terminals:terminals",
    "vendors": "pipeline.cli.vendors:vendors",
}
_WITHOUT_SETTINGS = {
    "init": "pipeline.cli.init:init",
    "demo": "pipeline.cli.demo:demo",
    "asyncapi": "pipeline.cli.asyncapi:asyncapi",
}


class WrongUseError(Exception):
    """The command cannot be meant like this. Exit code 2."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    gc.set_threshold(RUBBISH)
    _prepare_output()
    # A core dump of any command would hold what patients entrusted to us.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        arguments = parse(words)
    except UsageError as error:
        print(error.usage, file=sys.stderr, end="")
        return _complain(Namespace(json=error.json), [str(error)], WRONG_USE)
    try:
        return _answered(arguments)
    except BrokenPipeError:
        # The reader of our output went away (`onshi … | head`), which is its right; nothing is flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return FAILED


def _answered(arguments: Namespace) -> int:
    # What reads a configuration is slow to import, and `onshi --help` reads none.
    from pipeline.settings import SettingsError  # noqa: PLC0415

    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except SettingsError as error:
        return _complain(arguments, error.faults, WRONG_USE)
    except (WrongUseError, UnfitStateError) as error:
        return _complain(arguments, [str(error)], WRONG_USE)
    except OnshiError as error:
        return _complain(arguments, [str(error)], FAILED)
    except OSError as error:
        return _complain(arguments, [": ".join(str(part) for part in (error.filename, error.strerror) if part)], FAILED)
    except Exception as error:  # noqa: BLE001 - a trace quotes what it failed on, and that may be a patient
        return _complain(arguments, [f"a fault of ours: {type(error).__name__} at {frames(error)}"], FAILED)
    return code


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _prepare_output() -> None:
    """Let no locale stop an answer: what a terminal cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: Namespace) -> int:
    if arguments.command in _WITHOUT_SETTINGS:
        plain: Callable[[Namespace], int] = _load(_WITHOUT_SETTINGS[arguments.command])
        return plain(arguments)
    read: Callable[[Path], Settings] = _load("pipeline.settings:load")
    settings = read(Path(arguments.config))
    command: Callable[[Settings, Namespace], int] = _load(_WITH_SETTINGS[arguments.command])
    return command(settings, arguments)


def _load(name: str) -> Any:
    module, function = name.split(":")
    return getattr(import_module(module), function)


def _complain(arguments: Namespace, faults: Sequence[str], code: int) -> int:
    if arguments.json:
        print(json.dumps({"errors": list(faults)}, ensure_ascii=not _is_utf8()))
    for fault in faults:
        print(f"onshi: {fault}", file=sys.stderr)
    return code
