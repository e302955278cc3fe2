"""A process that carries a chart's deliveries out and kills itself after a given step. Run by fault tests.

Arguments: folder of the clinic, step, how often that step is survived. Without a step it ends when nothing is wanted.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from pipeline.clock import SystemClock
from pipeline.keyring import Keyring
from producers.chart.folder import FolderChart
from producers.chart.ledger import Ledger
from producers.chart.port import ChartPort
from producers.chart.role import ChartRole
from producers.chart.stages import LedgerStages
from tests.support.chart import CLINIC, open_embedded, settings_in

root, fatal_step, survived = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
left = threading.Semaphore(survived)


def after(step: str) -> None:
    if step == fatal_step and not left.acquire(blocking=False):
        os.kill(os.getpid(), signal.SIGKILL)


def stop_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


class Victim(ChartRole):
    def _open_chart(self, ledger: Ledger) -> ChartPort:
        identity = self._keyring.identity(CLINIC)
        return FolderChart(self._chart.inbox, identity, LedgerStages(ledger), after)


settings = settings_in(root)
clinic = settings.clinics[0]
with open_embedded(root / "broker.db") as broker:
    stop = threading.Event()
    threading.Thread(target=stop_at_end_of_input, args=(stop,), daemon=True).start()
    Victim(settings, clinic, Keyring(settings.keys.dir), broker, SystemClock()).run(stop)
