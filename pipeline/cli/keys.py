"""Which keys does this configuration need?"""

from datetime import UTC, datetime

from pipeline import keyring
from pipeline.settings import Settings


def issue_keys(settings: Settings) -> None:
    """Make the keys that are missing for the configured clinics, twelve months ahead."""
    keyring.issue(settings.keys.dir, [clinic.id for clinic in settings.clinics], settings.edges, datetime.now(UTC))
