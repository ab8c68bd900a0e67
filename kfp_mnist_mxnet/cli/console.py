"""The terminal: signs of a status, tables without borders."""

import io
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

MARKS = {
    "SUCCEEDED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "SKIPPED": ("-", "dim"),
    "RUNNING": ("…", "cyan"),
    "GATED": ("!", "yellow"),
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


def took(status: str, seconds: float) -> str:
    """Return the seconds that a step took, a dash for one that was skipped."""
    return "-" if status == "SKIPPED" else f"{seconds:.1f}"


def plain_table(*head: str) -> Table:
    """Return a table without borders that can be read by a person and by awk."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    return table


def print_rows(
    console: Console,
    head: Sequence[str],
    rows: Iterable[Sequence[RenderableType]],
    right: Sequence[int] = (),
) -> None:
    """Print a table or, on a terminal that is too narrow for it, a block of lines for each row.

    right: the columns, from 0, whose cells stand at their right edge. The last one may be folded.
    """
    rows = list(rows)
    widths = [max(cell_width(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    if sum(widths[:-1]) + 2 * len(widths) + min(widths[-1], 30) > console.width:
        for row in rows:
            print_block(console, head, row)
        return
    table = plain_table(*head)
    for column in right:
        table.columns[column].justify = "right"
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_block(console: Console, head: Sequence[str], row: Sequence[RenderableType]) -> None:
    """Print the first cell of a row on a line, and below it the others that have something."""
    console.print(Text(str(row[0]), "bold"))
    block = Table.grid(padding=(0, 1))
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, cell in zip(head[1:], row[1:], strict=True):
        if cell_width(cell):
            block.add_row(Text(f"  {name}"), cell)
    console.print(block)


def cell_width(cell: RenderableType) -> int:
    """Return how many columns of a terminal a text needs."""
    return (cell if isinstance(cell, Text) else Text(str(cell))).cell_len
