"""How is a running process watched, killed or disturbed at one of its system calls?"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually
from tests.support.sweep.points import CHANGING, Counts, Point


class Tracer:
    """`strace` on some threads of a process. Ends with them, or lets them go at the end of the block."""

    def __init__(self, threads: Sequence[int], log: Path, *words: str) -> None:
        self.log = log
        self._said = log.with_suffix(".err")
        targets = [word for thread in threads for word in ("-p", str(thread))]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(["strace", *targets, "-o", str(log), *words], stderr=said)
        self._count = len(threads)

    def __enter__(self) -> Self:
        def attached() -> bool:
            return self._said.read_bytes().count(b" attached") >= self._count or self._process.poll() is not None

        eventually(attached, 30, "strace attached")
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(30)


def threads_of(pid: int) -> dict[str, list[int]]:
    """Name the threads of a process; several may have one name."""
    found: dict[str, list[int]] = {}
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
        found.setdefault((task / "comm").read_text().strip(), []).append(int(task.name))
    return found


def counting(pid: int, log: Path) -> Tracer:
    return Tracer([pid], log, "-f", "-e", f"trace={','.join(CHANGING)}")


def disturbing(pid: int, log: Path, point: Point) -> Tracer | None:
    """Attach so that the point's call kills or fails; None where there is no such thread."""
    threads = threads_of(pid).get(point.thread)
    if not threads:
        return None
    what = f"error={point.fault}:when={point.k}+" if point.fault else f"signal=SIGKILL:when={point.k}"
    return Tracer(threads, log, "-e", f"trace={point.call}", "-e", f"inject={point.call}:{what}")


def following(pid: int, log: Path) -> Tracer:
    """Attach to every thread with everything the order check reads: whole buffers, names of descriptors."""
    calls = (*CHANGING, "openat", "pread64", "sendto", "recvfrom")
    return Tracer([pid], log, "-f", "-yy", "-s", "8192", "-e", f"trace={','.join(calls)}")


def counts(log: Path, names: dict[str, list[int]]) -> Counts:
    by_number = {str(number): name for name, numbers in names.items() for number in numbers}
    found: Counter[tuple[str, str]] = Counter()
    for call in read(log.read_text(errors="replace").splitlines()):
        if call.thread in by_number:
            found[by_number[call.thread], call.name] += 1
    return found


@dataclass(slots=True)
class Call:
    """One call; `began` and `ended` are line numbers, so that one ended before another began if ended < began."""

    thread: str
    name: str
    text: str
    began: int
    ended: int
    result: str = ""

    @property
    def is_done(self) -> bool:
        return bool(self.result) and not self.result.startswith(("-1", "?"))

    def path(self) -> str:
        """The file behind the first descriptor, as it is called at that moment."""
        match = re.match(r"-?\d+<(.*?)>(?:\(deleted\))?(?:, |$)", self.text)
        return match[1] if match else ""

    def strings(self) -> list[str]:
        return re.findall(r'"((?:[^"\\]|\\.)*)"', self.text)


_LINE = re.compile(r"^(\d+)\s+(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$", re.DOTALL)
_RESULT = re.compile(r'\)\s+= ([^\s"]+)[^"]*$')
"""What follows a call; a buffer that looks like it is followed by a quotation mark."""
_UNFINISHED = " <unfinished ...>"


def read(lines: Iterable[str]) -> Iterator[Call]:
    """Join what strace writes of a call in two lines; calls come in the order of their beginning."""
    open_: dict[str, Call] = {}
    made: list[Call] = []
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if not match:
            continue
        thread, resumed, rest, name, text = match.groups()
        if resumed:
            call = open_.pop(thread, None)
            if call:
                call.ended = number
                call.text += _arguments(rest)
                call.result = _result(rest)
        elif text.endswith(_UNFINISHED):
            call = Call(thread, name, text.removesuffix(_UNFINISHED), number, 1 << 60)
            open_[thread] = call
            made.append(call)
        else:
            made.append(Call(thread, name, _arguments(text), number, number, _result(text)))
    return iter(made)


def _arguments(text: str) -> str:
    match = _RESULT.search(text)
    return text[: match.start()] if match else text


def _result(text: str) -> str:
    match = _RESULT.search(text)
    return match[1] if match else ""
