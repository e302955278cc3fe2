"""What must be true at the end of a demo: the terminal empty, the chart complete, the certificates whole?"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline import certificates, invariants
from pipeline.cli.desk import Desk
from pipeline.cli.status import gather
from pipeline.storage.schema import certificates as table
from pipeline.storage.schema import files
from pipeline.verdicts import Verdict
from producers.simulator import Summary


@dataclass(slots=True)
class Proof:
    """Figures, and everything that is not as it must be."""

    written: int = 0
    left_on_terminal: int = 0
    in_chart: int = 0
    delivered: int = 0
    certified: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def lines(self) -> Iterator[str]:
        yield ""
        yield "確認結果  " + "  ".join(f"{Verdict(code).label} {count}" for code, count in self.verdicts.items())
        yield ""
        yield f"terminal folders (face, res, req): {self.left_on_terminal} of {self.written} files left"
        yield f"chart inbox: {self.in_chart} of {self.delivered} files with their record"
        yield f"erasure certificates: {self.certified}, every chain verified"
        yield from (f"✗ {fault}" for fault in self.faults)
        yield (
            "all is well: nothing lost, nothing twice, nothing left"
            if not self.faults
            else f"{len(self.faults)} faults"
        )


def prove(desk: Desk, written: Summary, rows: list[dict[str, Any]]) -> Proof:
    """Look at folders, chart and store, and compare with what the simulator knows it wrote."""
    clinic = desk.settings.clinics[0]
    assert clinic.chart is not None
    proof = Proof(written=len(written.written))
    proof.verdicts = dict(Counter(code for row in rows for code in row["verdicts"]).most_common())
    for terminal in clinic.terminals:
        for folder in (terminal.face, terminal.res, terminal.req):
            proof.left_on_terminal += sum(1 for _ in folder.iterdir())
    _check_store(desk, proof)
    _check_inbox(clinic.chart.inbox, proof)
    if proof.left_on_terminal:
        proof.faults.append(f"{proof.left_on_terminal} files are left on the terminal")
    _check_verdicts(written, rows, proof)
    return proof


def _check_store(desk: Desk, proof: Proof) -> None:
    with desk.store.reading() as connection:
        proof.delivered = (
            connection.scalar(select(func.count()).select_from(files).where(files.c.outcome == "delivered")) or 0
        )
        proof.certified = connection.scalar(select(func.count()).select_from(table)) or 0
        faults = certificates.verify(connection, desk.keyring)
        findings = invariants.verify(connection, desk.keyring)
    proof.faults.extend(f"certificate: {fault}" for fault in faults)
    proof.faults.extend(f"{finding.name} broken: {finding.says}" for finding in invariants.broken(findings))
    state = gather(desk)
    if state["parked"]:
        proof.faults.append(f"parked: {state['parked']}")
    if proof.certified != proof.written:
        proof.faults.append(f"{proof.written} files were written, {proof.certified} erasures certified")


def _check_inbox(inbox: Path, proof: Proof) -> None:
    names = {path.name for path in inbox.iterdir()}
    records = {Path(name).stem for name in names if name.endswith(".json")}
    originals = Counter(Path(name).stem for name in names if not name.endswith(".json"))
    whole = {stem for stem in records if originals[stem] == 1}
    proof.in_chart = len(whole)
    if len(whole) != proof.delivered or len(names) != 2 * len(whole):
        proof.faults.append(f"the chart's inbox has {len(names)} files for {proof.delivered} deliveries")
    for stem in whole:
        if json.loads((inbox / f"{stem}.json").read_bytes())["file_id"] != stem:
            proof.faults.append("a record in the chart's inbox belongs to another file")


def _check_verdicts(written: Summary, rows: list[dict[str, Any]], proof: Proof) -> None:
    """Hold what was decided against what each invented patient was made for."""
    decided = Counter(tuple(row["verdicts"]) for row in rows)
    expected = Counter(tuple(verdicts) for entry in written.written for verdicts in entry.results)
    for verdicts, count in expected.items():
        if decided[verdicts] != count:
            proof.faults.append(f"{' '.join(verdicts)}: expected {count}, decided {decided[verdicts]}")
