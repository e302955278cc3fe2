"""Which commands and options are there? Options may stand before or after the subcommand."""

import math
import re
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NoReturn

from pipeline.cli.group_grammar import group_commands, key_commands
from pipeline.cli.request_grammar import request_words, requests_words
from pipeline.topology import Role

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    _Command = Callable[[str, str], ArgumentParser]
    _SubParsers = _SubParsersAction[ArgumentParser]

_EXAMPLES = """\
first steps:
  onshi init clinic         a working configuration with folders, keys and an example patient list
  onshi run -c clinic/onshi.toml
  onshi demo                the whole way of 50 invented patients, in a temporary folder

exit codes: 0 done, 1 failed or something found wrong, 2 wrong use or configuration
"""


_MOST: Final = 1 << 31
"""More than this is a slip of the hand, and no number for a database."""


class UsageError(Exception):
    """The command line cannot be read. Exit code 2."""

    def __init__(self, message: str, usage: str = "", *, json: bool = False) -> None:
        self.usage = usage
        self.json = json
        super().__init__(message)


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)", self.format_usage())


def parse(words: Sequence[str] | None) -> Namespace:
    """Read the command line.

    Raises:
        UsageError: wrong use.
    """
    words = sys.argv[1:] if words is None else words
    if not all(_is_text(word) for word in words):
        raise UsageError("an argument is not UTF-8", json="--json" in words)
    try:
        return _parse(words)
    except UsageError as error:
        error.json = "--json" in words
        raise


