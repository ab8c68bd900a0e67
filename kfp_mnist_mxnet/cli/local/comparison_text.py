"""A comparison of runs on the terminal."""

import pathlib
from collections.abc import Sequence

from rich.text import Text

from kfp_mnist_mxnet.cli.console import mark, new_console, print_rows
from kfp_mnist_mxnet.cli.local.comparison import LETTERS, Contrast, Score, Setting
from kfp_mnist_mxnet.cli.local.runs import Run
from kfp_mnist_mxnet.cli.logs import clean


def show_comparison(
    runs: Sequence[Run],
    against: Sequence[Contrast],
    scores: Sequence[Score],
    settings: Sequence[Setting],
    page: pathlib.Path,
) -> None:
    """Print the runs, the scores and parameters that differ, which is better, the page."""
    console = new_console()
    for letter, run in zip(LETTERS, runs, strict=False):
        console.print(Text(f"{letter}  {run.name}  ").append(mark(run.state, word=True)))
        if run.record.get("error"):
            console.print(Text(f"   {clean(run.record['error'])}"), soft_wrap=True)
    console.print()
    letters = LETTERS[: len(runs)]
    last = ["change"] if len(runs) == 2 else []
    rows: list[list[Text]] = [score_row(score) for score in scores if score.main]
    for row in settings:
        if not row.equal:
            rows.append([Text(cell) for cell in (row.name, *row.values, *("" for _ in last))])
    print_rows(console, ("", *letters, *last), rows)
    console.print()
    for letter, each in zip(LETTERS[1:], against, strict=False):
        console.print(Text(f"{letter} against A: {clean(each.sentence)}"), soft_wrap=True)
    console.print(Text(f"page  {page.absolute()}"), soft_wrap=True)


def score_row(score: Score) -> list[Text]:
    """Return a score of each run; of two, also the change and what to think of it."""
    cells = [Text(score.name), *(Text(score.shown(i)) for i in range(len(score.values)))]
    if len(score.values) == 2:
        return [*cells, Text(score.change(1) + " ").append(judged(score.words[1]))]
    for cell, word in zip(cells[1:], score.words, strict=True):
        cell.append(" " if word else "").append(judged(word))
    return cells


def judged(word: str) -> Text:
    """Return better or worse in its colour."""
    return Text(word, {"better": "green", "worse": "red"}.get(word, ""))
