"""The terminal: signs of a status, tables without borders."""

import io
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

MARKS = {
    "SUCCEEDED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "SKIPPED": ("-", "dim"),
    "RUNNING": ("…", "cyan"),
}


def new_console() -> Console:
    """Return a console on standard output, as wide as its lines where that is no terminal."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a sign that it can't show must not end a run
        sys.stdout.reconfigure(errors="replace")
    wide = None if sys.stdout.isatty() else 1000
    return Console(file=sys.stdout, width=wide, highlight=False)


def mark(status: str, word: bool = False) -> Text:
    """Return the sign of a status in its colour, with the word behind it if asked for."""
    sign, style = MARKS.get(status, ("?", ""))
    return Text(f"{sign} {status}" if word else sign, style)


def plain_table(*head: str) -> Table:
    """Return a table without borders that can be read by a person and by awk."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    return table
