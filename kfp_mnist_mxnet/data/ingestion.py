"""What ingest does with the IDX files of a data set once it has them."""

import contextlib
import json
import logging
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kfp_mnist_mxnet.data.class_names import check_class_names
from kfp_mnist_mxnet.data.dataset import DatasetInfo, ImageWriter, check_disk_space, finish_dataset
from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.data.names import Files, spellings
from kfp_mnist_mxnet.data.statistics import PixelStatistics, describe_pixels, hash_images
from kfp_mnist_mxnet.errors import InvalidInput

SPLITS = ("train", "validation", "test")
MOST_IMAGES = 100_000_000  # each needs about 20 bytes of memory, for label and hash


class Ingested(NamedTuple):
    """A split that was written: where, what is known about it, and what its pixels are like."""

    directory: pathlib.Path
    info: DatasetInfo
    statistics: PixelStatistics


def read_digests(sha256: str, names: dict[str, str]) -> dict[str, str]:
    """Return part to expected SHA-256 from the JSON text that a user gave.

    names: part to file name; the JSON may have either, with or without .gz.

    Raises:
        InvalidInput: it is no JSON object of known names and 64 hexadecimal digits each.
    """
    try:
        given = json.loads(sha256 or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"sha256 is not JSON ({error}), got {sha256[:200]!r}") from error
    if not isinstance(given, dict):
        raise InvalidInput(f"sha256 must be a JSON object, file name to digest, got {sha256!r}")
    parts = {key: part for part, name in names.items() for key in (part, *spellings(name))}
    digests = {}
    for name, digest in given.items():
        if name not in parts:
            expected = ", ".join(names.values())
            raise InvalidInput(f"sha256 names {name!r}, expected one of {expected}")
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise InvalidInput(f"sha256 of {name} must be 64 hexadecimal digits, got {digest!r}")
        digests[parts[name]] = digest.lower()
    return digests


def check_hold_out(fraction: float, seed: int) -> None:
    """Check how validation images are chosen.

    Raises:
        InvalidInput: the fraction or the seed is out of range.
    """
    if not 0 <= fraction < 1:
        raise InvalidInput(f"validation_fraction must be at least 0 and below 1, got {fraction}")
    if seed < 0:
        raise InvalidInput(f"seed must be at least 0, got {seed}")


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Choose the validation images: the same share of each class, at random.

    labels: uint8 (N,). Returns: bool (N,), true for an image to hold out; of n images of a class
    round(n * fraction) are chosen, the same for the same seed with every version of NumPy.
    """
    lots = np.random.PCG64(seed).random_raw(len(labels))
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(len(members) * fraction)
        chosen[members[np.argsort(lots[members], kind="stable")[:count]]] = True
    return chosen


def check_headers(idx: dict[str, IdxFile]) -> None:
    """Check that four open IDX files fit each other, as far as their headers say.

    Raises:
        InvalidInput: the number of images is not that of the labels, 0 or too large; or the splits
            differ in shape.
    """
    for split in ("train", "test"):
        images, labels = idx[f"{split}_images"], idx[f"{split}_labels"]
        _ = images.image_shape
        labels.check_labels_of(images)
        if not 1 <= images.shape[0] <= MOST_IMAGES:
            raise InvalidInput(
                f"{images.name} has {images.shape[0]} images, expected 1 to {MOST_IMAGES:,}"
            )
    train, test = idx["train_images"], idx["test_images"]
    if train.image_shape != test.image_shape:
        raise InvalidInput(
            f"{test.name} has images of shape {test.image_shape} (C, H, W), "
            f"expected {train.image_shape} as in {train.name}"
        )


def ingest_files(
    files: Files,
    sha256: dict[str, str],
    directories: list[pathlib.Path],
    validation_fraction: float,
    seed: int,
    source: str,
    class_names: Sequence[str] = (),
) -> dict[str, Ingested]:
    """Stream four IDX files into three data set directories: train, validation, test.

    files: from `fetch`; sha256: part to expected digest, if any; class_names: one for each class,
    or empty. Returns: split to what was written.

    Raises:
        InvalidInput: a file is damaged, the parts don't fit each other or the disk, there is but
            one class to learn, or there are names but not one for each class.
    """
    with contextlib.ExitStack() as stack:
        idx = {
            part: stack.enter_context(IdxFile(file.path, file.name, sha256.get(part, "")))
            for part, file in files.items()
        }
        check_headers(idx)
        train, test = (idx[f"{split}_labels"].labels() for split in ("train", "test"))
        held_out = hold_out(train, validation_fraction, seed)
        kept = train[~held_out]
        if (classes := len(np.unique(kept))) < 2:
            raise InvalidInput(
                f"{idx['train_labels'].name} has {classes} classes in the training split "
                f"(validation_fraction is {validation_fraction}), expected at least two"
            )
        num_classes = 1 + int(max(train.max(), test.max()))
        class_names = check_class_names(list(class_names), num_classes)
        shape = idx["train_images"].image_shape
        check_disk_space(directories[0].parent, len(train) + len(test), shape)
        written = [
            *write_images(idx["train_images"], held_out, directories[:2]),
            *write_images(idx["test_images"], np.zeros(len(test), bool), directories[2:]),
        ]
    logging.info(
        "%s: %d images to train, %d to validate, %d to test, shape %s (C, H, W), %d classes",
        *(source, len(kept), len(train) - len(kept), len(test), shape, num_classes),
    )
    parts = zip(SPLITS, directories, written, (kept, train[held_out], test), strict=True)
    splits = {
        split: Ingested(
            directory,
            finish_dataset(
                *(directory, shape, writer, labels, num_classes, source, class_names),
                describe_pixels(statistics.histograms.sum(0)),
            ),
            statistics,
        )
        for split, directory, (writer, statistics), labels in parts
    }
    if empty := empty_classes(splits):
        logging.warning(
            "%s: no image has the label %s: number the classes from 0 without a gap", source, empty
        )
    return splits


def empty_classes(splits: Mapping[str, Ingested]) -> str:
    """Return the labels, from 0 to the largest, that no image of any split has, as text."""
    counts = np.sum([split.info.class_counts for split in splits.values()], 0)
    return ", ".join(map(str, np.flatnonzero(counts == 0)))


def write_images(
    idx: IdxFile, group: np.ndarray, directories: list[pathlib.Path]
) -> list[tuple[ImageWriter, PixelStatistics]]:
    """Write the images of an open IDX file into data set directories, block by block.

    group: (N,), the index of the directory that an image goes to.
    """
    counts = [int((group == i).sum()) for i in range(len(directories))]
    statistics = [PixelStatistics(count, idx.image_shape[0]) for count in counts]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(ImageWriter(directory, count, idx.image_shape))
            for directory, count in zip(directories, counts, strict=True)
        ]
        start = 0
        for block in idx.images():
            groups = group[start : start + len(block)]
            hashes = hash_images(block)
            for i, writer in enumerate(writers):
                images = block[groups == i]
                writer.append(images)
                statistics[i].add(images, hashes[groups == i])
            start += len(block)
    return list(zip(writers, statistics, strict=True))
