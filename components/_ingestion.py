"""What ingest does with the IDX files of a data set once it has them."""

from typing import Any

from components._dataset import check_room, finish_dataset, open_images
from components._idx import check_labels_fit, image_blocks, image_shape, open_idx, read_labels
from components._source import spellings
from components._statistics import count_values, hash_images


def read_digests(sha256: str, names: dict[str, str]) -> dict[str, str]:
    """Return part to expected SHA-256 from the JSON text that a user gave.

    names: part to file name; the JSON may have either, with or without .gz.

    Raises:
        ValueError: it is no JSON object of known names and 64 hexadecimal digits each.
    """
    import json
    import re

    try:
        given = json.loads(sha256 or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"sha256 is not JSON ({error}), got {sha256[:200]!r}") from error
    if not isinstance(given, dict):
        raise ValueError(f"sha256 must be a JSON object, file name to digest, got {sha256!r}")
    parts = {key: part for part, name in names.items() for key in (part, *spellings(name))}
    digests = {}
    for name, digest in given.items():
        if name not in parts:
            raise ValueError(f"sha256 names {name!r}, expected one of {', '.join(names.values())}")
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise ValueError(f"sha256 of {name} must be 64 hexadecimal digits, got {digest!r}")
        digests[parts[name]] = digest.lower()
    return digests


def hold_out(labels: Any, fraction: float, seed: int) -> Any:
    """Choose the validation images: the same share of each class, at random.

    labels: uint8 (N,). Returns: bool (N,), true for an image to hold out; of n images of a class
    round(n * fraction) are chosen, the same for the same seed with every version of NumPy.
    """
    import numpy as np

    lots = np.random.PCG64(seed).random_raw(len(labels))
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(len(members) * fraction)
        chosen[members[np.argsort(lots[members], kind="stable")[:count]]] = True
    return chosen


def check_headers(idx: dict[str, Any]) -> None:
    """Check that four open IDX files fit each other, as far as their headers say.

    Raises:
        ValueError: the number of images is not that of the labels, 0 or above 100,000,000 (each
            needs about 20 bytes of memory, for label and hash); or the splits differ in shape.
    """
    for split in ("train", "test"):
        images, labels = idx[f"{split}_images"], idx[f"{split}_labels"]
        image_shape(images)
        check_labels_fit(labels, images)
        if not 1 <= images.shape[0] <= 100_000_000:
            raise ValueError(
                f"{images.name} has {images.shape[0]} images, expected 1 to 100,000,000"
            )
    train, test = (image_shape(idx[f"{split}_images"]) for split in ("train", "test"))
    if train != test:
        raise ValueError(
            f"{idx['test_images'].name} has images of shape {test} (C, H, W), "
            f"expected {train} as in {idx['train_images'].name}"
        )


def ingest_files(
    files: dict[str, tuple[Any, str]],
    sha256: dict[str, str],
    directories: list[Any],
    validation_fraction: float,
    seed: int,
    source: str,
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Stream four IDX files into three data set directories: train, validation, test.

    files: part to path and name, from `fetch`; sha256: part to expected digest, if any.
    Returns: for each directory the content of its dataset.json, and the namespace with histogram
    and hashes that `split_images` says.

    Raises:
        ValueError: a file is damaged, the parts don't fit each other or the disk, or there is but
            one class to learn.
    """
    import contextlib
    import logging

    import numpy as np

    with contextlib.ExitStack() as stack:
        idx = {
            part: stack.enter_context(open_idx(path, name, sha256.get(part, "")))
            for part, (path, name) in files.items()
        }
        check_headers(idx)
        train, test = (read_labels(idx[f"{split}_labels"]) for split in ("train", "test"))
        held_out = hold_out(train, validation_fraction, seed)
        kept = train[~held_out]
        if len(np.unique(kept)) < 2:
            raise ValueError(
                f"{idx['train_labels'].name} leaves {len(np.unique(kept))} classes to train on "
                f"(validation_fraction is {validation_fraction}), expected at least two"
            )
        shape = image_shape(idx["train_images"])
        check_room(directories[0].parent, len(train) + len(test), shape)
        outputs = [
            *split_images(idx["train_images"], held_out, directories[:2]),
            *split_images(idx["test_images"], np.zeros(len(test), bool), directories[2:]),
        ]
    num_classes = 1 + int(max(train.max(), test.max()))
    logging.info(
        "%s: %d images to train, %d to validate, %d to test, shape %s (C, H, W), %d classes",
        *(source, len(kept), len(train) - len(kept), len(test), shape, num_classes),
    )
    abouts = [
        finish_dataset(directory, shape, output.digest, labels, num_classes, source)
        for directory, output, labels in zip(directories, outputs, (kept, train[held_out], test))
    ]
    return abouts, outputs


def split_images(idx: Any, group: Any, directories: list[Any]) -> list[Any]:
    """Write the images of an open IDX file into data set directories, block by block.

    group: (N,), the index of the directory that an image goes to. Returns: a namespace for each
    directory with digest (of its images), histogram (int64 (256,)) and hashes (uint64 (n,)).
    """
    import contextlib

    import numpy as np

    with contextlib.ExitStack() as stack:
        outputs = []
        for i, directory in enumerate(directories):
            count = int((group == i).sum())
            outputs.append(stack.enter_context(open_images(directory, count, image_shape(idx))))
            outputs[i].histogram = np.zeros(256, np.int64)
            outputs[i].hashes = np.zeros(count, np.uint64)
        start, ends = 0, [0] * len(outputs)
        for block in image_blocks(idx):
            where = group[start : start + len(block)]
            hashes = hash_images(block)
            for i, output in enumerate(outputs):
                images = block[where == i]
                output.append(images)
                output.histogram += count_values(images)
                output.hashes[ends[i] : ends[i] + len(images)] = hashes[where == i]
                ends[i] += len(images)
            start += len(block)
    return outputs
