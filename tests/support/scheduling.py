"""Which tests run one after the other in one process? Those of files that name the same `xdist_group`.

They share a server, which every process that gets one of them would start for itself. pytest-xdist 3.8 writes the
group into an attribute that pytest 9.2 no longer reads, so that its own `--dist loadgroup` gives every test away
alone; this can go when it does not.
"""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
_GROUP = re.compile(r'^pytestmark = [^=]*?xdist_group\("(\w+)"\)', re.MULTILINE)


@cache
def group_of(file: str) -> str | None:
    """Return the group that a test file names for all its tests."""
    found = _GROUP.search((ROOT / file).read_text(encoding="utf-8"))
    return found[1] if found else None


class GroupScheduling(LoadScopeScheduling):
    """Gives a group away as one, the largest first, and every other test by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0]) or nodeid
