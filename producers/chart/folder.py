"""How does a delivery come into a folder chart exactly once, even when we die at any step?

The original as `<file id><suffix>`, then the record as `<file id>.json`, each complete when its name appears
(design section 12). The chart's program may take both away at once, so a missing file proves nothing; what proves is
our own temporary name:

1. the temporary names are recorded (`staging`); 2. both files are written under them and flushed, then their folder;
3. that is recorded (`staged`); 4. the originals are renamed, the folder flushed, the records renamed, the folder
flushed; 5. the caller records the receipt.

After a crash in `staging` the leftovers are removed and all begins anew. In `staged` a temporary name that is gone
was renamed, and is never written again. A folder that is not the one the stage was made in (a share that is not
mounted shows an empty one) proves nothing, so there the delivery begins anew too: a repetition carries the same file
id, a loss would carry nothing.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Protocol

from pipeline.edge_words import Refusal
from pipeline.sealing import IdentityKey
from producers.chart.flush import flush_files
from producers.chart.port import ChartAwayError, ChartDelivery, ChartRefusedError, Receipt

RECORD_SUFFIX = ".json"
_SUFFIXES = (".xml", ".pdf", ".zip", ".err")
_FILE_ID = re.compile(r"[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Stage:
    """What of one delivery lies in the inbox under which temporary name. Holds nothing of a patient."""

    file_id: str
    suffix: str
    record_temporary: str
    original_temporary: str | None
    receipt: Receipt
    place: int
    """Inode of the inbox it was made in. Not the device: that of a share changes with every mount."""
    is_staged: bool = False

    @property
    def original_name(self) -> str:
        return self.file_id + self.suffix

    @property
    def record_name(self) -> str:
        return self.file_id + RECORD_SUFFIX

    @property
    def temporaries(self) -> tuple[str, ...]:
        return tuple(name for name in (self.original_temporary, self.record_temporary) if name)


class Stages(Protocol):
    """Where stages outlive the process. Each call is durable when it returns."""

    def read(self, keys: Sequence[str]) -> Mapping[str, Stage]: ...

    def write(self, stages: Mapping[str, Stage]) -> None: ...

    def forget(self, keys: Sequence[str]) -> None: ...


def stage_to_text(stage: Stage) -> str:
    return json.dumps(asdict(stage))


def stage_from_text(text: str) -> Stage:
    return Stage(**json.loads(text))


def _ignore(_step: str) -> None:
    return


class FolderChart:
    """`ChartPort` on one inbox. `after` is told each step that is done: for tests that end the process there."""

    def __init__(
        self, inbox: Path, identity: IdentityKey, stages: Stages, after: Callable[[str], None] = _ignore
    ) -> None:
        self._inbox = inbox
        self._identity = identity
        self._stages = stages
        self._after = after

    def find(self, keys: Sequence[str]) -> Mapping[str, Receipt]:
        begun = self._stages.read(keys) if keys else {}
        with self._open_inbox() as folder:
            whole = {key: stage for key, stage in begun.items() if self._is_conclusive(folder, stage)}
            over = {key: stage for key, stage in begun.items() if key not in whole}
            for stage in over.values():
                self._remove(folder, stage)
            self._stages.forget(list(over))
            self._show(folder, whole)
        return {key: stage.receipt for key, stage in whole.items()}

    def apply(self, deliveries: Sequence[ChartDelivery]) -> Mapping[str, Receipt | ChartRefusedError]:
        refused = {one.key: fault for one in deliveries if (fault := self._fault(one))}
        with self._open_inbox() as folder:
            place = os.fstat(folder).st_ino
            accepted = [one for one in deliveries if one.key not in refused]
            refused |= {one.key: fault for one in accepted if (fault := self._obstacle(folder, one))}
            accepted = [one for one in accepted if one.key not in refused]
            if not accepted:
                return refused
            stages = {one.key: self._stage_of(one, place) for one in accepted}
            self._stages.write(stages)
            self._after("staging")
            self._fill(folder, accepted, stages)
            stages = {key: replace(stage, is_staged=True) for key, stage in stages.items()}
            self._stages.write(stages)
            self._after("staged")
            self._show(folder, stages)
        return {**refused, **{key: stage.receipt for key, stage in stages.items()}}

    def _stage_of(self, one: ChartDelivery, place: int) -> Stage:
        original = one.content.original
        return Stage(
            file_id=one.file_id,
            suffix=one.content.suffix,
            record_temporary=_temporary(),
            original_temporary=None if original is None else _temporary(),
            # Keyed, because a plain hash of so little entropy could be guessed from a patient list.
            receipt=self._identity.mac("receipt", original or b"", _record_bytes(one)),
            place=place,
        )

    def _fill(self, folder: int, accepted: Sequence[ChartDelivery], stages: Mapping[str, Stage]) -> None:
        try:
            with ExitStack() as files:
                flush_files(folder, [file.fileno() for file in self._written(folder, accepted, stages, files)])
            os.fsync(folder)
        except OSError:
            # A full disk must not stay full with what we could not finish.
            for stage in stages.values():
                self._remove(folder, stage)
            raise

    def _written(
        self, folder: int, accepted: Sequence[ChartDelivery], stages: Mapping[str, Stage], files: ExitStack
    ) -> Iterator[BinaryIO]:
        for one in accepted:
            stage = stages[one.key]
            if stage.original_temporary and one.content.original is not None:
                yield files.enter_context(_write(folder, stage.original_temporary, one.content.original))
                self._after("original written")
            yield files.enter_context(_write(folder, stage.record_temporary, _record_bytes(one)))
            self._after("record written")

    def _show(self, folder: int, stages: Mapping[str, Stage]) -> None:
        """Give every staged file its final name, unless it has had it already; records last."""
        if not stages:
            return
        for stage in stages.values():
            if stage.original_temporary:
                _rename(folder, stage.original_temporary, stage.original_name)
                self._after("original renamed")
        os.fsync(folder)
        for stage in stages.values():
            _rename(folder, stage.record_temporary, stage.record_name)
            self._after("record renamed")
        os.fsync(folder)
        self._after("shown")

    def _is_conclusive(self, folder: int, stage: Stage) -> bool:
        """Say whether the temporary names tell what has happened."""
        if not stage.is_staged:
            return False
        if _exists(folder, stage.record_temporary):
            return True
        if stage.original_temporary and _exists(folder, stage.original_temporary):
            # The record is renamed last: somebody else took it away under its temporary name.
            return False
        return os.fstat(folder).st_ino == stage.place

    def _remove(self, folder: int, stage: Stage) -> None:
        for name in stage.temporaries:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)

    def _fault(self, one: ChartDelivery) -> ChartRefusedError | None:
        # Both become file names; what the centre says is not trusted to be one.
        if not _FILE_ID.fullmatch(one.file_id) or one.content.suffix not in _SUFFIXES:
            return ChartRefusedError(Refusal.UNSAFE_NAME)
        return None

    def _obstacle(self, folder: int, one: ChartDelivery) -> ChartRefusedError | None:
        names = [one.file_id + RECORD_SUFFIX]
        if one.content.original is not None:
            names.append(one.file_id + one.content.suffix)
        return ChartRefusedError(Refusal.NAME_TAKEN) if any(_is_directory(folder, name) for name in names) else None

    @contextmanager
    def _open_inbox(self) -> Iterator[int]:
        """Hold the folder itself, so that all steps see the same one, whatever its path becomes meanwhile."""
        folder = -1
        try:
            folder = os.open(self._inbox, os.O_RDONLY | os.O_DIRECTORY)
            if not os.access(self._inbox, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "not writable")
            yield folder
        except OSError as error:
            raise ChartAwayError(errno.errorcode.get(error.errno or 0, "unknown").lower()) from None
        finally:
            if folder >= 0:
                os.close(folder)


def _temporary() -> str:
    return f".onshi-{token_hex(8)}.tmp"


def _record_bytes(one: ChartDelivery) -> bytes:
    return json.dumps(one.content.record, ensure_ascii=False).encode()


def _write(folder: int, name: str, content: bytes) -> BinaryIO:
    # Readable as the umask says: the chart's program often runs as another user.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    out = os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb", buffering=0)
    try:
        left = memoryview(content)
        while left:
            left = left[out.write(left) :]
    except OSError:
        out.close()
        raise
    return out


def _rename(folder: int, temporary: str, name: str) -> None:
    with suppress(FileNotFoundError):
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_directory(folder: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
