"""`onshi simulate`: realistic terminal files of invented patients; never the configured patient list."""

from argparse import Namespace
from pathlib import Path

from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.clinic_settings import Clinic, Terminal
from pipeline.settings import Settings
from producers.simulator.run import simulate as write_files
from producers.simulator.terminal import Folders


def simulate(settings: Settings, arguments: Namespace) -> int:
    clinic, terminal = _terminal(settings, arguments.terminal)
    patients = Path(arguments.patients) if arguments.patients else None
    if patients and any(c.chart and c.chart.patients.resolve() == patients.resolve() for c in settings.clinics):
        raise WrongUseError(f"{patients}: is a configured patient list, which is never written")
    summary = write_files(
        Folders(terminal.face, terminal.res, terminal.req),
        institution_code=clinic.institution_codes[0],
        count=arguments.count,
        rate=arguments.rate,
        seed=arguments.seed,
        patients_path=patients,
    )
    lines = [f"wrote {len(summary.written)} files to {terminal.face}"]
    if patients:
        lines.append(f"wrote the patients that belong to them to {patients}")
    Desk(settings, arguments).say({"files": len(summary.written), "folder": str(terminal.face)}, lines)
    return 0


def _terminal(settings: Settings, name: str) -> tuple[Clinic, Terminal]:
    clinic_id, _, terminal_id = name.rpartition("/")
    found = [
        (clinic, terminal)
        for clinic in settings.clinics
        for terminal in clinic.terminals
        if terminal.id == terminal_id and clinic_id in ("", clinic.id)
    ]
    if len(found) != 1:
        known = ", ".join(f"{c.id}/{t.id}" for c in settings.clinics for t in c.terminals)
        raise WrongUseError(f"--terminal {name}: names {len(found) or 'no'} terminals; there are {known}")
    return found[0]
