"""Which words follow `onshi request` and `onshi requests`?"""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    _SubParsers = _SubParsersAction[ArgumentParser]


def request_words(kinds: "_SubParsers", common: ArgumentParser) -> None:
    """Add the kinds of inquiry (照会)."""

    def kind(name: str, does: str) -> ArgumentParser:
        made = kinds.add_parser(name, parents=[common], help=does, description=does)
        made.add_argument("--clinic", help="default: the only one")
        made.add_argument("--terminal", metavar="T", help="which shall place it (default: the clinic's first)")
        return made

    single = kind("single", "is this card valid? (資格確認) of a patient, or of a card")
    _of_person(single)
    single.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="for which day (default: today)")
    single.add_argument("--limit-consent", action="store_true", help="the patient agreed to show the limit certificate")
    single.add_argument("--care", choices=["visit", "online"], help="by the consent stored for home visits or online")
    booking = kind("booking", "are these booked patients still insured? (資格確認一括照会)")
    _of_people(booking)
    booking.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="of the bookings (default: tomorrow)")
    reference = kind("reference", "register chart numbers with the service (照会番号登録); several go in one file")
    _of_people(reference)
    reference.add_argument("--bulk", action="store_true", help="use the bulk exchange for a single one too")
    medication = kind("medication", "ask for medication (薬剤情報) under the patient's standing consent")
    medication.add_argument("--patient", type=_said, required=True, metavar="ID")
    medication.add_argument("--from", dest="first", type=_month, metavar="YYYY-MM", help="default: last month")
    medication.add_argument("--to", dest="last", type=_month, metavar="YYYY-MM", help="default: this month")
    medication.add_argument("--pdf", action="store_true", help="as PDF instead of XML")
    medication.add_argument("--treatments", action="store_true", help="treatment data (診療情報) too, if consented")
    medication.add_argument("--prescriptions", action="store_true", help="the electronic prescriptions' parts too")
    checkup = kind("checkup", "ask for checkups (特定健診情報) under the patient's standing consent")
    checkup.add_argument("--patient", type=_said, required=True, metavar="ID")
    checkup.add_argument("--pdf", action="store_true", help="as PDF instead of XML")
    visit = kind("visit", "who consented to home visits (訪問診療等)?")
    _period(visit)
    online = kind("online", "who consented to online care (オンライン診療等)?")
    _period(online)
    online.add_argument("--examined", action="store_true", help="by the days of examination instead of consent")
    aid = kind("medical-aid", "who has a medical aid ticket (医療券) for a month?")
    aid.add_argument("--month", type=_month, required=True, metavar="YYYY-MM")
    withdraw = kind("withdraw", "take back a patient's stored consent (閲覧同意取り消し)")
    _of_person(withdraw)
    withdraw.add_argument("--care", choices=["visit", "online"], default="visit")


def requests_words(actions: "_SubParsers", common: ArgumentParser, filters: Callable[[ArgumentParser], None]) -> None:
    """Add what is done with requests that were made."""
    listing = actions.add_parser("list", parents=[common])
    filters(listing)
    listing.add_argument("--open", action="store_true", help="only what is not answered or over yet")
    listing.add_argument("--inquiry", metavar="ID", help="only the steps of this inquiry")
    one = actions.add_parser("show", parents=[common], help="one request: its history, who asked, what was said")
    one.add_argument("request_id", metavar="REQUEST_ID")
    back = actions.add_parser("withdraw", parents=[common], help="end a request that no terminal has yet")
    back.add_argument("request_id", metavar="REQUEST_ID")


def _of_person(parser: ArgumentParser) -> None:
    parser.add_argument("--patient", type=_said, metavar="ID", help="chart number, on the chart's current list")
    card = parser.add_argument_group("or a card")
    card.add_argument("--insurer", type=_said, metavar="N", help="保険者番号")
    card.add_argument("--symbol", metavar="TEXT", help="記号")
    card.add_argument("--number", type=_said, metavar="TEXT", help="番号")
    card.add_argument("--branch", metavar="NN", help="枝番")
    card.add_argument("--birthdate", type=_said, metavar="YYYY-MM-DD", help="生年月日")


def _of_people(parser: ArgumentParser) -> None:
    parser.add_argument("patients", nargs="*", type=_said, metavar="ID", help="chart numbers")
    parser.add_argument("--from", dest="source", metavar="FILE", help="chart numbers, one a line; - reads the input")


def _period(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="first", type=_day, required=True, metavar="YYYY-MM-DD")
    parser.add_argument("--to", dest="last", type=_day, required=True, metavar="YYYY-MM-DD", help="inclusive")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else _wrong()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from None


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01") if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text) else _wrong()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no month; write YYYY-MM") from None


def _wrong() -> NoReturn:
    raise ValueError


def _said(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("is empty")
    return text
