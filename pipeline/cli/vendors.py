"""`onshi vendors add|rotate|revoke|tail`: who else hears of results, and how is that ended?"""

import shutil
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consumers.publication.records import VendorKeyError, VendorKeys
from pipeline.authority import Authority, Purpose
from pipeline.cli.group_files import GroupFiles
from pipeline.cli.key_care import issue_keys
from pipeline.cli.main import WrongUseError
from pipeline.cli.provision import apply_now, copy_list, tell
from pipeline.cli.tail import tail
from pipeline.group import vendor_user
from pipeline.provisioning.work import group_of
from pipeline.settings import Settings


def vendors(settings: Settings, arguments: Namespace) -> int:
    if arguments.action == "tail":
        return tail(settings, arguments)
    files = GroupFiles(settings)
    known = next((vendor for vendor in settings.vendors if vendor.id == arguments.vendor), None)
    if (known is None) is not (arguments.action == "add"):
        raise WrongUseError(f"{arguments.vendor}: is {'already' if known else 'not'} a vendor")
    group = group_of(settings)
    authority = Authority(group.ca_dir)
    user, now = vendor_user(arguments.vendor), datetime.now(UTC)
    match arguments.action:
        case "add":
            changed = files.write(files.vendor_file(arguments.vendor), {"vendors": [_entry(files, arguments)]})
            issue_keys(changed)
            _hand_out(authority, user, Path(arguments.out), now)
        case "rotate":
            made = _hand_out(authority, user, Path(arguments.out), now)
            authority.revoke(user, now, but=made)
            changed = settings
        case _:
            path = files.vendor_file(arguments.vendor)
            tables = files.tables(path)
            tables["vendors"] = [{**entry, "disabled": True} for entry in tables["vendors"]]
            changed = files.write(path, tables)
            authority.revoke(user, now)
    code = apply_now(changed, arguments)
    if arguments.action != "revoke":
        where = group.edge_url or "the broker's address"
        tell(
            arguments,
            f"carry {arguments.out} to the vendor with its id, {arguments.vendor}, and {where}; remove it here",
        )
    if arguments.action != "add":
        tell(arguments, copy_list(group, user if arguments.action == "rotate" else None))
    return code


def _entry(files: GroupFiles, arguments: Namespace) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": arguments.vendor,
        "clinics": arguments.clinics or "*",
        "retention": arguments.retention,
    }
    entry |= {key: vars(arguments)[key] for key in ("events", "kinds", "records") if vars(arguments)[key]}
    if arguments.public_key:
        # Kept beside the configuration, so that it does not change when the vendor's own file does.
        name = f"vendor.{arguments.vendor}.public"
        (files.directory / name).write_bytes(_public_key(Path(arguments.public_key)))
        entry["public_key_file"] = name
    return entry


def _public_key(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        VendorKeys().key("", path)
    except (OSError, VendorKeyError) as error:
        raise WrongUseError(f"{path.name}: {getattr(error, 'strerror', '') or 'no public key for records'}") from None
    return content


def _hand_out(authority: Authority, user: str, out: Path, now: datetime) -> str:
    made = authority.issue(user, Purpose.CLIENT, out, now)
    shutil.copyfile(authority.certificate_file, out / "ca.crt")
    return made.serial
