"""Splitting images into shards, and putting the predictions of shards together."""

from typing import Any

from components._files import open_npy, read_json, regular_file, write_npy_header
from components._report import section, write_report


def shard_range(num_images: int, shard: int, num_shards: int, batch_size: int) -> tuple[int, int]:
    """Return the first image of a shard and the one after its last.

    Shards begin at whole batches: the last bits of a probability depend on the batch that an
    image is in, and so every image stays in the batch that it has without shards.

    Raises:
        ValueError: batch_size or num_shards is out of range, or there is no such shard.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if batch_size > 65_536:
        raise ValueError(f"batch_size must be at most 65,536, got {batch_size}")
    if num_shards < 1:
        raise ValueError(f"num_shards must be at least 1, got {num_shards}")
    if not 0 <= shard < num_shards:
        raise ValueError(f"shard must be from 0 to {num_shards - 1}, got {shard}")
    batches = -(-num_images // batch_size)
    start, stop = (batches * i // num_shards * batch_size for i in (shard, shard + 1))
    return min(start, num_images), min(stop, num_images)


def read_shard(directory: Any) -> dict[str, Any]:
    """Return what a predictions directory holds: first (index of its first image), num_images,
    num_classes, and offsets (file name to where the rows begin, in bytes).

    Raises:
        ValueError: a file is missing, was cut short, or is not what predict writes.
    """
    offsets, shapes = {}, {}
    for name, dtype, rank in (("probabilities.npy", "float32", 2), ("labels.npy", "uint8", 1)):
        array = open_npy(directory, name, dtype, rank)
        offsets[name], shapes[name] = array.offset, array.shape
    num_images, num_classes = shapes["probabilities.npy"]
    if shapes["labels.npy"] != (num_images,):
        raise ValueError(f"{directory} has {num_images} images, but {shapes['labels.npy']} labels")
    if num_images and int(array.max()) >= num_classes:
        raise ValueError(
            f"{directory}/labels.npy has the label {int(array.max())}, "
            f"but there are probabilities of {num_classes} classes"
        )
    first, offsets["predictions.csv"] = read_csv_start(directory, num_images)
    return {
        "directory": directory,
        "first": first,
        "num_images": num_images,
        "num_classes": num_classes,
        "offsets": offsets,
    }


def read_csv_start(directory: Any, num_images: int) -> tuple[int, int]:
    """Return the index in the first row of predictions.csv, and where that row begins, in bytes.

    Raises:
        ValueError: the file is missing, or its first and last row are not those of so many images.
    """
    import os

    path = regular_file(directory, "predictions.csv")
    with open(path, "rb") as file:
        offset = len(file.readline(64))  # a row has at most 64 bytes
        index = file.readline(64).partition(b",")[0]
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)
        last = [b"", *file.read().splitlines(keepends=True)][-1]
    if num_images == 0:
        return 0, offset
    if not index.isdigit():
        raise ValueError(f"{path} must have the index of an image in its first row, got {index!r}")
    if not (last.startswith(b"%d," % (int(index) + num_images - 1)) and last[-1:] == b"\n"):
        raise ValueError(f"{path} was cut short: its last row is {last!r}")
    return int(index), offset


def order_shards(directories: list[Any], num_images: int) -> list[dict[str, Any]]:
    """Return the shards that have images (one, if none has) in the order of the images.

    directories: predictions directories in any order; num_images: how many images there are.

    Raises:
        ValueError: an image is in no shard or in two, or shards differ in the number of classes.
    """
    if not directories:
        raise ValueError("shards is empty: give the predictions of at least one shard")
    shards = [read_shard(directory) for directory in directories]
    if len({shard["num_classes"] for shard in shards}) != 1:
        raise ValueError("the shards come from models that differ in their number of classes")
    filled = [shard for shard in shards if shard["num_images"]] or shards[:1]
    filled.sort(key=lambda shard: shard["first"])
    expected = 0
    for shard in filled:
        if shard["first"] != expected:
            raise ValueError(
                f"the shard {shard['directory']} begins with image {shard['first']}, "
                f"expected {expected}: a shard is missing or is there twice"
            )
        expected += shard["num_images"]
    if expected != num_images:
        raise ValueError(f"the shards have {expected} images, expected {num_images}")
    return filled


def join_shards(directory: Any, shards: list[dict[str, Any]], num_images: int) -> None:
    """Write one predictions directory from ordered shards, in constant memory.

    The bytes are those that predict writes for all images at once.
    """
    import pathlib
    import shutil

    import numpy as np

    directory.mkdir()
    for name in shards[0]["offsets"]:
        with open(directory / name, "wb") as output:
            if name == "predictions.csv":
                output.write(b"index,label,probability\n")
            else:
                array = np.load(pathlib.Path(shards[0]["directory"], name), mmap_mode="r")
                write_npy_header(output, array.dtype, (num_images, *array.shape[1:]))
            for shard in shards:
                with open(pathlib.Path(shard["directory"], name), "rb") as file:
                    file.seek(shard["offsets"][name])
                    shutil.copyfileobj(file, output)


def read_true_labels(directory: str) -> tuple[Any, int]:
    """Return the true labels, uint8 (N,), or (0,) if there are none, and the number of images.

    Raises:
        ValueError: the directory is not what ingest_images writes.
    """
    num_images = read_json(directory, "dataset.json").get("num_images")
    if type(num_images) is not int or num_images < 0:
        raise ValueError(
            f"{directory}/dataset.json does not say the number of images: num_images must be a "
            f"whole number, got {num_images!r}"
        )
    labels = open_npy(directory, "labels.npy", "uint8", 1)
    if len(labels) not in (0, num_images):
        raise ValueError(f"{directory} has {len(labels)} labels for {num_images} images")
    return labels, num_images


def write_merge_report(path: Any, directory: Any, scores: dict[str, Any], shards: int) -> None:
    """Write the report of a merged predictions directory: how often each label was predicted."""
    import numpy as np

    labels = np.load(directory / "labels.npy")
    num_classes = np.load(directory / "probabilities.npy", mmap_mode="r").shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    facts = {"images": f"{len(labels):,}", "shards": f"{shards:,}"}
    if "accuracy" in scores:
        facts |= {"accuracy": f"{scores['accuracy']:.2%}", "errors": f"{scores['errors']:,}"}
    rows = (
        (label, f"{count:,}", f"{count / max(1, len(labels)):.2%}")
        for label, count in enumerate(counts)
    )
    write_report(
        path,
        "Batch prediction",
        facts,
        [section("Predicted labels", head=("label", "images", "share"), rows=tuple(rows))],
    )
