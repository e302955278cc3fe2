"""Who are the vendors and clinics now? As the configuration says at this moment, not when the process began."""

import logging
from pathlib import Path

from pipeline.settings import Settings, SettingsError, load
from pipeline.vendors import Vendor

LOG = logging.getLogger("onshi.vendors")


class Register:
    """The vendors of a configuration, and the clinics of a group's, which is a directory.

    What was changed is read again; what cannot be read changes nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = settings.file
        self._settings = settings
        # Not as it is now: a part that begins again is given what was read when its process began.
        self._version: object = None

    def vendors(self) -> tuple[Vendor, ...]:
        """Return who may be told anything at all."""
        return tuple(vendor for vendor in self.configured() if not vendor.disabled)

    def configured(self) -> tuple[Vendor, ...]:
        """Return all that are named, whose streams stand."""
        return self.settings().vendors

    def settings(self) -> Settings:
        """Return the settings with the vendors, and in a group the clinics, of now. One look at each file's status."""
        version = self._look()
        if self._file is not None and version is not None and version != self._version:
            self._read_again(self._file)
            self._version = version
        return self._settings

    def _read_again(self, path: Path) -> None:
        try:
            now = load(path)
        except SettingsError as error:
            LOG.critical("configuration", extra={"reason": f"{len(error.faults)} faults; vendors stay as they were"})
            return
        changed: dict[str, object] = {"vendors": now.vendors}
        if path.is_dir():
            changed["clinics"] = now.clinics
        self._settings = self._settings.model_copy(update=changed)

    def _look(self) -> object:
        if self._file is None:
            return None
        try:
            paths = sorted(self._file.glob("*.toml")) if self._file.is_dir() else [self._file]
            found = [(path.name, path.stat()) for path in paths]
        except OSError:
            return None
        return [(name, status.st_ino, status.st_mtime_ns, status.st_size) for name, status in found]
