"""Who looked at what, and can the answer be trusted?

One hash-chained row per show, confirm, replay, hold and export. Subjects are ids, never patient data. Sources:
design sections 6 and 9, security-and-reliability 1.2 A1 to A4.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Row, select

from pipeline.certificates import HEAD_EVERY
from pipeline.chain import Fault, Link, Tip, canonical, digest_of, first_fault, head_fault, last_head, lock, sign_head
from pipeline.keyring import Keyring
from pipeline.storage.schema import access_log, heads

CHAIN: Final = "-access"
"""Its name beside the chains of the clinics; no clinic's id starts with a dash."""


def record(  # noqa: PLR0917 - in the order of the log's columns
    connection: Connection, staff: str, os_user: str, action: str, subject: str, result: str, now: datetime
) -> int:
    """Write one access, in the transaction of what was accessed. Returns its number."""
    lock(connection, CHAIN)
    last = tip(connection)
    number = last.number + 1
    content = _content(number, now, (staff, os_user, action, subject, result))
    row = {"number": number, "at": now, "staff": staff, "os_user": os_user, "action": action, "subject": subject}
    digest = digest_of(last.digest, content)
    connection.execute(
        access_log.insert().values(**row, result=result, previous=last.digest, digest=digest),
    )
    return number


def tip(connection: Connection) -> Tip:
    row = connection.execute(
        select(access_log.c.number, access_log.c.digest).order_by(access_log.c.number.desc()).limit(1)
    ).first()
    return Tip(row.number, row.digest) if row else Tip()


def sign(connection: Connection, keyring: Keyring, now: datetime) -> bool:
    """Sign the head when rows came since the last one, at most hourly."""
    last, reached = last_head(connection, CHAIN), tip(connection)
    grew = reached.number > (last.number if last else 0)
    is_due = grew and (last is None or now - last.at >= HEAD_EVERY)
    if is_due:
        sign_head(connection, keyring, CHAIN, reached, now)
    return is_due


def verify(connection: Connection, keyring: Keyring | None = None) -> list[Fault]:
    """Name the first row that was edited, removed or inserted; with a keyring also an end that was cut off."""
    fault, reached = first_fault(CHAIN, _links(connection))
    if fault is None and keyring is not None:
        query = select(access_log.c.number, access_log.c.digest)
        query = query.join(heads, (heads.c.clinic == CHAIN) & (heads.c.number == access_log.c.number))
        digests = {row.number: row.digest for row in connection.execute(query)}
        fault = head_fault(connection, keyring, CHAIN, reached, digests)
    return [fault] if fault else []


def _links(connection: Connection) -> Iterator[Link]:
    query = select(access_log).order_by(access_log.c.number)
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield Link(row.number, _content_of(row), row.previous, row.digest)


def _content_of(row: Row[tuple[object, ...]]) -> str:
    return _content(row.number, row.at, (row.staff, row.os_user, row.action, row.subject, row.result))


def _content(number: int, at: datetime, said: tuple[str, str, str, str, str]) -> str:
    return canonical({"number": number, "at": at.astimezone(UTC).isoformat(), "said": said})
