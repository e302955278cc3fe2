"""Are the contents of these files too much to be read at once, and which of them are not? Asked before any is read."""

from collections.abc import Collection

from sqlalchemy import Column, Connection, func, literal, select

from pipeline import budget
from pipeline.storage.schema import files


def check(connection: Connection, file_ids: Collection[str], *columns: Column[bytes]) -> None:
    """Look at the sizes of these columns of `files`.

    Raises:
        TooHeavyError: together they are too large, and there is more than one file.
    """
    if len(file_ids) < 2:  # noqa: PLR2004 - one file passes, however large
        return
    sizes = [func.coalesce(func.length(column), 0) for column in columns]
    query = select(*sizes).where(files.c.file_id.in_(sorted(file_ids)))
    budget.check([sum(row) for row in connection.execute(query)])


def fitting(connection: Connection, file_ids: Collection[str], *columns: Column[bytes]) -> list[str]:
    """Name the first of these files, in the order of their ids, whose columns of `files` fit together; always one."""
    size = sum((func.coalesce(func.length(column), 0) for column in columns), literal(0))
    query = select(files.c.file_id, size).where(files.c.file_id.in_(sorted(file_ids))).order_by(files.c.file_id)
    return list(budget.fitting((row[0], row[1]) for row in connection.execute(query)))