def _is_text(word: str) -> bool:
    # What is not UTF-8 comes as a lone surrogate, which no database and no hash can take.
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _parse(words: Sequence[str]) -> Namespace:
    common = _common()
    parser = _Parser(
        prog="onshi",
        description="Carries eligibility results from the terminal to the chart, and leaves nothing behind.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"onshi {version('onshi')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, does: str) -> ArgumentParser:
        return commands.add_parser(name, help=does, description=does, parents=[common])

    _setting_up(command)
    _upgrading(command, common)
    _looking(command, common)
    _deciding(command, common)
    _proving(command, common)
    _inquiring(command, common)
    group_commands(command, common, _telling(command, common))
    arguments = parser.parse_args(words)
    for name, default in (("config", "onshi.toml"), ("json", False)):
        if not hasattr(arguments, name):
            setattr(arguments, name, default)
    return arguments


def _common() -> _Parser:
    # SUPPRESS on both levels: a value given before the subcommand is not overwritten by a default after it.
    common = _Parser(add_help=False)
    common.add_argument("-c", "--config", default=SUPPRESS, metavar="FILE", help="configuration (default ./onshi.toml)")
    common.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")
    return common


def _setting_up(command: "_Command") -> None:
    init = command("init", "make a working single-clinic configuration; never overwrites")
    init.add_argument("directory", metavar="DIR")
    command("check", "name everything wrong with configuration, folders, rights, broker, store, clock and keys")
    run = command("run", "run roles until SIGTERM; none named means all, supervised")
    # Not `choices`: with none given, argparse of Python 3.11 holds the empty list itself against them.
    run.add_argument("roles", nargs="*", type=_role, metavar="ROLE", help=", ".join(Role))
    demo = command("demo", "simulated terminal to chart, with the result list and the proof that nothing is left")
    demo.add_argument("--patients", type=_count, default=50, metavar="N")
    demo.add_argument("--broker", default="embedded:", metavar="URL")
    demo.add_argument("--store", metavar="URL")
    demo.add_argument(
        "--full", action="store_true", help="every kind of message, hard cases, and all that consents lead to"
    )
    demo.add_argument("--keep", metavar="DIR", help="work in this new folder and leave it")
    simulate = command("simulate", "write realistic terminal files")
    simulate.add_argument("--terminal", required=True, metavar="T", help="terminal id, or CLINIC/TERMINAL")
    simulate.add_argument("--count", type=_count, required=True, metavar="N")
    simulate.add_argument("--rate", type=_rate, metavar="R", help="files a second (default: as fast as it can)")
    simulate.add_argument("--seed", type=int, default=1, metavar="S")
    simulate.add_argument("--patients", metavar="PATH", help="where to write the list of patients that belongs to them")


def _upgrading(command: "_Command", common: ArgumentParser) -> None:
    store = _group(command("store", "the store's tables: of which release, and bringing them up to this one"))
    store.add_parser("show", parents=[common], help="1 when they are not this program's")
    store.add_parser("upgrade", parents=[common], help="after a backup, with every role stopped")


def _looking(command: "_Command", common: ArgumentParser) -> None:
    command("status", "the whole state at a glance")
    files = _group(command("files", "custody of each file"))
    listing = files.add_parser("list", parents=[common])
    _filters(listing)
    listing.add_argument("--custody")
    listing.add_argument("--outcome")
    files.add_parser("show", parents=[common]).add_argument("file_id", metavar="FILE_ID")
    _reparse(files.add_parser("reparse", parents=[common], description="read stored originals with today's parser"))
    results = _group(command("results", "the result list (資格確認結果一覧)"))
    listing = results.add_parser("list", parents=[common])
    _filters(listing)
    listing.add_argument("--review", action="store_true", help="only what a person must look at")
    for name in ("confirm", "reopen"):
        action = results.add_parser(name, parents=[common])
        action.add_argument("result", metavar="FILE_ID[#RESULT]")
        action.add_argument("--reason", type=_said, required=True)
        if name == "confirm":
            action.add_argument("--patient", type=_said, metavar="ID")
        else:
            action.set_defaults(patient=None)
    patients = _group(command("patients", "the patient lists that charts sent"))
    patients.add_parser("list", parents=[common])
    accept = patients.add_parser("accept", parents=[common], help="take a list that fell by over a fifth after all")
    accept.add_argument("clinic", metavar="CLINIC")
    consents = _group(command("consents", "the consent ledger"))
    listing = consents.add_parser("list", parents=[common])
    _filters(listing)
    listing.add_argument("--all", action="store_true", help="every answer, not only the one that stands")
    one = consents.add_parser("show", parents=[common], help="what may be asked for one person now, and until when")
    one.add_argument("who", type=_said, metavar="PERSON|PATIENT", help="12 digits of the list, or a chart number")
    one.add_argument("--clinic")
    _filters(consents.add_parser("uses", parents=[common], help="what was asked under which consent"))
    _filters(consents.add_parser("missed", parents=[common], help="consents that ran out unasked, and why"))
    _clinical(command("clinical", "medication and checkups of one patient, for who may see them"), common)
    requests_words(_group(command("requests", "what was asked of the service, and what came of it")), common, _filters)


def _clinical(command: ArgumentParser, common: ArgumentParser) -> None:
    actions = _group(command)
    for name, does in (("list", "the answers that are here"), ("show", "what they say together")):
        action = actions.add_parser(name, parents=[common], help=does)
        action.add_argument("patient_id", type=_said, metavar="PATIENT_ID")
        action.add_argument("--kind", choices=["medication", "checkup"], help="default: what you may see")
        action.add_argument("--clinic", help="needed where there are several")
        if name == "show":
            action.add_argument("--since", metavar="DAY", help="YYYY-MM or YYYY-MM-DD")
        else:
            action.set_defaults(since=None)


def _reparse(action: ArgumentParser) -> None:
    action.add_argument("ids", nargs="*", metavar="FILE_ID")
    action.add_argument("--since", metavar="T", help="only what was stored at or after T (ISO 8601, else JST)")
    action.add_argument("--until", metavar="T", help="only what was stored before T")
    action.add_argument("--all", action="store_true", help="every stored file")
    action.add_argument("--clinic")
    action.add_argument("--outcome", choices=["pending", "delivered", "rejected", "not_due"])
    action.add_argument("--rate", type=_rate, metavar="R", help="files a second")


def _deciding(command: "_Command", common: ArgumentParser) -> None:
    request_words(_group(command("request", "ask the service (照会)")), common)
    parked = _group(command("parked", "messages set aside for a person"))
    for name in ("list", "groups"):
        listing = parked.add_parser(name, parents=[common])
        _filters(listing)
        _of_parked(listing)
    parked.add_parser("show", parents=[common]).add_argument("parked_id", metavar="ID")
    for name in ("replay", "discard"):
        action = parked.add_parser(name, parents=[common])
        action.add_argument("ids", nargs="*", metavar="ID")
        _of_parked(action)
        action.add_argument("--all", action="store_true")
        action.add_argument("--rate", type=_rate, metavar="R", help="messages a second")
        if name == "discard":
            action.add_argument("--reason", type=_said, required=True)
    resend = command("resend", "after a store was restored: let the edges on this machine send again what they have")
    resend.add_argument("--since", metavar="T", help="only what was captured at or after T (ISO 8601)")
    hold = _group(command("hold", "keep copies from being erased"))
    for name in ("add", "remove"):
        action = hold.add_parser(name, parents=[common])
        action.add_argument("file_id", metavar="FILE_ID")
        action.add_argument("--reason", type=_said, required=True)
    listed = hold.add_parser("list", parents=[common])
    listed.add_argument("--released", action="store_true", help="also holds that stand no longer")
    keys = _group(command("keys", "the keys of each month, and their end"))
    _filters(keys.add_parser("list", parents=[common]))
    key_commands(keys, common)
    destroy = keys.add_parser("destroy", parents=[common], help="end a month's content for ever; managers only")
    destroy.add_argument("--class", dest="key_class", required=True, choices=["original", "clinical", "confirmation"])
    destroy.add_argument("--epoch", required=True, type=_month, metavar="YYYY-MM")
    destroy.add_argument("--clinic", help="default: every clinic")


def _proving(command: "_Command", common: ArgumentParser) -> None:
    certificates = _group(command("certificates", "erasure certificates"))
    _filters(certificates.add_parser("list", parents=[common]))
    one = certificates.add_parser("show", parents=[common], help="one certificate (消去証明), readable by a person")
    one.add_argument("which", metavar="NUMBER|COPY_ID")
    one.add_argument("--clinic")
    certificates.add_parser("verify", parents=[common])
    _group(command("audit", "the access log")).add_parser("verify", parents=[common])
    verify = command("verify", "check the invariants of the whole state; safe while everything runs")
    verify.add_argument("--logs", nargs="+", default=(), metavar="PATH", help="look for patients' names in these files")
    verify.add_argument("--limit-seconds", type=_rate, default=3600.0, metavar="S", help="what may wait how long")
    incident = command("incident", "who is affected: the records of a time, a clinic or a key; managers only")
    incident.add_argument("--from", dest="start", metavar="T", help="ISO 8601, else JST; with --to")
    incident.add_argument("--to", dest="end", metavar="T")
    incident.add_argument("--clinic")
    incident.add_argument("--key", metavar="KEY_ID", help="as `onshi keys list --json` names it")


def _inquiring(command: "_Command", common: ArgumentParser) -> None:
    references = _group(command("reference-numbers", "our numbers (照会番号) at the service"))
    check = references.add_parser("check", parents=[common], help="wrong, shared, refused, missing, unverified")
    check.add_argument("--clinic")
    export = references.add_parser("export", parents=[common], help="every number as CSV; staff only")
    export.add_argument("--clinic")
    export.add_argument("file", metavar="FILE.csv")
    register = references.add_parser("register", parents=[common], help="let numbers be registered; staff only")
    register.add_argument("--clinic")
    which = register.add_mutually_exclusive_group(required=True)
    which.add_argument("--patient", type=_said, metavar="ID", help="one patient, even over a wrong number")
    which.add_argument("--all-missing", action="store_true", help="every patient of the list without a number")
    which.add_argument("--changed", action="store_true", help="patients whose insurance changed")
    which.add_argument("--all", action="store_true", help="every number again; none that is wrong")
    bookings = _group(command("bookings", "booked patients (予約), and who was not confirmed"))
    listing = bookings.add_parser("list", parents=[common])
    _filters(listing)
    listing.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="default: from today on")
    unconfirmed = bookings.add_parser("unconfirmed", parents=[common], help="booked in a month without a result in it")
    unconfirmed.add_argument("--clinic")
    unconfirmed.add_argument("--month", type=_month, metavar="YYYY-MM", help="default: this month, until today")


