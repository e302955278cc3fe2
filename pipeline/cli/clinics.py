"""`onshi clinics add|retire`: a clinic comes to the group or leaves it, and no other notices."""

from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.authority import Authority
from pipeline.cli.group_files import GroupFiles
from pipeline.cli.key_care import issue_keys
from pipeline.cli.main import WrongUseError
from pipeline.cli.provision import apply_now, copy_list, tell
from pipeline.group import edge_user
from pipeline.provisioning.work import group_of
from pipeline.settings import Settings


def clinics(settings: Settings, arguments: Namespace) -> int:
    files = GroupFiles(settings)
    return _add(settings, files, arguments) if arguments.action == "add" else _retire(settings, files, arguments)


def _add(settings: Settings, files: GroupFiles, arguments: Namespace) -> int:
    if settings.clinic(arguments.clinic) is not None:
        raise WrongUseError(f"{arguments.clinic}: is a clinic of the group already")
    path = files.clinic_file(arguments.clinic)
    _require_no_other(files.retired_tables(path), arguments)
    changed = files.write(path, {"clinics": [{"id": arguments.clinic, "institution_codes": arguments.codes}]})
    issue_keys(changed)
    code = apply_now(changed, arguments)
    name = arguments.clinic
    tell(
        arguments,
        f"{name}: is a clinic of the group; next its machines: `onshi terminals enrol {name}/t1`, {name}/chart",
    )
    return code


def _require_no_other(tables: dict[str, Any], arguments: Namespace) -> None:
    """Refuse the id of a clinic that left: its patients would be searched for another clinic's results."""
    codes = {
        code["code"] if isinstance(code, dict) else code
        for clinic in tables.get("clinics", ())
        if clinic["id"] == arguments.clinic
        for code in clinic["institution_codes"]
    }
    if codes and codes.isdisjoint(arguments.codes):
        raise WrongUseError(
            f"{arguments.clinic}: was the id of the clinic {', '.join(sorted(codes))}; its patients, files and keys"
            " still stand under it. Choose another id"
        )


def _retire(settings: Settings, files: GroupFiles, arguments: Namespace) -> int:
    name = arguments.clinic
    path = files.clinic_file(name)
    changed = settings if settings.clinic(name) is None else _end(settings, files, path, name)
    if not files.is_retired(path):
        raise WrongUseError(f"{name}: is no clinic of the group")
    # Another clinic's queues are nobody's to force here.
    code = apply_now(changed, arguments, force=f"edge.{name}." if arguments.force else None)
    tell(arguments, f"{name}: is retired; {copy_list(group_of(settings))}")
    return code


def _end(settings: Settings, files: GroupFiles, path: Path, clinic: str) -> Settings:
    files.tables(path)
    authority, now = Authority(group_of(settings).ca_dir), datetime.now(UTC)
    # Without the authority's key nothing is begun.
    authority.write_list(now)
    changed = files.retire(path)
    for edge in settings.edges:
        if edge.clinic == clinic:
            authority.revoke(edge_user(edge), now)
    return changed
