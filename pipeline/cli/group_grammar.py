"""Which commands does who runs a group have, beside those of a clinic?"""

from argparse import ArgumentParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Callable

    _Command = Callable[[str, str], ArgumentParser]
    _SubParsers = _SubParsersAction[ArgumentParser]


def group_commands(command: "_Command", common: ArgumentParser, vendors: "_SubParsers") -> None:
    """Add `provision`, `ca`, `clinics`, `terminals`, and what changes vendors to `vendors`."""
    provision = _group(command("provision", "the group's broker: users, rights, queues, limits"))
    provision.add_parser("plan", parents=[common], help="what would change; changes nothing")
    applying = provision.add_parser("apply", parents=[common], help="make the broker what the configuration says")
    _force(applying)
    applying.add_argument("--prune", action="store_true", help="remove also what is not ours")
    provision.add_parser("audit", parents=[common], help="1 when anything is otherwise than configured")
    _authority(_group(command("ca", "the group's private certificate authority")), common)
    _clinics(_group(command("clinics", "the clinics of a group")), common)
    _terminals(_group(command("terminals", "the machines of a group's clinics")), common)
    _vendors(vendors, common)


def key_commands(keys: "_SubParsers", common: ArgumentParser) -> None:
    """Add what keeps and replaces keys to `keys`."""
    rotate = keys.add_parser("rotate", parents=[common], help="replace this month's keys and those ahead")
    classes = ["original", "clinical", "confirmation", "standing"]
    rotate.add_argument("--class", dest="key_class", required=True, choices=classes)
    rotate.add_argument("--clinic", help="default: every clinic")
    for name, does in (("backup", "write every standing key into one encrypted file"), ("restore", "bring keys back")):
        action = keys.add_parser(name, parents=[common], help=does)
        action.add_argument("file", metavar="FILE")
        action.add_argument("--passphrase-file", required=True, metavar="FILE")


def _group(parser: ArgumentParser) -> "_SubParsers":
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION")


def _force(parser: ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="delete queues that hold messages, too")


def _authority(ca: "_SubParsers", common: ArgumentParser) -> None:
    first = ca.add_parser("init", parents=[common], help="make the authority and the broker's certificate")
    first.add_argument("--name", default="Onshi private authority")
    first.add_argument("--host", dest="hosts", action="append", default=[], metavar="NAME", help="of the broker")
    renew = ca.add_parser("renew", parents=[common], help="a new pair for a name; the former one ends with --revoke")
    renew.add_argument("name", metavar="NAME", help="edge.CLINIC.TERMINAL, vendor.ID, service.centre or broker")
    renew.add_argument("--out", required=True, metavar="DIR")
    renew.add_argument("--revoke", action="store_true", help="revoke the former certificates of this name at once")
    ca.add_parser("revoke", parents=[common]).add_argument("name", metavar="NAME")
    end = ca.add_parser(
        "disconnect", parents=[common], help="end its open connections: the broker asks again who it is"
    )
    end.add_argument("name", metavar="NAME")
    ca.add_parser("list", parents=[common])


def _clinics(clinics: "_SubParsers", common: ArgumentParser) -> None:
    add = clinics.add_parser("add", parents=[common])
    add.add_argument("clinic", metavar="CLINIC")
    add.add_argument("--code", dest="codes", action="append", required=True, metavar="CODE", help="institution code")
    retire = clinics.add_parser("retire", parents=[common], help="its machines lose the broker; its store stays")
    retire.add_argument("clinic", metavar="CLINIC")
    _force(retire)


def _terminals(terminals: "_SubParsers", common: ArgumentParser) -> None:
    enrol = terminals.add_parser("enrol", parents=[common], help="make the folder a clinic's machine is set up with")
    enrol.add_argument("edge", metavar="CLINIC/TERMINAL", help="or CLINIC/chart")
    enrol.add_argument("--out", required=True, metavar="DIR", help="a new or empty directory")
    for name in ("face", "res", "req"):
        enrol.add_argument(f"--{name}", default=f"oqs/{name}", metavar="PATH", help="on that machine")
    enrol.add_argument("--mode", choices=["own", "beside"], default="own")
    enrol.add_argument("--inbox", default="chart/inbox", metavar="PATH", help="of a chart")
    enrol.add_argument("--patients", default="chart/patients.csv", metavar="PATH", help="of a chart")
    enrol.add_argument("--again", action="store_true", help="a machine was replaced: end the former one's certificate")


def _vendors(vendors: "_SubParsers", common: ArgumentParser) -> None:
    add = vendors.add_parser("add", parents=[common])
    add.add_argument("vendor", metavar="VENDOR")
    add.add_argument(
        "--clinic", dest="clinics", action="append", default=[], metavar="CLINIC", help="default: every one"
    )
    add.add_argument("--event", dest="events", action="append", default=[], metavar="TYPE")
    add.add_argument("--kind", dest="kinds", action="append", default=[], metavar="KIND")
    add.add_argument("--record", dest="records", action="append", default=[], metavar="KIND", help="sealed to its key")
    add.add_argument("--public-key", metavar="FILE")
    add.add_argument("--retention", default="7d", metavar="T")
    add.add_argument("--out", required=True, metavar="DIR", help="where its certificate is written")
    rotate = vendors.add_parser("rotate", parents=[common], help="a new certificate; the former one ends")
    rotate.add_argument("vendor", metavar="VENDOR")
    rotate.add_argument("--out", required=True, metavar="DIR")
    revoke = vendors.add_parser("revoke", parents=[common], help="it hears nothing more, from now on")
    revoke.add_argument("vendor", metavar="VENDOR")
