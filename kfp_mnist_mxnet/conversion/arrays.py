"""Arrays of images and labels in .npz and .npy files."""

import pathlib
import re
import shutil
import zipfile
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
from kfp_mnist_mxnet.data.idx import BLOCK, channel_order, to_uint8
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput

IMAGES, LABELS = "images", "labels"
KINDS = {
    **dict.fromkeys(("images", "image", "imgs", "x", "data", "pixels"), IMAGES),
    **dict.fromkeys(("labels", "label", "y", "targets", "target"), LABELS),
}


class Stored(NamedTuple):
    """An array in a file: how messages call it, and its values, memory-mapped."""

    name: str
    values: np.ndarray


def read_arrays(path: pathlib.Path, scratch: pathlib.Path) -> Source:
    """Return the images of a .npz file, or of the .npz and .npy files in a directory.

    The names of the arrays, or of the files of single arrays, say what they are, such as x_train,
    y_train, test_images or kmnist-train-labels. scratch: a directory for unpacked arrays.

    Raises:
        InvalidInput: a file can't be read, two arrays are the same part, a part has no images, or
            an array is not what it must be.
    """
    notes = Notes()
    paths = [path]
    if path.is_dir():
        paths = sorted(p for p in path.iterdir() if p.suffix in (".npz", ".npy"))
    arrays: dict[tuple[str, str], Stored] = {}
    for name, array in (entry for p in paths for entry in stored_arrays(p, scratch)):
        kinds = {KINDS[word] for word in re.findall("[a-z]+", name.lower()) if word in KINDS}
        if len(kinds) != 1:
            notes.add("its name does not say what it is", name)
            continue
        key = part_in(name), kinds.pop()
        if key in arrays:
            raise InvalidInput(
                f"{path} has two arrays of {' '.join(key).strip()}: {arrays[key].name} and {name}"
            )
        arrays[key] = Stored(name, array)
    return Source(parts_of(path, arrays, notes), notes)


def stored_arrays(path: pathlib.Path, scratch: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the values of each array in a .npz or .npy file.

    Arrays of a .npz file are unpacked first, so that they can be memory-mapped.

    Raises:
        InvalidInput: the file, or an array in it, can't be read.
    """
    if path.suffix == ".npy":
        yield path.stem, mapped(path, str(path))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            for i, name in enumerate(names):
                unpacked = scratch / f"{path.name}-{i}.npy"
                with archive.open(name) as packed, open(unpacked, "wb") as file:
                    shutil.copyfileobj(packed, file, BLOCK)
                called = name.removesuffix(".npy")
                single = len(names) == 1 and called == "arr_0"
                yield path.stem if single else called, mapped(unpacked, f"{path}: {called}")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DamagedFile(f"{path} can't be read as .npz: {error}") from error


def mapped(path: pathlib.Path, name: str) -> np.ndarray:
    """Memory-map a .npy file.

    Raises:
        DamagedFile: it is none, or has Python objects in it.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DamagedFile(f"{name} can't be read: {error}") from error


def parts_of(
    path: pathlib.Path, arrays: dict[tuple[str, str], Stored], notes: Notes
) -> dict[str, Part]:
    """Return the parts that arrays make: one without a name is train, or test without labels.

    Raises:
        InvalidInput: there are no images, or not as many labels.
    """
    names = [name for name, kind in arrays if kind == IMAGES]
    if not names:
        raise InvalidInput(
            f"{path} has no array of images: expected names such as x_train and y_train, or images "
            "and labels" + "".join(f"; {line}" for line in notes.lines())
        )
    parts = {}
    for name in sorted(names):
        images, labels = arrays[name, IMAGES], arrays.get((name, LABELS))
        called = name or (TRAIN if labels else TEST)
        if labels is None and len(names) > 1:
            notes.add("no labels", images.name)
        elif called in parts:
            raise InvalidInput(f"{path} has two arrays of images to {called}, one is {images.name}")
        else:
            parts[called] = new_part(images, labels)
    return parts


def new_part(images: Stored, labels: Stored | None) -> Part:
    """Return the part of an array of images and, unless they are not known, one of labels.

    Raises:
        InvalidInput: an array is not what it must be.
    """
    shape = images.values.shape
    order = channel_order(shape, images.name)
    height, width = (shape[axis] for axis in order[-2:])
    channels = shape[order[1]] if len(shape) == 4 else 1
    if channels not in (1, 3, 4):
        raise InvalidInput(f"{images.name} has {channels} channels, expected 1, 3 or 4")
    unit = is_unit(images)

    def read(layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
        start = 0
        for block in blocks(images.values):
            scaled = to_uint8(np.rint(block * 255.0) if unit else block, images.name)
            if len(shape) == 4:
                scaled = scaled.transpose(0, *order[2:], order[1])
            if channels == 1:
                scaled = scaled.reshape(-1, height, width)
            for i, image in enumerate(scaled, start):
                yield i, prepared(Image.fromarray(np.ascontiguousarray(image)), layout)
            start += len(block)

    origins = [f"{images.name}[{i}]" for i in range(shape[0])]
    names = class_labels(labels, shape[0]) if labels else None
    return Part(origins, names, (height, width), min(channels, 3), read)


def is_unit(images: Stored) -> bool:
    """Tell whether an array has truth values, or numbers from 0.0 to 1.0, for 0 to 255.

    Raises:
        InvalidInput: it is not of numbers.
    """
    kind = images.values.dtype.kind
    if kind not in "buif":
        raise InvalidInput(f"{images.name} must be of numbers, got {images.values.dtype}")
    return kind == "b" or (
        kind == "f" and all(((block >= 0) & (block <= 1)).all() for block in blocks(images.values))
    )


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array in parts, so that not all of it is in memory at once."""
    at_once = max(1, BLOCK // max(1, array[:1].size))
    for start in range(0, len(array), at_once):
        yield np.asarray(array[start : start + at_once])


def class_labels(labels: Stored, count: int) -> list[str]:
    """Return the class of each image as text, from an array of whole numbers or of text.

    Raises:
        InvalidInput: it is something else, or there are not as many as images.
    """
    values = labels.values
    if values.shape not in ((count,), (count, 1)):
        raise InvalidInput(
            f"{labels.name} has the shape {values.shape}, expected a label for each of the "
            f"{count} images"
        )
    if values.dtype.kind == "f" and (np.isfinite(values) & (values == np.floor(values))).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "buiUS":
        raise InvalidInput(
            f"{labels.name} must be of whole numbers or text, got {labels.values.dtype}"
        )
    return [
        value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        for value in values.reshape(-1).tolist()
    ]
