"""How do Prometheus, systemd and an orchestrator ask a process how it is? GET /metrics, /livez, /readyz.

/livez is 503 only when a loop has stopped coming round, never because a broker or a store is away: a restart would
not bring them back.
"""

import json
import logging
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline.metrics import REGISTRY
from pipeline.pulse import Pulse

LOG = logging.getLogger("onshi.health")
STUCK_SECONDS: Final = 120


class HealthServer:
    """Serves on one address in a daemon thread. A port in use moves on to a free one, which is logged."""

    def __init__(self, host: str, port: int, pulses: Sequence[Pulse]) -> None:
        handler = _handler(pulses)
        try:
            self._server = _Server((host, port), handler)
        except OSError:
            self._server = _Server((host, 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()
        LOG.info("listening", extra={"port": self.port})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep a caller that hung up out of the log, where a trace is no line of ours."""


def _handler(pulses: Sequence[Pulse]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
            elif self.path == "/livez":
                stuck = {p.name: round(p.seconds_since_beat) for p in pulses if p.seconds_since_beat > STUCK_SECONDS}
                self._json(503 if stuck else 200, {"stuck": stuck})
            elif self.path == "/readyz":
                waiting = {p.name: p.why_not_ready for p in pulses if p.why_not_ready}
                self._json(503 if waiting else 200, {"waiting": waiting})
            else:
                self._json(404, {"paths": ["/metrics", "/livez", "/readyz"]})

        def _json(self, status: int, body: dict[str, Any]) -> None:
            self._answer(status, json.dumps(body).encode(), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Keep requests out of the log, which has one line per event of ours."""

    return Handler
