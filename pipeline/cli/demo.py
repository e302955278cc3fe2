"""`onshi demo`: the whole way of invented patients, from a simulated terminal to a chart, and the proof at the end.

Everything lies in a temporary folder; a PostgreSQL store gets a schema of its own, which is dropped again.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline.broker.open import open_broker
from pipeline.broker.port import TopologyError
from pipeline.cli import demo_loop, init
from pipeline.cli.demo_proof import Proof, of_visits, prove
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.cli.results import listing, show_list
from pipeline.cli.status import gather
from pipeline.settings import Settings
from pipeline.storage import StoreAwayError
from pipeline.topology import CENTRE_ROLES, work_queue
from producers.simulator.run import prepare
from producers.simulator.terminal import Folders, SimulatedTerminal

BASE_SECONDS: Final = 120.0
SECONDS_A_FILE: Final = 0.25
ANSWER_WITHIN: Final = timedelta(seconds=1)
"""The real service takes seconds as well; its answers overtake one another."""
PROCESSING_FOR: Final = timedelta(seconds=8)
"""Long enough for a download that comes too early."""
_HASTE: Final = {"ONSHI_CENTRE_DOWNLOAD_FIRST_SECONDS": "1"}
"""The simulated service is done with a bulk request sooner than the real one."""
_FINAL: Final = ("erased", "vanished")


def demo(arguments: Namespace) -> int:
    out = Console(stderr=arguments.json)
    # SIGTERM would leave the roles running and the folder lying: it ends the demo as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(arguments.keep))
        store = stack.enter_context(_store(arguments.store)) if arguments.store else "sqlite:///state/onshi.db"
        more = demo_loop.configured() if arguments.full else ""
        text = init.configuration(broker=arguments.broker, store=store, fetch=arguments.full, more=more)
        settings = init.make(folder, text, patients=None)
        if not arguments.broker.startswith("embedded:"):
            _refuse_used_broker(settings)
        out.print(f"Onshi demo: {arguments.patients} invented patients, broker {_shown(arguments.broker)}, in {folder}")
        return _run(settings, folder, arguments, out)


def _run(settings: Settings, folder: Path, arguments: Namespace, out: Console) -> int:
    desk = Desk(settings, arguments)
    log = folder / "run.log"
    started = time.monotonic()
    terminal = _terminal(settings, arguments)
    with desk.closing(), _pipeline(folder / "onshi.toml", log) as process, terminal.serving():
        terminal.write_faces()
        if arguments.full:
            demo_loop.ask_for_bookings(desk, terminal)
            terminal.write_every_kind()
        is_final = _watch(desk, process, terminal, out, is_full=arguments.full)
        code = _stop(process)
        rows = listing(desk)
        shown = of_visits(desk, rows)
        proof = prove(desk, terminal, rows, has_loop=arguments.full)
    seconds = time.monotonic() - started
    if code != 0:
        proof.faults.append(f"`onshi run` ended with exit code {code}")
    if not is_final:
        proof.faults.append("not every file became final in time")
    _show(arguments, rows if arguments.json else shown, proof, seconds, out)
    if proof.faults:
        kept = Path(tempfile.gettempdir()) / f"onshi-demo-{secrets.token_hex(4)}.log"
        shutil.copyfile(log, kept)
        out.print(f"the log of the run is kept in {kept}")
        return 1
    return 0


def _terminal(settings: Settings, arguments: Namespace) -> SimulatedTerminal:
    """Make a terminal with its service, and the chart's list of the patients who will come."""
    clinic = settings.clinics[0]
    own, chart = clinic.terminals[0], clinic.chart
    assert chart is not None
    terminal = prepare(
        Folders(own.face, own.res, own.req),
        count=arguments.patients,
        seed=1,
        institution_code=clinic.institution_codes[0],
        has_mixed_consents=arguments.full,
    )
    if arguments.full:
        terminal.behaviour.answer_within = ANSWER_WITHIN
        terminal.behaviour.processing_for = PROCESSING_FOR
    terminal.write_patients(chart.patients)
    return terminal


