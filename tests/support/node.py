"""How does a test run a Node program with the packages that its lock file names?

They are installed once for each lock file, by `npm ci`, into `build/node`; `python -m tests.support.node` does it
ahead, for `make`.
"""

import fcntl
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
MISSING = "Node and npm are not installed: apt-get install nodejs npm (Node 18 or later)"
PROGRAMS = (ROOT / "tests" / "asyncapi", ROOT / "docs" / "vendors" / "clients")


class NodeMissingError(Exception):
    """The test asked for programs that this machine does not have. Never a reason to skip."""


def installed(folder: Path) -> Path:
    """Return a folder with the programs of `folder` and their packages beside them.

    Raises:
        NodeMissingError: there is no Node or no npm, or npm could not install.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        raise NodeMissingError(MISSING)
    lock = (folder / "package-lock.json").read_bytes()
    place = ROOT / "build" / "node" / f"{folder.name}-{sha256(lock).hexdigest()[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as held:
        # Several test processes may ask at once; one installs.
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (place / "ready").exists():
            _install(folder, place)
        for program in folder.glob("*.mjs"):
            shutil.copyfile(program, place / program.name)
    return place


def _install(folder: Path, place: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(folder / name, place / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode:
        raise NodeMissingError(f"npm could not install what {folder.name} needs: {done.stderr.strip()[-500:]}")
    (place / "ready").touch()


if __name__ == "__main__":
    for each in PROGRAMS:
        installed(each)
