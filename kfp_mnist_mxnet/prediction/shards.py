"""Splitting images into shards, and putting the predictions of shards together."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from kfp_mnist_mxnet.data.class_names import (
    FILE,
    LONGEST,
    check_class_names,
    read_class_names,
    write_class_names,
)
from kfp_mnist_mxnet.data.dataset import INFO_FILE
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput
from kfp_mnist_mxnet.storage.artifact import open_npy, read_json, regular_file, write_npy_header

LONGEST_ROW = 64 + 4 * (LONGEST + 2)  # bytes of a row in predictions.csv, at most
ARRAYS = (("probabilities.npy", "float32", 2), ("labels.npy", "uint8", 1))


@dataclasses.dataclass(frozen=True)
class Shard:
    """The predictions of some images.

    first: index of its first image; offsets: file name to where the rows begin, in bytes;
    class_names: of the model, or empty.
    """

    directory: str
    first: int
    num_images: int
    num_classes: int
    offsets: dict[str, int]
    class_names: list[str]


def read_shard(directory: str) -> Shard:
    """Return what a predictions directory holds.

    Raises:
        InvalidInput: a file is missing, was cut short, or is not what predict writes.
    """
    probabilities, labels = (open_npy(directory, *array) for array in ARRAYS)
    num_images, num_classes = probabilities.shape
    if labels.shape != (num_images,):
        raise DamagedFile(f"{directory} has {num_images} images, but {labels.shape} labels")
    if num_images and int(labels.max()) >= num_classes:
        raise DamagedFile(
            f"{directory}/labels.npy has the label {int(labels.max())}, "
            f"but there are probabilities of {num_classes} classes"
        )
    first, csv_offset = read_csv_start(directory, num_images)
    offsets = {
        "probabilities.npy": probabilities.offset,
        "labels.npy": labels.offset,
        "predictions.csv": csv_offset,
    }
    names = names_in(directory, num_classes)
    return Shard(directory, first, num_images, num_classes, offsets, names)


def names_in(directory: str | pathlib.Path, num_classes: int) -> list[str]:
    """Return the names of the classes in a predictions directory, none if they are not known.

    Raises:
        InvalidInput: the file of names is no regular file, or is not one name for each class.
    """
    if not pathlib.Path(directory, FILE).exists():
        return []
    path = regular_file(directory, FILE)
    return check_class_names(read_class_names(path, str(path)), num_classes)


def read_csv_start(directory: str, num_images: int) -> tuple[int, int]:
    """Return the index in the first row of predictions.csv, and where that row begins, in bytes.

    Raises:
        InvalidInput: the file is missing, or its first and last row are not those of so many
            images.
    """
    path = regular_file(directory, "predictions.csv")
    with open(path, "rb") as file:
        offset = len(file.readline(LONGEST_ROW))
        index = file.readline(LONGEST_ROW).partition(b",")[0]
        file.seek(-min(LONGEST_ROW, path.stat().st_size), os.SEEK_END)
        last = [b"", *file.read().splitlines(keepends=True)][-1]
    if num_images == 0:
        return 0, offset
    if not index.isdigit():
        raise DamagedFile(f"{path} must have the index of an image in its first row, got {index!r}")
    if not (last.startswith(b"%d," % (int(index) + num_images - 1)) and last[-1:] == b"\n"):
        raise DamagedFile(f"{path} was cut short: its last row is {last!r}")
    return int(index), offset


def order_shards(directories: Sequence[str], num_images: int) -> list[Shard]:
    """Return the shards that have images (one, if none has) in the order of the images.

    directories: predictions directories in any order; num_images: how many images there are.

    Raises:
        InvalidInput: an image is in no shard or in two, or shards differ in their classes.
    """
    if not directories:
        raise InvalidInput("shards is empty: give the predictions of at least one shard")
    shards = [read_shard(directory) for directory in directories]
    if len({(shard.num_classes, *shard.class_names) for shard in shards}) != 1:
        raise InvalidInput("the shards come from models that differ in their classes")
    filled = [shard for shard in shards if shard.num_images] or shards[:1]
    filled.sort(key=lambda shard: shard.first)
    expected = 0
    for shard in filled:
        if shard.first != expected:
            raise InvalidInput(
                f"the shard {shard.directory} begins with image {shard.first}, "
                f"expected {expected}: a shard is missing or duplicated"
            )
        expected += shard.num_images
    if expected != num_images:
        raise InvalidInput(f"the shards have {expected} images, expected {num_images}")
    return filled


def join_shards(directory: pathlib.Path, shards: list[Shard], num_images: int) -> None:
    """Write one predictions directory from ordered shards, in constant memory.

    The bytes are those that predict writes for all images at once.
    """
    directory.mkdir()
    if names := shards[0].class_names:
        write_class_names(directory, names)
    for name in shards[0].offsets:
        with open(directory / name, "wb") as output:
            if name == "predictions.csv":
                with open(pathlib.Path(shards[0].directory, name), "rb") as file:
                    output.write(file.read(shards[0].offsets[name]))
            else:
                array = np.load(pathlib.Path(shards[0].directory, name), mmap_mode="r")
                write_npy_header(output, array.dtype, (num_images, *array.shape[1:]))
            for shard in shards:
                with open(pathlib.Path(shard.directory, name), "rb") as file:
                    file.seek(shard.offsets[name])
                    shutil.copyfileobj(file, output)


def read_true_labels(directory: str) -> tuple[np.ndarray, int]:
    """Return the true labels, uint8 (N,), or (0,) if there are none, and the number of images.

    Raises:
        InvalidInput: the directory is not what ingest_images writes.
    """
    num_images = read_json(directory, INFO_FILE).get("num_images")
    if type(num_images) is not int or num_images < 0:
        raise DamagedFile(
            f"{directory}/dataset.json does not say the number of images: num_images must be a "
            f"whole number, got {num_images!r}"
        )
    labels = open_npy(directory, "labels.npy", "uint8", 1)
    if len(labels) not in (0, num_images):
        raise DamagedFile(f"{directory} has {len(labels)} labels for {num_images} images")
    return labels, num_images


def count_correct_labels(directory: pathlib.Path, true: np.ndarray) -> dict[str, float]:
    """Return errors and accuracy of a predictions directory; nothing without true labels.

    true: uint8 (N,), or (0,).
    """
    if not len(true):
        return {}
    errors = int((np.load(directory / "labels.npy") != true).sum())
    return {"errors": errors, "accuracy": 1 - errors / len(true)}
