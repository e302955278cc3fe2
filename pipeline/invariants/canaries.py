"""Is a patient's name in a file where none may be? I8, for the files that are given.

A sample of each clinic's patients is opened in memory; nothing of them is shown. Names are looked for in every
spelling that logs and databases use. A file that holds one is named, never what was found in it.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select

from pipeline.errors import PermanentError
from pipeline.invariants.finding import Finding
from pipeline.keyring import Keyring
from pipeline.patient_row import rows_from_bytes
from pipeline.sealing import Opener
from pipeline.storage.schema import patient_lists, patients

SAYS: Final = "no patient's name is in a log, nor in a file of the broker or of a ledger"
SAMPLE: Final = 300
"""Patients of each clinic, spread over the whole list; each costs several searches through every file."""
_SHORTEST: Final = 4
_CHUNK: Final = 8 << 20
_OVERLAP: Final = 1024
_ENCODINGS: Final = ("utf-8", "cp932", "utf-16-le", "utf-16-be")


def finding(connection: Connection, keyring: Keyring, paths: Sequence[Path]) -> Finding:
    if not paths:
        return Finding("I8", SAYS, note="no files were given with --logs", applicable=False)
    spelled = sorted({word for name in _names(connection, keyring) for word in _spellings(name)})
    if not spelled:
        return Finding("I8", SAYS, note="there is no patient list to look for", applicable=False)
    unreadable: list[str] = []
    found = [str(path) for path in _files(paths) if _holds(path, spelled, unreadable)]
    note = f"{len(unreadable)} files could not be read" if unreadable else None
    return Finding("I8", SAYS, tuple(found), note)


def _names(connection: Connection, keyring: Keyring) -> Iterator[str]:
    opener = Opener(keyring)
    lists = connection.execute(select(patient_lists).where(patient_lists.c.state == "current")).all()
    for one in lists:
        own = patients.c.list_id == one.list_id
        count = connection.scalar(select(func.count()).select_from(patients).where(own)) or 0
        spread = max(1, count // SAMPLE)
        for row in connection.execute(select(patients).where(own, patients.c.row % spread == 0).limit(SAMPLE)):
            try:
                raw = opener.open(row.clinic, f"patient:{row.list_id}:{row.row}", row.sealed)
                (opened,) = rows_from_bytes(raw)
            except PermanentError:
                continue
            yield from (opened.name, opened.kana, opened.address)


def _spellings(name: str) -> Iterator[bytes]:
    if len(name) < _SHORTEST:
        return
    forms = {name, name.replace("　", " "), unicodedata.normalize("NFKC", name), json.dumps(name)[1:-1]}
    for form in forms:
        for encoding in _ENCODINGS:
            try:
                yield form.encode(encoding)
            except UnicodeEncodeError:
                continue


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else (path,)


def _holds(path: Path, words: Sequence[bytes], unreadable: list[str]) -> bool:
    try:
        with path.open("rb") as source:
            kept = b""
            while chunk := source.read(_CHUNK):
                window = kept + chunk
                # A ballast is nothing but room; every word would be looked for all through it.
                if window.strip(b"\0") and any(word in window for word in words):
                    return True
                kept = window[-_OVERLAP:]
    except OSError:
        unreadable.append(path.name)
    return False
