"""A Prometheus of a test's own, which scrapes what the test names every second."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.support.eventually import eventually
from tests.support.rabbit import NotInstalledError, free_port

NOT_INSTALLED = "Prometheus is not installed: run `make servers` as root, or apt-get install prometheus"


def tool(name: str) -> str:
    """Find `prometheus` or `promtool`.

    Raises:
        NotInstalledError: never a reason to skip.
    """
    found = shutil.which(name)
    if found is None:
        raise NotInstalledError(NOT_INSTALLED)
    return found


class Prometheus:
    """Runs with `jobs`: job name → a scrape configuration as Prometheus has it."""

    def __init__(self, folder: Path, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        folder.mkdir()
        self._folder = folder
        self._port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": name, **job} for name, job in jobs.items()],
        }
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(config))

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    tool("prometheus"),
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        eventually(self._is_ready, 30, "Prometheus ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def ask(self, query: str) -> list[Any]:
        """Evaluate an expression now."""
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        found: list[Any] = json.loads(answer)["data"]["result"]
        return found

    def _is_ready(self) -> bool:
        try:
            return bool(self._get("/-/ready"))
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
            content: bytes = answer.read()
        return content
