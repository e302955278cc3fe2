"""`onshi ca init|renew|revoke|disconnect|list`: whose certificate counts, and until when?"""

import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.authority import Authority, Issued, Purpose, found
from pipeline.cli.desk import as_json, as_text
from pipeline.cli.main import WrongUseError
from pipeline.cli.provision import copy_list, tell
from pipeline.group import CENTRE_USER
from pipeline.provisioning.server import PLUGINS, ServerFiles, management_conf, server_conf, server_options
from pipeline.provisioning.work import disconnect, group_of
from pipeline.settings import Settings

BROKER = "broker"


def ca(settings: Settings, arguments: Namespace) -> int:
    group = group_of(settings)
    directory = group.ca_dir
    now = datetime.now(UTC)
    match arguments.action:
        case "init":
            return _init(directory, arguments, now)
        case "list":
            return _list(Authority(directory), arguments, now)
        case "renew":
            code = _renew(Authority(directory), arguments, now)
            if arguments.revoke:
                tell(arguments, copy_list(group, arguments.name))
            return code
        case "disconnect":
            return _disconnect(settings, Authority(directory), arguments)
        case _:
            authority = Authority(directory)
            count = authority.revoke(arguments.name, now)
            _say(arguments, {"revoked": count}, f"certificates of {arguments.name} revoked: {count}")
            if count:
                tell(arguments, copy_list(group, arguments.name))
            return 0 if count else 1


def _init(directory: Path, arguments: Namespace, now: datetime) -> int:
    if not arguments.hosts:
        raise WrongUseError("name the broker's hosts with --host, as edges will call it")
    authority = found(directory, arguments.name, now)
    out = directory / BROKER
    authority.issue(BROKER, Purpose.SERVER, out, now, hosts=arguments.hosts)
    authority.issue(CENTRE_USER, Purpose.CLIENT, directory / "centre", now)
    place = Path("/etc/rabbitmq/onshi")
    files = ServerFiles(place / "ca.crt", place / f"{BROKER}.crt", place / f"{BROKER}.key", place / "crl")
    (out / "onshi.conf").write_text(server_conf(5671) + management_conf(files, 15671), encoding="utf-8")
    (out / "advanced.config").write_text(server_options(files), encoding="utf-8")
    (out / "enabled_plugins").write_text(PLUGINS, encoding="utf-8")
    said = (
        f"made {directory}: keep ca.key safe; {out}, ca.crt and crl/ are for the broker, centre/ for the centre's roles"
    )
    said += "\nstart the broker with them, then: onshi provision apply"
    _say(arguments, {"ca": str(directory), "broker": str(out)}, said)
    return 0


def _renew(authority: Authority, arguments: Namespace, now: datetime) -> int:
    known = [each for each in authority.issued() if each.name == arguments.name]
    if not known:
        raise WrongUseError(f"{arguments.name}: has no certificate of this authority")
    last = known[-1]
    made = authority.issue(arguments.name, last.purpose, Path(arguments.out), now, hosts=last.hosts)
    ended = authority.revoke(arguments.name, now, but=made.serial) if arguments.revoke else 0
    said = f"{arguments.name}: until {as_text(made.not_after)} (JST); put {arguments.out} in place of the former pair"
    said += f"; former ones revoked: {ended}" if arguments.revoke else "; the former counts until its own day"
    _say(arguments, {**made.model_dump(mode="json"), "revoked": ended}, said)
    return 0


def _disconnect(settings: Settings, authority: Authority, arguments: Namespace) -> int:
    if all(each.name != arguments.name for each in authority.issued()):
        # None of a name that is nobody's is open, and whoever was meant would stay.
        raise WrongUseError(f"{arguments.name}: has no certificate of this authority")
    count = disconnect(settings, arguments.name)
    _say(arguments, {"disconnected": count}, f"open connections of {arguments.name} ended: {count}")
    return 0


def _list(authority: Authority, arguments: Namespace, now: datetime) -> int:
    rows = authority.issued()
    if arguments.json:
        print(json.dumps([{**row.model_dump(), "state": _state(row, now)} for row in rows], default=as_json))
        return 0
    for row in rows:
        print(f"{row.name}  {row.purpose}  until {as_text(row.not_after)} (JST)  {_state(row, now)}  {row.serial}")
    return 0


def _state(row: Issued, now: datetime) -> str:
    if row.revoked_at:
        return "revoked"
    return "standing" if row.not_after > now else "expired"


def _say(arguments: Namespace, value: dict[str, object], line: str) -> None:
    print(json.dumps(value, default=as_json) if arguments.json else line)
