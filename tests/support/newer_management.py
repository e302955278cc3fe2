"""How does a broker of today show its users as the management of RabbitMQ 4.4 does: without a hash of their passwords?

Every call goes to the real management and comes back as it is, except the list of users.
"""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "NewerManagement"

    def _pass_on(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=20)
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            names = ("Authorization", "Content-Type")
            line.request(self.command, self.path, body, {name: self.headers[name] for name in names})
            answer = line.getresponse()
            said = answer.read()
        finally:
            line.close()
        if self.path == "/api/users":
            said = json.dumps([_newer(user) for user in json.loads(said)]).encode()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 - the names of `http.server`

    def log_message(self, *_: object) -> None:
        return


def _newer(user: dict[str, object]) -> dict[str, object]:
    kept = {name: value for name, value in user.items() if name not in {"password_hash", "hashing_algorithm"}}
    return {**kept, "has_password": user["password_hash"] != ""}


class NewerManagement(ThreadingHTTPServer):
    """Listens on `url`, and asks the management on port `behind`."""

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
