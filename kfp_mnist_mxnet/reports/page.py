"""The look of every report: one self-contained HTML page, readable in light and dark.

The Kubeflow UI shows a report in an iframe with sandbox="allow-scripts": no request leaves the
page and nothing is stored. Text is escaped by the template; pictures are inline.
"""

import importlib.resources
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jinja2
import numpy as np

from kfp_mnist_mxnet.notation import percent


class Picture(NamedTuple):
    """An image with its caption, which may have several lines; uri: a data URI."""

    uri: str
    caption: str


class Cell(NamedTuple):
    """A cell: its text, `right` or `wrong` or `bar`, how much is shaded, what a pointer is told."""

    text: str
    kind: str
    share: str
    title: str = ""


class Row(NamedTuple):
    """A row of a heat map."""

    name: str
    cells: list[Cell]


class Section(NamedTuple):
    """A section of a report: text, a figure, a heat map, pictures, a table.

    figure: from `figure_svg` only, as it is not escaped; strips: rows of pictures, each with what
    stands before it; rows: of the table, some cells of which may be a `Cell`; fold: what is shown
    in place of a long table until it is opened.
    """

    title: str
    text: str = ""
    figure: str = ""
    matrix: Sequence[Row] = ()
    strips: Sequence[tuple[str, Sequence[Picture]]] = ()
    pictures: Sequence[Picture] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    fold: str = ""


def bar(count: int, largest: int) -> Cell:
    """Return a cell with a count, and a bar as long as its part of the largest."""
    return Cell(f"{count:,}", "bar", f"{count / max(1, largest):.3f}")


def resource(name: str) -> str:
    """Return the text of a file beside this one."""
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def shared_style() -> str:
    """Return the style sheet that every page of the suite has."""
    return resource("style.css")


def write_report(
    path: pathlib.Path,
    title: str,
    facts: Mapping[str, object],
    sections: Sequence[Section],
    lead: str = "",
    warnings: Sequence[str] = (),
) -> None:
    """Write a report page.

    facts: label to value, shown large at the top; lead: a sentence above them that judges;
    warnings: what the reader must know before the numbers, empty ones left out.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(resource("report.html")).render(
        style=shared_style() + resource("report.css"),
        title=title,
        facts=facts,
        sections=sections,
        lead=lead,
        warnings=warnings,
    )
    # A lone surrogate, which JSON may bring, is no text that UTF-8 has.
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(page)


def heat_map(names: Sequence[str], counts: np.ndarray) -> list[Row]:
    """Return a confusion matrix as a report shows it.

    counts: int64 (K, K), rows are the true labels; names: of the K classes.
    """
    shares, totals = heat(counts), counts.sum(1).tolist()
    return [
        Row(
            name,
            [
                Cell(
                    f"{count:,}" if count else "",
                    "right" if row == column else "wrong",
                    f"{shares[row, column]:.3f}",
                    f"true {name}, predicted {names[column]}: {count:,} of {totals[row]:,}, "
                    f"{percent(count / totals[row], 1)}"
                    if count
                    else "",
                )
                for column, count in enumerate(counts[row].tolist())
            ],
        )
        for row, name in enumerate(names)
    ]


def heat(counts: np.ndarray) -> np.ndarray:
    """Return how strongly each cell of a confusion matrix is shaded, float64 (K, K), 0 to 1.

    counts: as for `heat_map`. What is right is shaded by its share of the row, what is wrong by
    its share of the most frequent error.
    """
    errors = counts - np.diag(counts.diagonal())
    right = np.diag(counts.diagonal()) / counts.sum(1, keepdims=True).clip(1)
    return right + errors / max(1, errors.max())
