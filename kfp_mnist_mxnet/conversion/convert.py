"""The conversion: any source to IDX files, with what is told about it."""

import contextlib
import dataclasses
import math
import os
import pathlib
import tempfile
import types
from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from kfp_mnist_mxnet.conversion.arrays import read_arrays
from kfp_mnist_mxnet.conversion.folder import read_folder
from kfp_mnist_mxnet.conversion.idx_writer import IdxWriter
from kfp_mnist_mxnet.conversion.images import TEST, TRAIN, Layout, Part, Source
from kfp_mnist_mxnet.conversion.table import read_tables
from kfp_mnist_mxnet.data import class_names
from kfp_mnist_mxnet.data.idx import LARGEST_ITEM
from kfp_mnist_mxnet.data.ingestion import hold_out
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.staging import staged

TEST_FRACTION = 0.2
PREFIXES = {TRAIN: "train", TEST: "t10k"}


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may say about a conversion.

    size: height and width that images are brought to, None for their own; channels: 1 for grey, 3
    for colour, 0 for what they are; test_fraction: share of each class that is for testing, None
    for 0.2 where the source does not say; seed: chooses which.
    """

    size: tuple[int, int] | None = None
    channels: int = 0
    test_fraction: float | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Converted:
    """What a conversion did.

    layout: of every image; class_names: in the order of the labels; counts: train and test to the
    number of images of each class, or, without labels, of all; notes: a line for each reason why
    something was left out; files: what was written.
    """

    layout: Layout
    class_names: list[str]
    counts: dict[str, list[int]]
    notes: list[str]
    files: list[str]


def convert(source: pathlib.Path, directory: pathlib.Path, options: Options) -> Converted:
    """Write the images of a source as IDX files, which `ingest` reads.

    source: a folder of images with one folder a class, a .npz file, a directory of .npy files, a
    CSV file or a directory of them; directory: is made, and must not be there or be empty.
    The same source and options give the same bytes. Images are read one after the other.

    Raises:
        InvalidInput: an option is out of range, the directory has something in it, or the source
            has no images, images of several sizes, or classes that don't fit.
    """
    check_options(options)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidInput(f"{directory} is there already and not empty: name another directory")
    with (
        tempfile.TemporaryDirectory() as scratch,
        staged(types.SimpleNamespace(path=str(directory.absolute()))) as (staging,),
    ):
        found = read_source(source, pathlib.Path(scratch))
        layout = common_layout(found, options)
        staging.mkdir()
        return write_files(found, layout, staging, options)


def check_options(options: Options) -> None:
    """Check what a user said.

    Raises:
        InvalidInput: it is out of range.
    """
    if options.test_fraction is not None and not 0 < options.test_fraction < 1:
        raise InvalidInput(
            f"test_fraction must be above 0 and below 1, got {options.test_fraction}"
        )
    if options.seed < 0:
        raise InvalidInput(f"seed must be at least 0, got {options.seed}")


def read_source(source: pathlib.Path, scratch: pathlib.Path) -> Source:
    """Return the images of a source, whose kind is seen from its name or its content.

    Raises:
        InvalidInput: it is of no known kind, or can't be read.
    """
    if not source.exists():
        raise InvalidInput(f"{source} is missing")
    suffixes = {source.suffix.lower()}
    if source.is_dir():
        names = os.listdir(source)
        suffixes = {pathlib.Path(name).suffix.lower() for name in names}
    if suffixes & {".npz", ".npy"}:
        return read_arrays(source, scratch)
    if ".csv" in suffixes and not (source.is_dir() and any(p.is_dir() for p in source.iterdir())):
        return read_tables(source)
    if source.is_dir():
        return read_folder(source)
    raise InvalidInput(f"{source} must be a directory, .npz or .csv")


def common_layout(source: Source, options: Options) -> Layout:
    """Return the layout that all images are brought to.

    Raises:
        InvalidInput: images differ in size, and there is no size for all, or it is too large.
    """
    sizes = {part.size for part in source.parts.values()}
    if options.size is None and (None in sizes or len(sizes) > 1):
        raise InvalidInput(
            "the images differ in size: give the size that all are brought to, such as --size 28"
        )
    height, width = options.size or next(size for size in sizes if size)
    channels = max(part.channels for part in source.parts.values())
    layout = Layout(height, width, options.channels or channels)
    if not 0 < math.prod(layout) <= LARGEST_ITEM:
        raise InvalidInput(f"an image of {layout} must have from 1 byte to 64 MiB")
    return layout


def write_files(
    source: Source, layout: Layout, directory: pathlib.Path, options: Options
) -> Converted:
    """Write the IDX files, the lists of where images come from, and the names of the classes.

    Raises:
        InvalidInput: the classes don't fit, or no image of a part can be read.
    """
    names = all_classes(source)
    writers: dict[str, IdxWriter] = {}
    with contextlib.ExitStack() as stack:
        for name in PREFIXES if names else source.parts:
            writer = IdxWriter(directory, PREFIXES[name], layout, names or None)
            writers[name] = stack.enter_context(writer)
        for name, part in source.parts.items():
            goes_to = destinations(name, part, source, options)
            numbers = {class_name: i for i, class_name in enumerate(names)}
            for i, image in shown_progress(part.read(layout), len(part.origins), name):
                label = numbers[part.labels[i]] if part.labels is not None else 0
                writers[goes_to[i]].append(image, label, part.origins[i])
    check_written(writers, names, source)
    files = [name for writer in writers.values() for name in writer.names]
    if names and names != [str(i) for i in range(len(names))]:
        class_names.write_class_names(directory, names)
        files.append(class_names.FILE)
    counts = {
        name: writer.class_counts.tolist() if names else [writer.count]
        for name, writer in writers.items()
    }
    return Converted(layout, names, counts, source.notes.lines(), files)


def all_classes(source: Source) -> list[str]:
    """Return the names of the classes in the order of their labels, none without labels.

    Names that are all whole numbers are in the order of the numbers, others in that of their
    letters.

    Raises:
        InvalidInput: there are less than two or more than 256, a name can't be one, or images to
            test with are of a class that there are none of to train on.
    """
    labels = {name: part.labels for name, part in source.parts.items()}
    if labels.get(TRAIN) is None:
        if labels.get(TEST) is None:
            return []
        raise InvalidInput("there are images to test with, but none to train on")
    names = sorted(set(labels[TRAIN] or ()))
    if all(name.lstrip("-").isdecimal() for name in names):
        names.sort(key=int)
    if not 2 <= len(names) <= class_names.MOST:
        raise InvalidInput(f"there are {len(names)} classes to train on, expected 2 to 256")
    if unknown := sorted(set(labels.get(TEST) or ()) - set(names)):
        raise InvalidInput(f"there are images of {unknown[0]!r} to test with, but none to train on")
    return class_names.check_class_names(names, len(names))


def destinations(name: str, part: Part, source: Source, options: Options) -> list[str]:
    """Return where each image of a part goes: train or test."""
    if name == TEST or TEST in source.parts:
        if options.test_fraction is not None:
            raise InvalidInput("the source has images to test with: leave out test_fraction")
        return [name] * len(part.origins)
    _, numbers = np.unique(np.array(part.labels), return_inverse=True)
    held_out = hold_out(numbers, options.test_fraction or TEST_FRACTION, options.seed)
    return [TEST if held else TRAIN for held in held_out]


def shown_progress(images: Iterable, total: int, name: str) -> Iterable:
    """Return images while a bar on a terminal shows how many there were."""
    return tqdm(images, name, total, unit=" images", disable=None, leave=False)


def check_written(writers: dict[str, IdxWriter], names: list[str], source: Source) -> None:
    """Check that there is something to train on, of each class, and to test with.

    Raises:
        InvalidInput: there is not.
    """
    notes = "".join(f"; {line}" for line in source.notes.lines())
    for name, writer in writers.items():
        if not writer.count:
            raise InvalidInput(f"there are no images to {name}{notes}")
    if names:
        missing = np.flatnonzero(writers[TRAIN].class_counts == 0)
        if missing.size:
            raise InvalidInput(f"there are no images of {names[missing[0]]!r} to train on{notes}")
