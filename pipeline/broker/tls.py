"""How do we know the broker, and how does it know us, on an `amqps://` URL?

TLS 1.3 only. With a certificate of our own the broker takes our name from it (EXTERNAL), and no password is sent.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files; any of them may be missing. `cert` and `key` belong together."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def files_of(certificates: Certificates | None) -> dict[str, Path]:
    """Name the files a process reaches the broker with."""
    if certificates is None:
        return {}
    named = {"broker_authority": certificates.ca, "broker_client": certificates.cert}
    return {name: path for name, path in named.items() if path is not None}


def context_of(certificates: Certificates) -> ssl.SSLContext:
    """Make the context of a connection. Read anew for each connection, so that a renewed certificate is taken.

    Raises:
        PermanentError: a file is missing or is no certificate. Names the file only.
    """
    try:
        context = ssl.create_default_context(cafile=str(certificates.ca) if certificates.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(error, certificates.ca) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if certificates.cert and certificates.key:
        try:
            context.load_cert_chain(certificates.cert, certificates.key)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(error, certificates.cert, certificates.key) from None
    return context


def _unusable(error: OSError, *paths: Path | None) -> PermanentError:
    names = ", ".join(path.name for path in paths if path)
    is_tls = isinstance(error, ssl.SSLError)
    return PermanentError("configuration", f"{names}: {'no certificates' if is_tls else error.strerror}")
