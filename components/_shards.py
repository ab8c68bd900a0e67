"""Splitting images into shards, and putting the predictions of shards together."""

from typing import Any

from components._dataset import write_npy_header
from components._report import section, write_report


def shard_range(num_images: int, shard: int, num_shards: int, batch_size: int) -> tuple[int, int]:
    """Return the first image of a shard and the one after its last.

    Shards begin at whole batches: the last bits of a probability depend on the batch that an
    image is in, and so every image stays in the batch that it has without shards.

    Raises:
        ValueError: batch_size or num_shards is below 1, or there is no such shard.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
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
    import os
    import pathlib

    import numpy as np

    offsets, shapes = {}, {}
    for name, dtype, rank in (("probabilities.npy", np.float32, 2), ("labels.npy", np.uint8, 1)):
        path = pathlib.Path(directory, name)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a whole .npy file: {error}") from error
        if array.dtype != dtype or array.ndim != rank:
            raise ValueError(
                f"{path} must be {np.dtype(dtype)} with {rank} dimensions, "
                f"got {array.dtype} with the shape {array.shape}"
            )
        offsets[name], shapes[name] = array.offset, array.shape
    path = pathlib.Path(directory, "predictions.csv")
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: predictions are a directory with two .npy files and it"
        )
    num_images, num_classes = shapes["probabilities.npy"]
    with open(path, "rb") as file:
        offsets[path.name] = len(file.readline())
        first = int(file.readline().partition(b",")[0] or 0)
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)  # a row has at most 64 bytes
        last = [b"", *file.read().splitlines(keepends=True)][-1]
    if num_images and not (
        last.startswith(b"%d," % (first + num_images - 1)) and last[-1:] == b"\n"
    ):
        raise ValueError(f"{path} was cut short: its last row is {last!r}")
    if shapes["labels.npy"] != (num_images,):
        raise ValueError(f"{directory} has {num_images} images, but {shapes['labels.npy']} labels")
    return {
        "directory": directory,
        "first": first,
        "num_images": num_images,
        "num_classes": num_classes,
        "offsets": offsets,
    }


def order_shards(directories: list[Any], num_images: int) -> list[dict[str, Any]]:
    """Return the shards that have images (one, if none has) in the order of the images.

    directories: predictions directories in any order; num_images: how many images there are.

    Raises:
        ValueError: an image is in no shard or in two, or shards differ in the number of classes.
    """
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
    import json
    import pathlib

    import numpy as np

    try:
        about = json.loads(pathlib.Path(directory, "dataset.json").read_text())
        labels = np.load(pathlib.Path(directory, "labels.npy"), allow_pickle=False)
        num_images = int(about["num_images"])
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"the labels in {directory} can't be read: {error!r}") from error
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
