"""A clock is wrong by a day, or is set while the roles run: the flow goes on, and nothing is erased on its word."""

import os
from pathlib import Path

import pytest

from tests.support import wrong_clock
from tests.support.eventually import eventually
from tests.support.scenario import scenario
from tests.support.site import names

pytestmark = [pytest.mark.takes(30), pytest.mark.timeout(600)]
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
SLEEPS = Path(wrong_clock.__file__).parent
MISSING = "libfaketime is not installed: apt-get install faketime"


@pytest.fixture(autouse=True)
def library() -> Path:
    if not LIBRARIES:
        pytest.fail(MISSING, pytrace=False)
    return LIBRARIES[0]


def shifted(library: Path, by: str) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": by,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "PYTHONPATH": os.pathsep.join([str(SLEEPS), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep),
    }


def settable(library: Path, source: Path) -> dict[str, str]:
    """A clock that a test sets by writing into a file."""
    fixed = shifted(library, "+0")
    del fixed["FAKETIME"]
    source.write_text("+0\n")
    return {**fixed, "FAKETIME_TIMESTAMP_FILE": str(source)}


@pytest.mark.soak
@pytest.mark.rabbitmq
@pytest.mark.parametrize("by", ["+25h", "-25h"])
def test_a_terminal_whose_clock_is_a_day_off_delivers_and_erases_only_when_it_is_right_again(
    tmp_path: Path, rabbit_url: str, library: Path, by: str
) -> None:
    with scenario(f"terminal's clock {by}", tmp_path, broker=rabbit_url) as run:
        run.arrive(20)
        wrong = run.made.start("terminal", **shifted(library, by))
        run.fault()
        for role in ("chart", "parsing", "reconciliation", "consent", "forwarding", "deletion"):
            run.made.start(role)
        run.taken(40)
        eventually(lambda: run.made.state()["outcomes"]["delivered"] == 20, 150)
        assert len(names([run.made.face])) == 20, "erased on the word of a wrong clock"
        assert run.made.stop(wrong) == 0
        run.made.start("terminal")
        run.healed()
        run.finish()


@pytest.mark.parametrize("by", [pytest.param("+25h", marks=pytest.mark.soak), "-25h"])
def test_a_clock_that_is_set_while_files_flow_stops_erasure_and_not_delivery(
    tmp_path: Path, library: Path, by: str
) -> None:
    with scenario(f"clock set {by} in mid-run", tmp_path) as run:
        source = tmp_path / "time"
        process = run.made.start(**settable(library, source))
        run.arrive(20)
        run.made.wait_until_final(20)
        source.write_text(f"{by}\n")
        run.fault()
        run.said("clock unreliable")
        run.arrive(20)
        run.taken(80)
        eventually(lambda: run.made.state()["outcomes"]["delivered"] == 40, 150)
        assert len(names([run.made.face])) == 20, "erased on the word of a clock that was just set"
        source.write_text("+0\n")
        assert run.made.stop(process) == 0
        run.made.start()
        # Answers that seem to come from tomorrow wait while the clock is in doubt.
        assert run.made.ask("status")["parked"] == {}
        run.healed()
        run.finish()
