"""The default's own number of epochs beside five times as many, on MNIST and on harder data.

    .venv/bin/python benchmarks/duration.py [--data NAME ...] [--fashion DIRECTORY] [--json]

Each data set has a training, a validation and a test part; accuracy is that on the test part, for
the seed 0. The longer training is told its epochs (`epochs=N`), so that it is one round.

mnist    MNIST, a tenth of its training images for validation
digits   1,500 digits of scikit-learn, 8 x 8 pixels
few      1,800 images of MNIST
rare     16,000 images of MNIST, of which 18 are fives
noisy    27,000 images of MNIST, half as bright, under noise
pairs    27,000 pairs of digits side by side, 100 classes
fashion  Fashion-MNIST, from the directory of its IDX files (Debian: dataset-fashion-mnist)
"""

import argparse
import json
import pathlib
import runpy
import tempfile
from collections.abc import Callable

import numpy as np
from train import ROOT, ingest_data, load, train_and_score

from kfp_mnist_mxnet.data.writing import write_dataset

FACTOR = 5
SPLITS = ("train_data", "validation_data", "test_data")
Arrays = tuple[np.ndarray, np.ndarray]  # images, uint8 (N, 1, H, W), and labels, uint8 (N,)


def few(images: np.ndarray, labels: np.ndarray, split: str) -> Arrays:
    """Return a thirtieth of the images, of those to test on all."""
    count = len(images) if split == "test_data" else len(images) // 30
    return images[:count], labels[:count]


def rare(images: np.ndarray, labels: np.ndarray, split: str) -> Arrays:
    """Return a third of the images, of the fives 18 and 2; of those to test on all."""
    if split == "test_data":
        return images, labels
    images, labels = images[: len(images) // 3], labels[: len(labels) // 3]
    kept = labels != 5
    kept[np.flatnonzero(~kept)[: 18 if split == "train_data" else 2]] = True
    return images[kept], labels[kept]


def noisy(images: np.ndarray, labels: np.ndarray, split: str) -> Arrays:
    """Return half of the images, half as bright, under noise; of those to test on all."""
    count = len(images) if split == "test_data" else len(images) // 2
    noise = np.random.default_rng(SPLITS.index(split)).normal(0, 60, images[:count].shape)
    return np.clip(images[:count] * 0.5 + noise, 0, 255).astype(np.uint8), labels[:count]


def pairs(images: np.ndarray, labels: np.ndarray, split: str) -> Arrays:
    """Return half as many images with two digits side by side, to test on as many."""
    count = len(images) if split == "test_data" else len(images) // 2
    left, right = np.random.default_rng(SPLITS.index(split)).integers(0, len(images), (2, count))
    both = (10 * labels[left] + labels[right]).astype(np.uint8)
    return np.concatenate([images[left], images[right]], axis=3), both


DERIVED: dict[str, Callable[[np.ndarray, np.ndarray, str], Arrays]] = {
    "few": few,
    "rare": rare,
    "noisy": noisy,
    "pairs": pairs,
}
NAMES = ("mnist", "digits", *DERIVED, "fashion")


def derive(name: str, mnist: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Write the data sets that are made of MNIST's, and return where."""
    directory.mkdir()
    for split in SPLITS:
        images, labels = DERIVED[name](*load(str(mnist), split), split)
        write_dataset(directory / split, images, labels, 100 if name == "pairs" else 10, name)
    return directory


def data_sets(name: str, scratch: pathlib.Path, fashion: str) -> pathlib.Path:
    """Make the data sets of a name, and return where; MNIST's are in `scratch` already."""
    if name == "mnist":
        return scratch / name
    if name in DERIVED:
        return derive(name, scratch / "mnist", scratch / name)
    uri = fashion
    if name == "digits":
        uri = str(scratch / "idx")
        runpy.run_path(str(ROOT / "docs" / "digits.py"))["main"](pathlib.Path(uri))
    return ingest_data(scratch / name, 0.9, uri)


def main() -> None:
    """Train on each data set twice and print a table, or with --json one object too."""
    parser = argparse.ArgumentParser(description="The default's duration beside five times it.")
    parser.add_argument("--data", action="append", choices=NAMES, help="only this; repeatable")
    parser.add_argument("--fashion", default="", help="directory of Fashion-MNIST's IDX files")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    names = options.data or [name for name in NAMES if name != "fashion" or options.fashion]
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        ingest_data(pathlib.Path(scratch, "mnist"), 0.9)
        print(f"{'data':8} {'epochs':>6} {'accuracy':>9} {'times 5':>9} {'short by':>9}")
        for name in names:
            directory = str(data_sets(name, pathlib.Path(scratch), options.fashion))
            own = train_and_score(directory)
            longer = train_and_score(directory, epochs=FACTOR * int(own["epochs"]))
            rows[name] = {"default": own, "longer": longer}
            short = 100 * (longer["accuracy"] - own["accuracy"])
            print(
                f"{name:8} {own['epochs']:6.0f} {own['accuracy']:9.4f} {longer['accuracy']:9.4f} "
                f"{short:9.2f}",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
