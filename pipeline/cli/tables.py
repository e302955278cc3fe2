"""How is a table drawn on a terminal, and where there is none?"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def draw(rows: Sequence[Sequence[str]], headings: Sequence[str], title: str) -> None:
    """Print rows of cells under their headings; full-width characters count as two columns."""
    table = Table(title=f"{title} ({len(rows)})", title_justify="left", header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # Text, not markup: a name may hold brackets.
        table.add_row(*(Text(cell) for cell in row))
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        # A log or a pipe has no width of its own; a table cut at 80 columns would help nobody.
        console = Console(width=200)
    console.print(table)
