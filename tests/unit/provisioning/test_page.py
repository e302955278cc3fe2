"""Does the page for groups say what there is?"""

import re
import shlex
from pathlib import Path

from pipeline.cli.grammar import parse

PAGE = Path(__file__).parents[3] / "docs" / "group.md"


def test_every_command_of_the_page_for_groups_exists() -> None:
    commands = re.findall(r"^onshi ([^#\n]+)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        parse(shlex.split(command))
