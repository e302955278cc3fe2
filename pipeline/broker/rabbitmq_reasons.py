"""Why does the broker not let us in? One sentence for whoever stands before the machine and has to mend it.

pika wraps what happened several times over, and keeps of some faults the text alone; its own text names all of it. Only
our words are shown: none of them can hold a URL, a password or anything a broker sent.
"""

from typing import Final

_CLOCK: Final = "(is the clock of this machine right?)"

# In this order: the first that is found in what happened says it. What OpenSSL and the system call it stands left.
_REASONS: Final = (
    ("self-signed certificate", "its certificate is not signed by whom broker.ca_file names"),
    ("unable to get local issuer", "its certificate is not signed by whom broker.ca_file names"),
    ("certificate signature failure", "its certificate is not signed by whom broker.ca_file names"),
    ("certificate has expired", f"its certificate has ended {_CLOCK}"),
    ("certificate is not yet valid", f"its certificate has not begun {_CLOCK}"),
    ("mismatch", "its certificate is for another host than broker.url names"),
    ("ALERT_UNKNOWN_CA", "it does not believe who signed our certificate"),
    ("ALERT_CERTIFICATE_REVOKED", "our certificate was revoked"),
    ("ALERT_CERTIFICATE_EXPIRED", "our certificate has ended"),
    ("ALERT_BAD_CERTIFICATE", "it does not take our certificate"),
    ("CERTIFICATE_REQUIRED", "it wants a certificate of ours (broker.cert_file, key_file)"),
    ("ALERT_HANDSHAKE_FAILURE", "it wants a certificate of ours, or another TLS than 1.3"),
    ("WRONG_VERSION_NUMBER", "what answers at this port speaks no TLS"),
    ("UNSUPPORTED_PROTOCOL", "it does not speak TLS 1.3"),
    ("PROTOCOL_VERSION", "it does not speak TLS 1.3"),
    ("ProbableAuthenticationError", "it knows no user of our name, or not our password"),
    ("ProbableAccessDeniedError", "it does not let us into this virtual host"),
    ("gaierror", "its name is not known here"),
    ("Connection refused", "nothing listens at this port"),
    ("No route to host", "there is no way to it from here"),
    ("unreachable", "there is no way to it from here"),
    ("ConnectionBlockedTimeout", "it takes nothing now: its memory or disk has run out"),
    ("Timeout", "no answer: is the machine off, or a firewall between?"),
    ("timed out", "no answer: is the machine off, or a firewall between?"),
    # That it does not take our certificate it says after the handshake of TLS 1.3, if it does not hang up first.
    (
        "IncompatibleProtocolError",
        "it hung up: our certificate was revoked or is not taken, or this is no broker's port",
    ),
)


def reason_of(fault: BaseException) -> str:
    """Say why a connection was not opened, or broke; the name of the fault where we have no words for it."""
    said = f"{type(fault).__name__} {fault!r}"
    return next((reason for sign, reason in _REASONS if sign in said), type(fault).__name__)
