"""CSV files with an image in each row: a label and the pixels, as Kaggle has them."""

import csv
import math
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from kfp_mnist_mxnet.conversion.images import (
    TEST,
    TRAIN,
    Layout,
    Notes,
    Part,
    Source,
    part_in,
    prepared,
)
from kfp_mnist_mxnet.data.idx import to_uint8
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput

LABEL = ("label", "labels", "class", "class_name", "target", "y")


class Columns(NamedTuple):
    """Where things stand in the rows: the label, None for nowhere, and the pixels.

    header: whether the first row has the names; width: how many columns there are.
    """

    label: int | None
    pixels: list[int]
    header: bool
    width: int


def read_tables(path: pathlib.Path) -> Source:
    """Return the images of a CSV file, or of those in a directory.

    The names of several files say which part each is, such as train.csv and mnist_test.csv.

    Raises:
        InvalidInput: no file has labels and pixels, or one can't be read.
    """
    notes = Notes()
    paths = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    parts: dict[str, Part] = {}
    for file in paths:
        columns = find_columns(file)
        name = part_in(file.stem) or TRAIN
        if columns.label is None and len(paths) == 1:
            name = TEST
        if not columns.pixels:
            notes.add("no columns of pixels", file.name)
        elif columns.label is None and len(paths) > 1:
            notes.add("no column of labels (to predict them, convert the file alone)", file.name)
        elif name in parts:
            raise InvalidInput(f"{path} has two files to {name}, one is {file.name}")
        else:
            parts[name] = new_part(file, columns)
    if not parts:
        raise InvalidInput(
            f"{path} has no CSV of images: expected a row for each image, with a column "
            "label and one for each pixel" + "".join(f"; {line}" for line in notes.lines())
        )
    return Source(parts, notes)


def rows_of(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the fields of each row that is not empty.

    Raises:
        DamagedFile: the file is no CSV.
    """
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        try:
            yield from ((reader.line_num, row) for row in reader if row)
        except csv.Error as error:
            raise DamagedFile(f"{path}, line {reader.line_num}: {error}") from error


def find_columns(path: pathlib.Path) -> Columns:
    """Return where things stand in a file, by its first row.

    Without names the label is the first column if the others make a square.

    Raises:
        InvalidInput: it has none.
    """
    _, first = next(rows_of(path), (0, []))
    if not first:
        raise InvalidInput(f"{path} is empty, expected a row for each image")
    width = len(first)
    if all(is_number(field) for field in first[1:]) and width > 1:
        label = 0 if math.isqrt(width - 1) ** 2 == width - 1 else None
        return Columns(label, list(range(0 if label is None else 1, width)), False, width)
    names = [name.strip().lower() for name in first]
    labels = [names.index(name) for name in LABEL if name in names]
    pixels = [i for i, name in enumerate(names) if re.fullmatch(r"[a-z_ ]*\d+(x\d+)?", name)]
    return Columns(labels[0] if labels else None, pixels, True, width)


def is_number(text: str) -> bool:
    """Tell whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def new_part(path: pathlib.Path, columns: Columns) -> Part:
    """Return the part of one file.

    Raises:
        InvalidInput: the pixels make no square, or a row has another number of columns.
    """
    size = math.isqrt(len(columns.pixels))
    if size**2 != len(columns.pixels):
        raise InvalidInput(
            f"{path} has {len(columns.pixels)} columns of pixels, expected a square number, as 784 "
            "for 28 x 28"
        )
    origins, labels = [], []
    for number, row in image_rows(path, columns):
        origins.append(f"{path.name}:{number}")
        labels.append("" if columns.label is None else label_text(row[columns.label]))

    def read(layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
        for i, (number, row) in enumerate(image_rows(path, columns)):
            name = f"{path}, line {number},"
            try:
                values = np.array([float(row[column]) for column in columns.pixels])
            except ValueError as error:
                raise DamagedFile(f"{name} has a pixel that is no number: {error}") from error
            pixels = to_uint8(values, name).reshape(size, size)
            yield i, prepared(Image.fromarray(pixels), layout)

    return Part(origins, None if columns.label is None else labels, (size, size), 1, read)


def image_rows(path: pathlib.Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line and the fields of each image.

    Raises:
        DamagedFile: a row has another number of columns than the first.
    """
    rows = rows_of(path)
    if columns.header:
        next(rows)
    for number, row in rows:
        if len(row) != columns.width:
            raise DamagedFile(
                f"{path}, line {number}, has {len(row)} columns, expected {columns.width}"
            )
        yield number, row


def label_text(text: str) -> str:
    """Return a label as the name of its class: 3.0 is 3."""
    text = text.strip()
    return str(int(float(text))) if is_number(text) and float(text) % 1 == 0 else text
