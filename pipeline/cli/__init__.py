"""The command line: what operators, reception staff and tests say to Onshi (design section 12)."""

from pipeline.cli.main import main

__all__ = ["main"]
