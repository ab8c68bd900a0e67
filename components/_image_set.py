"""What ingest_images does with the files of an image set once it has them."""

from typing import Any

from components._dataset import check_room, open_images, save_labels
from components._idx import check_labels_fit, image_blocks, image_shape, open_idx, read_labels


def store_image_set(
    files: dict[str, tuple[Any, str]],
    sha256: dict[str, str],
    directories: list[Any],
    source: str,
) -> dict[str, Any]:
    """Stream an IDX file of images into a directory, and the labels, if any, into another.

    files: test_images and, unless there are no labels, test_labels, each to path and name, from
    `fetch`; sha256: part to expected digest, if any; directories: of the images and the labels.
    Returns: what is known about the images, the content of dataset.json in both directories.

    Raises:
        ValueError: a file is damaged, there is not one label for each image, or the disk has no
            room.
    """
    import contextlib
    import json

    import numpy as np

    with contextlib.ExitStack() as stack:
        idx = {
            part: stack.enter_context(open_idx(path, name, sha256.get(part, "")))
            for part, (path, name) in files.items()
        }
        images, labels = idx["test_images"], np.zeros(0, np.uint8)
        num_images, shape = images.shape[0], image_shape(images)
        if "test_labels" in idx:
            check_labels_fit(idx["test_labels"], images)
            labels = read_labels(idx["test_labels"])
        check_room(directories[0].parent, num_images, shape)
        with open_images(directories[0], num_images, shape) as stored:
            for block in image_blocks(images):
                stored.append(block)
    directories[1].mkdir()
    save_labels(directories[1], labels)
    about = {
        "num_images": num_images,
        "num_labels": len(labels),
        "image_shape": list(shape),
        "source": source,
        "sha256": stored.digest.hexdigest(),
    }
    for directory in directories:
        (directory / "dataset.json").write_text(json.dumps(about, indent=1))
    return about
