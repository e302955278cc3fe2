"""What does a process of the centre run? A runner for each role, and what tends the store's disk and the keys."""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

from pipeline.ballast import Ballast, keeper
from pipeline.broker.port import Broker
from pipeline.cli.key_care import caretaker, issue_keys
from pipeline.cli.parts import part_of
from pipeline.cli.supervise import Part
from pipeline.cli.turns import in_turns
from pipeline.clock import Clock
from pipeline.errors import AwayError
from pipeline.keyring import Keyring
from pipeline.pulse import Pulse
from pipeline.runner import Runner
from pipeline.settings import BALLAST_NAME, Settings
from pipeline.storage import open_store
from pipeline.topology import Role

LOG = logging.getLogger("onshi.supervisor")


class Centre:
    """What the centre's roles of one process share: keys, which are made where they are missing, and the store."""

    def __init__(self, settings: Settings, roles: Sequence[Role], clock: Clock) -> None:
        issue_keys(settings)
        self.keyring = Keyring(settings.keys.dir)
        self._settings = settings
        self._roles = roles
        self._clock = clock
        self._store = open_store(settings.store.url)
        self._schema_made = threading.Lock()
        self._has_schema = False

    def parts(self) -> Iterator[Part]:
        """Make the parts beside the roles."""
        if _is_kept_here(self._settings):
            path, size = self._settings.state / BALLAST_NAME, self._settings.centre.ballast_bytes
            yield Part("ballast", keeper(Ballast(path, size, "centre")))
        ends_keys = self._store if Role.DELETION in self._roles else None
        yield Part("keys", caretaker(self._settings, self.keyring, ends_keys, self._clock))

    def part(self, role: Role, broker: Broker, pulse: Pulse) -> Part:
        """Make a role's part."""

        def run(stop: threading.Event) -> None:
            self._prepare_store(pulse, stop)
            in_turns(self._settings, stop, lambda settings, turn: self._runner(role, settings, broker, pulse).run(turn))

        return Part(role, run)

    def close(self) -> None:
        self._store.close()

    def _runner(self, role: Role, settings: Settings, broker: Broker, pulse: Pulse) -> Runner:
        return Runner(
            part_of(role)(settings, self.keyring),
            self._store,
            broker,
            self._clock,
            batch=settings.centre.batch,
            repeat_after=timedelta(seconds=settings.centre.republish_seconds),
            pulse=pulse,
            has_vendors=bool(settings.vendors),
            is_shared=len(settings.clinics) > 1,
            edges=settings.edges,
        )

    def _prepare_store(self, pulse: Pulse, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._schema_made:
                if self._has_schema:
                    return
                try:
                    self._store.make_schema()
                except AwayError as error:
                    LOG.warning("store away", extra={"reason": str(error)})
                    pulse.not_ready("store_away")
                else:
                    self._has_schema = True
            pulse.beat()
            stop.wait(0 if self._has_schema else 1)


def _is_kept_here(settings: Settings) -> bool:
    """Say whether the centre writes to a disk of this machine."""
    return settings.broker.url.startswith("embedded:") or settings.store.url.startswith("sqlite:")
