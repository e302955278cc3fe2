"""`onshi clinics add|retire`: a clinic comes to the group or leaves it, and no other notices."""

from argparse import Namespace
from datetime import UTC, datetime

from pipeline.authority import Authority
from pipeline.cli.group_files import GroupFiles
from pipeline.cli.keys import issue_keys
from pipeline.cli.main import WrongUseError
from pipeline.cli.provision import apply_now
from pipeline.group import edge_user
from pipeline.provisioning.work import group_of
from pipeline.settings import Settings


def clinics(settings: Settings, arguments: Namespace) -> int:
    files = GroupFiles(settings)
    return _add(settings, files, arguments) if arguments.action == "add" else _retire(settings, files, arguments)


def _add(settings: Settings, files: GroupFiles, arguments: Namespace) -> int:
    if settings.clinic(arguments.clinic) is not None:
        raise WrongUseError(f"{arguments.clinic}: is a clinic of the group already")
    clinic = {"id": arguments.clinic, "institution_codes": arguments.codes}
    changed = files.write(files.clinic_file(arguments.clinic), {"clinics": [clinic]})
    issue_keys(changed)
    return apply_now(changed, arguments)


def _retire(settings: Settings, files: GroupFiles, arguments: Namespace) -> int:
    clinic = settings.clinic(arguments.clinic)
    if clinic is None:
        raise WrongUseError(f"{arguments.clinic}: is no clinic of the group")
    path = files.clinic_file(clinic.id)
    files.tables(path)
    changed = files.retire(path)
    authority = Authority(group_of(settings).ca_dir)
    for edge in settings.edges:
        if edge.clinic == clinic.id:
            authority.revoke(edge_user(edge), datetime.now(UTC))
    return apply_now(changed, arguments, force=arguments.force)
