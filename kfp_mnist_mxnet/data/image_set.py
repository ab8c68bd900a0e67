"""What ingest_images does with the files of an image set once it has them."""

import contextlib
import json
import pathlib
from typing import Any

import numpy as np

from kfp_mnist_mxnet.data.dataset import INFO_FILE, ImageWriter, check_disk_space, save_labels
from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.data.names import Files
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.limits import check_iterations


def check_shards(shards: int, most: int) -> None:
    """Check the number of parts that images are predicted in.

    most: that the back end can hold, 0 for any number.

    Raises:
        InvalidInput: it is out of range, or more than the back end can hold.
    """
    if not 1 <= shards <= 1000:
        raise InvalidInput(f"shards must be from 1 to 1000, got {shards}")
    check_iterations("shards", shards, most)


def store_image_set(
    files: Files,
    sha256: dict[str, str],
    directories: list[pathlib.Path],
    source: str,
    needed: list[int] | None = None,
) -> dict[str, Any]:
    """Stream an IDX file of images into a directory, and the labels, if any, into another.

    files: test_images and, unless there are no labels, test_labels, from `fetch`; sha256: part to
    expected digest, if any; directories: of the images and the labels; needed: the shape (C, H, W)
    that a model takes.
    Returns: what is known about the images, the content of dataset.json in both directories.

    Raises:
        InvalidInput: a file is damaged, there is not one label for each image, the images have
            another shape than the one needed, or the disk has no room.
    """
    with contextlib.ExitStack() as stack:
        idx = {
            part: stack.enter_context(IdxFile(file.path, file.name, sha256.get(part, "")))
            for part, file in files.items()
        }
        images, labels = idx["test_images"], np.zeros(0, np.uint8)
        num_images, shape = images.shape[0], images.image_shape
        if needed and list(shape) != needed:
            raise InvalidInput(
                f"{images.name} has images of shape {shape} (C, H, W), the model takes "
                f"{tuple(needed)}"
            )
        if "test_labels" in idx:
            idx["test_labels"].check_labels_of(images)
            labels = idx["test_labels"].labels()
        check_disk_space(directories[0].parent, num_images, shape)
        with ImageWriter(directories[0], num_images, shape) as writer:
            for block in images.images():
                writer.append(block)
    directories[1].mkdir()
    save_labels(directories[1], labels)
    info = {
        "num_images": num_images,
        "num_labels": len(labels),
        "image_shape": list(shape),
        "source": source,
        "sha256": writer.digest.hexdigest(),
    }
    for directory in directories:
        (directory / INFO_FILE).write_text(json.dumps(info, indent=1))
    return info
