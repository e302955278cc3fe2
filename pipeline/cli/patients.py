"""`onshi patients list|accept`: which patient list is in force, and which was refused?"""

from argparse import Namespace

from sqlalchemy import select

from consumers.reconciliation import patient_list
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.settings import Settings
from pipeline.storage.schema import patient_lists

_COLUMNS = {
    "clinic": "clinic",
    "state": "state",
    "reason": "reason",
    "rows": "rows",
    "taken_at": "taken (JST)",
    "current_at": "in force since (JST)",
}


def patients(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        return _list(desk) if arguments.action == "list" else _accept(desk, arguments)


def _list(desk: Desk) -> int:
    names = ("list_id", *_COLUMNS)
    with desk.store.reading() as connection:
        rows = connection.execute(select(patient_lists).order_by(patient_lists.c.clinic, patient_lists.c.taken_at))
        shown = [{name: getattr(row, name) for name in names} for row in rows]
    desk.show(shown, _COLUMNS, "patient lists")
    return 0


def _accept(desk: Desk, arguments: Namespace) -> int:
    desk.required_staff("patients.accept", arguments.clinic)
    with desk.store.transaction() as connection:
        list_id = patient_list.accept(connection, arguments.clinic, desk.now)
        result = "done" if list_id else "refused"
        desk.log_deed(connection, "patients.accept", list_id or arguments.clinic, result)
    if list_id is None:
        raise WrongUseError(f"{arguments.clinic}: no list of this clinic was refused for a fall")
    desk.say({"list_id": list_id}, [f"accepted {list_id}: open results are matched again"])
    return 0
