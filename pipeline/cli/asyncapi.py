"""`onshi asyncapi`: what vendors are promised, as AsyncAPI 3, as JSON Schemas, or as a page."""

import sys
from argparse import Namespace
from pathlib import Path

from pipeline.asyncapi import document, page, schemas


def asyncapi(arguments: Namespace) -> int:
    """Print the document, or the page; with a directory, write a schema file for each event there."""
    if arguments.schemas:
        directory = Path(arguments.schemas)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in schemas.files().items():
            (directory / name).write_text(content, encoding="utf-8")
        return 0
    sys.stdout.write(page.page() if arguments.html else document.text())
    return 0
