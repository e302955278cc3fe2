"""Does a process of threads end when it is told to, whichever of its threads hears it?"""

import ctypes
import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, threading
from pipeline.cli.supervise import Part, run_threads
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
def run(told):
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != "_wait_for_tstate_lock":
        told.wait(0.01)
    told.wait(0.1)
    print(threading.get_native_id(), flush=True)
    told.wait()
run_threads([Part("one", run)], stop)
"""
TGKILL = {"x86_64": 234, "aarch64": 131}


@pytest.mark.skipif(os.uname().machine not in TGKILL, reason="the number of the system call is not known here")
def test_a_signal_that_another_thread_took_ends_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            thread = int(process.stdout.readline())
            assert thread != process.pid
            assert ctypes.CDLL(None).syscall(TGKILL[os.uname().machine], process.pid, thread, signal.SIGTERM) == 0
            assert process.wait(30) == 0
        finally:
            process.kill()
