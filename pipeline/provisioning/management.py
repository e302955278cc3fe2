"""How is a broker asked and changed over its management API? Every call has a deadline, and no body is a secret's."""

import base64
import http.client
import json
import ssl
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pipeline.broker.port import BrokerAwayError
from pipeline.broker.tls import Certificates, context_of
from pipeline.errors import PermanentError
from pipeline.group import GroupSettings

SECONDS: Final = 20.0
_NOT_FOUND: Final = 404
_OTHER_HOST: Final = "the management's certificate is for another host than the URL names"
# OpenSSL's words for it: X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED, …_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH.
_FAULTS: Final = {
    9: "the management's certificate has not begun: look at both clocks",
    10: "the management's certificate has ended",
    62: _OTHER_HOST,
    64: _OTHER_HOST,
}
_REFUSALS: Final = range(400, 500)


class ManagementError(PermanentError):
    """The broker refuses. Names the call and the number it answered."""

    def __init__(self, call: str, status: int, said: str) -> None:
        self.status = status
        super().__init__("management", f"{call}: the broker answered {status} ({said})")


class Management:
    """One connection at a time to `/api`, as the provisioning user."""

    def __init__(self, group: GroupSettings) -> None:
        if group.admin_password_file is None:
            raise PermanentError("configuration", "group.admin_password_file is not set")
        try:
            password = group.admin_password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise PermanentError("configuration", f"group.admin_password_file: {error.strerror}") from None
        token = base64.b64encode(f"{group.admin}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._at = urlsplit(group.management_url)
        self._certificates = Certificates(group.ca_file, group.admin_cert_file, group.admin_key_file)
        self._line: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"Management({self._at.netloc})"

    def get(self, *path: str) -> Any:
        """Return what stands at a path; None where nothing does."""
        return self._call("GET", path, None)

    def put(self, *path: str, body: dict[str, Any]) -> None:
        self._call("PUT", path, body)

    def post(self, *path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, body)

    def delete(self, *path: str) -> None:
        """Remove it; harmless when it is not there."""
        self._call("DELETE", path, None)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _call(self, method: str, path: tuple[str, ...], body: dict[str, Any] | None) -> Any:
        target = "/api/" + "/".join(quote(part, safe="") for part in path)
        content = None if body is None else json.dumps(body)
        try:
            line = self._line = self._line or self._open()
            line.request(method, target, content, self._headers)
            answer = line.getresponse()
            said = answer.read()
        except ssl.SSLError as error:
            self.close()
            raise PermanentError("configuration", f"group.management_url: {_mistrust(error)}") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise BrokerAwayError(f"the broker's management does not answer ({type(error).__name__})") from None
        if answer.status == _NOT_FOUND and method in ("GET", "DELETE"):
            return None
        if answer.status in _REFUSALS or answer.status >= 500:  # noqa: PLR2004 - the server's own failures
            raise ManagementError(f"{method} {path[0]}", answer.status, _reason(said))
        return json.loads(said) if said else None

    def _open(self) -> http.client.HTTPConnection:
        host, port = self._at.hostname or "localhost", self._at.port
        if self._at.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=SECONDS)
        context = context_of(self._certificates)
        return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)


def _mistrust(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _FAULTS.get(error.verify_code, "the management's certificate is not signed by whom group.ca_file names")
    if any(word in str(error.reason) for word in ("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE")):
        return "the management demands a client certificate it believes (group.admin_cert_file, admin_key_file)"
    if "VERSION" in str(error.reason):
        return "the management does not speak TLS 1.3"
    return f"no TLS with the management ({error.reason})"


def _reason(said: bytes) -> str:
    try:
        answer = json.loads(said)
        return str(answer.get("reason", ""))[:200]
    except (ValueError, AttributeError):
        return ""
