"""`onshi keys backup|restore FILE`: do keys outlive the disk, and does what was destroyed stay so? Managers only."""

from argparse import Namespace
from pathlib import Path

from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.key_backup import backup, passphrase_of, restore
from pipeline.settings import Staff


def keep(desk: Desk, arguments: Namespace) -> int:
    """Write a backup, or bring keys back from one."""
    deed = f"keys.{arguments.action}"
    required_manager(desk, deed, "every clinic")
    passphrase = passphrase_of(Path(arguments.passphrase_file))
    directory, file = desk.settings.keys.dir, Path(arguments.file)
    if arguments.action == "backup":
        count = backup(directory, file, passphrase)
        desk.log_access(deed, "every clinic")
        desk.say({"file": str(file), "keys": count}, [f"{count} keys in {file}; keep it apart from its passphrase"])
        return 0
    restored = restore(directory, file, passphrase)
    desk.log_access(deed, "every clinic")
    refused = [f"{key.clinic} {key.key_class} {key.epoch}" for key in restored.refused]
    missing = sorted({(str(key.key_class), key.epoch) for key in restored.missing})
    desk.say(
        {"keys": restored.epochs, "files": restored.files, "refused": refused, "missing": missing},
        [
            f"{restored.epochs} keys and {restored.files} files are there",
            *(f"refused, for it was destroyed: {name}" for name in refused),
            *(
                f"NOT in this backup: {key_class} {epoch}; what is sealed to it opens nowhere,"
                f" so before more is: `onshi keys rotate --class {key_class}`"
                for key_class, epoch in missing
            ),
        ],
    )
    return 0


def required_manager(desk: Desk, deed: str, subject: str) -> Staff:
    """Return who is asking, who must be a manager; who is refused leaves a row of the access log."""
    staff = desk.required_staff(deed, subject)
    if staff.role != "manager":
        desk.log_access(deed, subject, "not_allowed")
        raise WrongUseError(f"{staff.id}: only a manager may do this")
    return staff