def _watch(
    desk: Desk, process: subprocess.Popen[bytes], terminal: SimulatedTerminal, out: Console, *, is_full: bool
) -> bool:
    """Show progress until every file is final; False when it takes too long or the run ended."""
    count = demo_loop.expected_files(terminal)
    deadline = time.monotonic() + BASE_SECONDS + SECONDS_A_FILE * count
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=False) as progress:
        known = progress.add_task("読み取り・照合 understood", total=count)
        delivered = progress.add_task("カルテへ到着 delivered", total=count)
        erased = progress.add_task("端末から消去 erased", total=count)
        while time.monotonic() < deadline and process.poll() is None:
            state = gather(desk)
            outcomes, custody = state["outcomes"], state["files"]
            ended = sum(outcomes[name] for name in ("delivered", "rejected", "not_due"))
            gone = sum(custody[name] for name in _FINAL)
            count = demo_loop.expected_files(terminal)
            for task, done in ((known, sum(outcomes.values())), (delivered, ended), (erased, gone)):
                progress.update(task, completed=done, total=count)
            # What was asked between the counting and the look has its answer still to come.
            is_done = min(ended, gone) >= count and (not is_full or demo_loop.is_at_rest(desk))
            if is_done and demo_loop.expected_files(terminal) == count:
                return True
            time.sleep(0.2)
    return False


@contextmanager
def _pipeline(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `onshi run` beside us, its log in a file; it never outlives us."""
    environment = {**os.environ, "ONSHI_HTTP_PORT": "0", "ONSHI_EDGE_REPORT_SECONDS": "5", **_HASTE}
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pipeline.cli", "run", "--config", str(config)], stderr=sink, env=environment
        )
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _show(arguments: Namespace, rows: list[dict[str, Any]], proof: Proof, seconds: float, out: Console) -> None:
    if arguments.json:
        print(
            json.dumps(
                {"results": rows, "proof": proof.as_json(), "seconds": round(seconds, 1)},
                ensure_ascii=False,
                default=str,
            )
        )
        return
    show_list(rows)
    for line in proof.lines():
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print(f"{seconds:.1f} s", highlight=False)


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep:
        yield Path(keep).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="onshi-demo-") as name:
        yield Path(name)


@contextmanager
def _store(url: str) -> Iterator[str]:
    """Give the demo a schema of its own in a PostgreSQL database; any other store is used as it is."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise WrongUseError("--store: is not a URL") from None
    if parsed.get_backend_name() != "postgresql":
        yield url
        return
    schema = f"onshi_demo_{secrets.token_hex(4)}"
    engine = create_engine(parsed.set(drivername="postgresql+psycopg"), hide_parameters=True)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except DBAPIError as error:
        raise StoreAwayError(f"--store: no schema can be made there ({type(error.orig).__name__})") from None
    try:
        inside = parsed.update_query_dict({"options": f"-csearch_path={schema}"})
        yield inside.render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


def _refuse_used_broker(settings: Settings) -> None:
    """Never take another installation's messages.

    Raises:
        WrongUseError: messages wait in the queues that this demo would consume.
        BrokerAwayError: nobody answers, and a demo would only wait.
    """
    broker = open_broker(settings.broker.url, settings.state, settings.broker.certificates)
    try:
        for role in CENTRE_ROLES:
            if _depth(broker, work_queue(role)):
                raise WrongUseError("--broker: messages wait in its queues; give the demo a virtual host of its own")
    finally:
        broker.close()


def _depth(broker: Any, queue: str) -> int:
    try:
        return int(broker.depth(queue))
    except TopologyError:
        return 0


def _shown(url: str) -> str:
    """Show where a broker is without its password."""
    return url if url.startswith("embedded:") else make_url(url).render_as_string(hide_password=True)
