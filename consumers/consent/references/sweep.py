"""Which reference numbers (照会番号) are to be judged, registered, or have been answered now?

Once a second, by query: results that reconciliation holds for certain are judged once each; what is wanted goes out,
a few one by one or all in one file; answers move each number by itself. So nothing depends on when what arrives.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from consumers.consent.references import answers, ledger, registering
from consumers.consent.references.ledger import Judged, Renew, Settle, Write
from consumers.consent.references.looks import Looks, has_any
from consumers.consent.references.registering import Refuse, Register
from consumers.consent.references.state import next_time
from pipeline.clinic_settings import Clinic
from pipeline.keyring import Keyring
from pipeline.oqs.times import JST
from pipeline.outcome import Outcome
from pipeline.sealing import Opener, Sealer
from pipeline.settings import Settings
from pipeline.topology import Role


class References:
    """Consent's part for reference numbers. `due` reads and decides, `apply` writes."""

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._sealer = Sealer()
        self._looks = Looks(keyring)
        self._renewed: dict[str, tuple[str, int]] = {}
        """Under which code each clinic's numbers were last compared, and in which hour: more often is of no use."""

    def due(self, connection: Connection, now: datetime) -> list[Outcome]:
        found: list[object] = []
        for clinic in self._settings.clinics:
            if clinic.references.enabled or has_any(connection, clinic.id):
                found.extend(self._looks.writes(connection, clinic, now))
                found.extend(self._renewal(clinic, now))
        found.extend(answers.writes(connection, self._keyring, self._opener, now))
        for clinic_id in registering.clinics_waiting(connection, now):
            waiting = self._settings.clinic(clinic_id)
            if waiting is not None:
                found.extend(registering.writes(connection, self._opener, waiting, now))
        return [Outcome("references", writes=tuple(found))] if found else []

    def _renewal(self, clinic: Clinic, now: datetime) -> list[Renew]:
        code, local = clinic.code_on(now.astimezone(JST).date()), now.astimezone(JST)
        if not clinic.references.enabled or self._renewed.get(clinic.id) == (code, local.hour):
            return []
        self._renewed[clinic.id] = code, local.hour
        return [Renew(clinic.id, code, Role.CONSENT.value, next_time(clinic.references.at, now))]

    def apply(self, connection: Connection, writes: Sequence[object], now: datetime) -> None:
        timeout = timedelta(seconds=self._settings.centre.request_timeout_seconds)
        ledger.write(connection, self._keyring, self._sealer, [w for w in writes if isinstance(w, Write)], now)
        ledger.mark_judged(connection, [w for w in writes if isinstance(w, Judged)])
        ledger.settle(connection, [w for w in writes if isinstance(w, Settle)])
        ledger.renew(connection, [w for w in writes if isinstance(w, Renew)], now)
        for each in writes:
            if isinstance(each, Register):
                registering.apply(connection, self._keyring, each, timeout, now)
            elif isinstance(each, Refuse):
                registering.refuse(connection, each)
