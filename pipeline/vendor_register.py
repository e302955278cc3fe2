"""Who are the vendors now? As the configuration says at this moment, not as it said when the process began."""

import logging
from pathlib import Path

from pipeline.settings import Settings, SettingsError, load
from pipeline.vendors import Vendor

LOG = logging.getLogger("onshi.vendors")


class Register:
    """The vendors of a configuration. What was changed is read again; what cannot be read changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.file
        self._vendors = settings.vendors
        self._version = self._look()

    def vendors(self) -> tuple[Vendor, ...]:
        """Return who may be told anything at all."""
        return tuple(vendor for vendor in self.configured() if not vendor.disabled)

    def configured(self) -> tuple[Vendor, ...]:
        """Return all that are named, whose streams stand. One look at the status of each file."""
        version = self._look()
        if self._file is not None and version is not None and version != self._version:
            self._read_again(self._file)
            self._version = version
        return self._vendors

    def _read_again(self, path: Path) -> None:
        try:
            self._vendors = load(path).vendors
        except SettingsError as error:
            LOG.critical("configuration", extra={"reason": f"{len(error.faults)} faults; vendors stay as they were"})

    def _look(self) -> object:
        if self._file is None:
            return None
        try:
            paths = sorted(self._file.glob("*.toml")) if self._file.is_dir() else [self._file]
            found = [(path.name, path.stat()) for path in paths]
        except OSError:
            return None
        return [(name, status.st_ino, status.st_mtime_ns, status.st_size) for name, status in found]
