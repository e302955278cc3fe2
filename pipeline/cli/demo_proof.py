"""What must be true at the end of a demo: the terminal empty, the chart complete, the certificates whole?"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline import certificates, invariants
from pipeline.cli import demo_loop
from pipeline.cli.desk import Desk
from pipeline.cli.status import gather
from pipeline.oqs.names import MessageKind
from pipeline.storage.schema import certificates as table
from pipeline.storage.schema import copies, files
from pipeline.verdicts import read_codes
from producers.simulator.cases import agrees
from producers.simulator.terminal import SimulatedTerminal, Written


@dataclass(slots=True)
class Proof:
    """Figures, and everything that is not as it must be."""

    written: int = 0
    left_on_terminal: int = 0
    in_chart: int = 0
    delivered: int = 0
    certified: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    loop: demo_loop.Loop | None = None
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self.__slots__}
        return told | {"loop": self.loop.as_json() if self.loop else None}

    def lines(self) -> Iterator[str]:
        yield ""
        yield "確認結果  " + "  ".join(f"{read_codes(code)[0].label} {count}" for code, count in self.verdicts.items())
        yield ""
        yield f"端末に残ったファイル {self.left_on_terminal}／{self.written} (terminal folders face, res, req)"
        yield f"カルテに届いたファイル {self.in_chart}／{self.delivered}、記録つき (chart inbox, each with its record)"
        yield f"消去証明 {self.certified} 件、連鎖を検証済み (erasure certificates, every chain verified)"
        if self.loop:
            yield from self.loop.lines()
        yield from (f"✗ {fault}" for fault in self.faults)
        yield (
            "すべて良好：紛失・重複・残存なし (all is well: nothing lost, nothing twice, nothing left)"
            if not self.faults
            else f"不一致 {len(self.faults)} 件 (faults)"
        )


def prove(desk: Desk, terminal: SimulatedTerminal, rows: list[dict[str, Any]], *, has_loop: bool) -> Proof:
    """Look at folders, chart and store, and compare with what the simulator knows it wrote."""
    clinic = desk.settings.clinics[0]
    assert clinic.chart is not None
    written = terminal.written
    proof = Proof(written=demo_loop.expected_files(terminal))
    proof.verdicts = dict(Counter(code for row in of_visits(desk, rows) for code in row["verdicts"]).most_common())
    for own in clinic.terminals:
        for folder in (own.face, own.res, own.req):
            proof.left_on_terminal += sum(1 for _ in folder.iterdir())
    _check_store(desk, proof)
    _check_inbox(clinic.chart.inbox, proof)
    if proof.left_on_terminal:
        proof.faults.append(f"{proof.left_on_terminal} files are left on the terminal")
    _check_verdicts(desk, written, rows, proof)
    if has_loop:
        proof.loop = demo_loop.prove(desk, terminal, desk.now)
        proof.faults.extend(proof.loop.faults)
    return proof


def of_visits(desk: Desk, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave the results of face files: one for each patient who came, as reception looks at them."""
    with desk.store.reading() as connection:
        faces = set(connection.scalars(select(files.c.file_id).where(files.c.kind == MessageKind.FACE.value)))
    return [row for row in rows if row["file_id"] in faces]


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


def _check_verdicts(desk: Desk, written: Sequence[Written], rows: list[dict[str, Any]], proof: Proof) -> None:
    """Hold what was decided against what each invented patient was made for."""
    decided: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        decided.setdefault(row["file_id"], []).append(row)
    files_by_name = _files_by_name(desk)
    wrong: Counter[str] = Counter()
    for one in written:
        found = sorted(decided.get(files_by_name.get(one.name, ""), []), key=lambda row: int(row["result"]))
        if one.case is None:
            continue
        if not agrees(one.case, [row["verdicts"] for row in found]):
            wrong[f"{one.case}: decided {[row['verdicts'] for row in found]}"] += 1
        elif one.patient_id and found[0]["patient_id"] not in (None, one.patient_id):
            wrong[f"{one.case}: another patient"] += 1
    proof.faults.extend(f"{count} × {what}" for what, count in wrong.items())


def _files_by_name(desk: Desk) -> dict[str, str]:
    query = select(copies.c.clinic, copies.c.copy_id, copies.c.file_id, copies.c.sealed_name)
    with desk.store.reading() as connection:
        found = {
            desk.open_name(row.clinic, row.copy_id, row.sealed_name): row.file_id for row in connection.execute(query)
        }
    return {name: file_id for name, file_id in found.items() if name is not None}
