"""`onshi terminals enrol`: with what is a clinic's machine set up?

A folder of its own: configuration, certificates, its key pair and the public key ring. It is carried to the machine and
does not stay here. What was enrolled can be enrolled `--again` when the machine was replaced; the former one is then
locked out.
"""

import json
import shutil
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.authority import Authority, Purpose
from pipeline.cli.group_files import GroupFiles
from pipeline.cli.key_care import issue_keys
from pipeline.cli.main import WrongUseError
from pipeline.cli.provision import copy_list, tell
from pipeline.group import edge_user
from pipeline.key_bundle import hand_over
from pipeline.provisioning.work import apply, group_of
from pipeline.setting_text import text_of
from pipeline.settings import Settings
from pipeline.topology import CHART_EDGE, Edge
from producers.terminal import succeed


def terminals(settings: Settings, arguments: Namespace) -> int:
    files = GroupFiles(settings)
    clinic_id, _, edge_id = arguments.edge.partition("/")
    clinic, edge, out = settings.clinic(clinic_id), Edge(clinic_id, edge_id), Path(arguments.out)
    if clinic is None or not edge_id:
        raise WrongUseError(f"{arguments.edge}: name a clinic of the group and a terminal, as c001/t1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WrongUseError(f"{out}: is not a new or empty directory; nothing was changed")
    group = group_of(settings)
    if group.edge_url is None:
        raise WrongUseError("group.edge_url is not set: the machine would not know where the broker is")
    authority, user, now = Authority(group.ca_dir), edge_user(edge), datetime.now(UTC)
    if authority.standing(user, now) and not arguments.again:
        raise WrongUseError(f"{arguments.edge}: is enrolled; for a machine that was replaced, say --again")
    changed = settings if edge in settings.edges else _declare(files, edge)
    issue_keys(changed)
    made = authority.issue(user, Purpose.CLIENT, out / "certificates", now)
    ended = authority.revoke(user, now, but=made.serial)
    shutil.copyfile(authority.certificate_file, out / "certificates" / "ca.crt")
    was_known = hand_over(changed.keys.dir, edge, out / "keys", again=arguments.again)
    # Also where no certificate stands: it was revoked or has ended, its clinic came back, the authority is another.
    follows = (arguments.again or was_known) and edge.edge != CHART_EDGE
    if follows:
        succeed(out / STATE, edge.clinic, edge.edge)
    text = text_of(
        _configuration(clinic.institution_codes, edge, group.edge_url, arguments), _COMMENT.format(edge=user)
    )
    (out / "onshi.toml").write_text(text, encoding="utf-8")
    applied = apply(changed)
    _say(arguments, out, user, len(applied.made))
    if ended:
        tell(arguments, copy_list(group, user))
    if follows:
        tell(arguments, _FORMER)
    return 0


_FORMER = "what the former machine had not erased ends as vanished once this one has files of its own: destroy its disk"
STATE = "state"
_COMMENT = "Onshi (オン資) on the machine of {edge}. Paths are relative to this file.\nThis folder holds private keys."


def _declare(files: GroupFiles, edge: Edge) -> Settings:
    """Write the edge into its clinic's file. Where its folders lie is the machine's business, not the centre's."""
    path = files.clinic_file(edge.clinic)
    tables = files.tables(path)
    clinic = next(entry for entry in tables["clinics"] if entry["id"] == edge.clinic)
    place = f"elsewhere/{edge.clinic}/{edge.edge}"
    if edge.edge == CHART_EDGE:
        clinic["chart"] = {"inbox": f"{place}/inbox", "patients": f"{place}/patients.csv"}
    else:
        folders = {name: f"{place}/{name}" for name in ("face", "res", "req")}
        clinic.setdefault("terminals", []).append({"id": edge.edge, **folders})
    return files.write(path, tables)


def _configuration(codes: tuple[str, ...], edge: Edge, url: str, arguments: Namespace) -> dict[str, Any]:
    clinic: dict[str, Any] = {"id": edge.clinic, "institution_codes": list(codes)}
    if edge.edge == CHART_EDGE:
        clinic["chart"] = {"inbox": arguments.inbox, "patients": arguments.patients}
    else:
        folders = {name: str(vars(arguments)[name]) for name in ("face", "res", "req")}
        clinic["terminals"] = [{"id": edge.edge, **folders, "mode": arguments.mode}]
    files = {key: f"certificates/{name}" for key, name in _certificates(edge_user(edge)).items()}
    return {
        "broker": {"url": url, "declare": False, **files},
        "keys": {"dir": "keys"},
        "edge": {"state": STATE},
        "clinics": [clinic],
    }


def _certificates(user: str) -> dict[str, str]:
    return {"ca_file": "ca.crt", "cert_file": f"{user}.crt", "key_file": f"{user}.key"}


def _say(arguments: Namespace, out: Path, user: str, changes: int) -> None:
    role = "chart" if user.endswith(f".{CHART_EDGE}") else "terminal"
    if arguments.json:
        print(json.dumps({"directory": str(out), "user": user, "changes": changes}))
        return
    print(f"made {out} for {user}; the broker was told ({changes} changes)")
    print(f"carry it to the machine, remove it here, and there: onshi check, then onshi run {role} -c onshi.toml")