def _telling(command: "_Command", common: ArgumentParser) -> "_SubParsers":
    vendors = _group(command("vendors", "who else may hear of results"))
    _tail(vendors.add_parser("tail", parents=[common], help="read a vendor's stream as the vendor does"))
    asyncapi = command("asyncapi", "what vendors are promised, as AsyncAPI 3")
    asyncapi.add_argument("--html", action="store_true", help="as a page for people")
    asyncapi.add_argument("--schemas", type=_said, metavar="DIR", help="write a JSON Schema for each event there")
    return vendors


def _tail(tail: ArgumentParser) -> None:
    tail.add_argument("vendor", metavar="ID")
    tail.add_argument("--from", dest="start", default="last", metavar="P", help="first, last, next, offset:N, time:T")
    tail.add_argument("--count", type=_count, metavar="N", help="end after so many events")


def _group(parser: ArgumentParser) -> "_SubParsers":
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION")


def _filters(parser: ArgumentParser) -> None:
    parser.add_argument("--clinic")
    parser.add_argument("--limit", type=_count, metavar="N")


def _of_parked(parser: ArgumentParser) -> None:
    parser.add_argument("--consumer", choices=[role.value for role in Role])
    parser.add_argument("--cause", metavar="REASON", help="only what was parked for this reason (see `parked groups`)")
    parser.add_argument("--event", metavar="TYPE", help="only events of this type, as file.captured")
    parser.add_argument("--since", metavar="T", help="only what was parked at or after T (ISO 8601, else JST)")
    parser.add_argument("--until", metavar="T", help="only what was parked before T")


def _role(text: str) -> str:
    if text not in tuple(Role):
        raise ArgumentTypeError(f"{text!r} is no role; there are {', '.join(Role)}")
    return text


def _month(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        raise ArgumentTypeError(f"{text!r} is no month; write YYYY-MM")
    return text


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from None


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) <= len(str(_MOST)) else 0
    if not 0 < number < _MOST:
        raise ArgumentTypeError(f"{text!r} is no count from 1 to {_MOST - 1}")
    return number


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise ArgumentTypeError(f"{text!r} is no rate above 0")
    return rate


def _said(text: str) -> str:
    # An empty word is a variable that was not set: never a patient, never a reason.
    if not text.strip():
        raise ArgumentTypeError("is empty")
    return text
