"""`onshi keys list|destroy|rotate|backup|restore`: which keys are there, and which end or are replaced now?"""

from argparse import Namespace
from datetime import datetime
from typing import Any

from pipeline import retention, standing_keys
from pipeline.cli.desk import Desk
from pipeline.cli.key_care import tell_edges
from pipeline.cli.keys_kept import keep, required_manager
from pipeline.cli.main import WrongUseError
from pipeline.key_rotation import rotate
from pipeline.keyring import EpochKey
from pipeline.sealing import KeyClass
from pipeline.settings import Settings

_COLUMNS = {
    "clinic": "clinic",
    "class": "class",
    "epoch": "month",
    "state": "state",
    "due_at": "ends by policy (JST)",
    "destroyed_at": "destroyed (JST)",
}


def keys(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        match arguments.action:
            case "list":
                return _list(desk, arguments)
            case "destroy":
                return _destroy(desk, arguments)
            case "rotate":
                return _rotate(desk, arguments)
            case _:
                return keep(desk, arguments)


def _rotate(desk: Desk, arguments: Namespace) -> int:
    subject = f"{arguments.clinic or 'every clinic'} {arguments.key_class}"
    required_manager(desk, "keys.rotate", subject)
    clinics = [c.id for c in desk.settings.clinics if arguments.clinic in (None, c.id)]
    if not clinics:
        raise WrongUseError(f"{arguments.clinic}: is no clinic")
    key_class = KeyClass(arguments.key_class)
    if key_class is KeyClass.STANDING:
        return _rotate_standing(desk, clinics, subject)
    made = rotate(desk.settings.keys.dir, key_class, clinics, desk.now)
    desk.log_access("keys.rotate", subject)
    # Edges seal to the former keys until they hear of these, and the centre opens both.
    tell_edges(desk.settings, desk.keyring, desk.store, desk.now)
    desk.say({"replaced": len(made), "clinics": clinics}, [f"{len(made)} keys replaced; edges are told"])
    return 0


def _rotate_standing(desk: Desk, clinics: list[str], subject: str) -> int:
    made = standing_keys.rotate(desk.settings.keys.dir, clinics, desk.now)
    desk.log_access("keys.rotate", subject)
    tell_edges(desk.settings, desk.keyring, desk.store, desk.now)
    former = [key for key in standing_keys.replaced(desk.keyring) if key.is_usable and key.clinic in clinics]
    rewrapped = sum(standing_keys.rewrap(desk.store, desk.keyring, key, desk.now) for key in former)
    desk.say(
        {"replaced": len(made), "clinics": clinics, "rewrapped": rewrapped},
        [
            f"{len(made)} standing keys replaced, {rewrapped} rows wrapped to the new ones; edges are told",
            "the running centre destroys the former ones a day from now, when every edge seals to the new ones",
        ],
    )
    return 0


def _list(desk: Desk, arguments: Namespace) -> int:
    epochs = [key for key in desk.keyring.ring.epochs if arguments.clinic in (None, key.clinic)]
    ordered = sorted(epochs, key=lambda key: (key.clinic, key.key_class, key.epoch))[: arguments.limit]
    desk.show([_row(desk, key) for key in ordered], _COLUMNS, "keys")
    return 0


def _row(desk: Desk, key: EpochKey) -> dict[str, Any]:
    return {
        "clinic": key.clinic,
        "class": key.key_class.value,
        "epoch": key.epoch,
        "key_id": key.identifier,
        "state": _state(key, desk.now),
        "due_at": retention.due_at(key, desk.settings.retention) if desk.settings.retention.automatic else None,
        "destroyed_at": key.destroyed_at,
    }


def _state(key: EpochKey, now: datetime) -> str:
    if key.destroyed_at or key.destroying_at:
        return "destroyed" if key.destroyed_at else "destroying"
    if key.key_class is KeyClass.STANDING:
        return "replaced" if key.replaced_at else "standing"
    month = f"{now:%Y-%m}"
    return "current" if key.epoch == month else "ahead" if key.epoch > month else "past"


def _destroy(desk: Desk, arguments: Namespace) -> int:
    key_class = KeyClass(arguments.key_class)
    subject = f"{arguments.clinic or 'every clinic'} {key_class} {arguments.epoch}"
    staff = required_manager(desk, "keys.destroy", subject)
    wanted = [
        key
        for key in desk.keyring.ring.epochs
        if (key.key_class, key.epoch) == (key_class, arguments.epoch) and arguments.clinic in (None, key.clinic)
    ]
    if not wanted:
        raise WrongUseError(f"there is no {key_class} key of {arguments.epoch}")
    actor = retention.Actor(staff.id, desk.os_user)
    answers = [_destroy_one(desk, key, actor) for key in wanted]
    lines = [
        f"{a['clinic']} {key_class} {a['epoch']}: "
        + (f"refused: {a['refused']}" if a["refused"] else f"destroyed; {a['emptied']} rows emptied, {a['kept']} kept")
        for a in answers
    ]
    desk.say({"keys": answers}, lines)
    return 1 if any(answer["refused"] for answer in answers) else 0


def _destroy_one(desk: Desk, key: EpochKey, actor: retention.Actor) -> dict[str, Any]:
    answer = {"clinic": key.clinic, "class": key.key_class.value, "epoch": key.epoch, "kept": 0, "emptied": 0}
    try:
        edges = desk.settings.edges
        made = retention.destroy(desk.store, desk.keyring, key, actor, desk.now, configured=edges)
    except retention.RetentionError as error:
        desk.log_access("keys.destroy", f"{key.clinic} {key.key_class} {key.epoch}", "refused")
        return {**answer, "refused": str(error), "destroyed_at": None}
    desk.opener.forget()
    counts = {"kept": made.kept, "emptied": made.emptied}
    return {**answer, **counts, "refused": None, "destroyed_at": made.key.destroyed_at}
