"""The layout of a data set artifact: a directory that every step can memory-map.

images.npy    uint8, shape (N, C, H, W)
labels.npy    uint8, shape (N,), values 0 .. num_classes - 1
dataset.json  num_images, image_shape [C, H, W], num_classes, class_counts, source, sha256
"""

from typing import Any

from components._files import open_npy, read_json, write_npy_header


def open_images(directory: Any, num_images: int, image_shape: tuple[int, int, int]) -> Any:
    """Start a data set directory whose images.npy is written block by block.

    Use it as a context manager: `with open_images(directory, n, shape) as images:`.
    images.append takes uint8 (n, C, H, W), num_images in all; images.digest hashes what it took.
    """
    import contextlib
    import hashlib
    import types

    @contextlib.contextmanager
    def opened() -> Any:
        directory.mkdir()
        digest = hashlib.sha256()
        with open(directory / "images.npy", "wb") as file:
            write_npy_header(file, "uint8", (num_images, *image_shape))

            def append(images: Any) -> None:
                digest.update(images.reshape(-1))
                file.write(images)

            yield types.SimpleNamespace(append=append, digest=digest)

    return opened()


def check_room(directory: Any, num_images: int, image_shape: tuple[int, int, int]) -> None:
    """Check that the disk of a directory has room for images, all that will be written there.

    Raises:
        ValueError: it has not.
    """
    import math
    import shutil

    needed, free = num_images * math.prod(image_shape), shutil.disk_usage(directory).free
    if needed > free:
        raise ValueError(
            f"{num_images} images need {needed} bytes, but {directory} has {free} bytes free"
        )


def finish_dataset(
    directory: Any,
    image_shape: tuple[int, int, int],
    digest: Any,
    labels: Any,
    num_classes: int,
    source: str,
) -> dict[str, Any]:
    """Write what a data set directory needs beside its images.

    digest: of the images, from `open_images`; labels: uint8 (N,). Returns: what is known about
    the data set, the content of dataset.json; its sha256 is that of the images and the labels.
    """
    import json

    import numpy as np

    save_labels(directory, labels)
    digest.update(np.ascontiguousarray(labels))
    about = {
        "num_images": len(labels),
        "image_shape": list(image_shape),
        "num_classes": num_classes,
        "class_counts": np.bincount(labels, minlength=num_classes).tolist(),
        "source": source,
        "sha256": digest.hexdigest(),
    }
    (directory / "dataset.json").write_text(json.dumps(about, indent=1))
    return about


def save_labels(directory: Any, labels: Any) -> None:
    """Write labels, uint8 (N,), into a data set directory.

    Through memory: np.save hides from its error that the disk is full.
    """
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, labels)
    (directory / "labels.npy").write_bytes(buffer.getbuffer())


def write_dataset(
    directory: Any, images: Any, labels: Any, num_classes: int, source: str
) -> dict[str, Any]:
    """Write a data set directory from arrays and return the content of its dataset.json.

    images: uint8 array (N, C, H, W); labels: uint8 array (N,).
    """
    import numpy as np

    shape = images.shape[1:]
    with open_images(directory, len(images), shape) as stored:
        stored.append(np.ascontiguousarray(images))
    return finish_dataset(directory, shape, stored.digest, labels, num_classes, source)


def read_dataset(directory: str) -> tuple[Any, Any, dict[str, Any]]:
    """Memory-map a data set directory.

    Returns: images, uint8 (N, C, H, W); labels, uint8 (N,); the content of dataset.json.

    Raises:
        ValueError: a file is missing, is not what the layout says, or does not fit the others.
    """
    images = read_array(directory, "images.npy", 4)
    labels = read_array(directory, "labels.npy", 1)
    if len(images) != len(labels):
        raise ValueError(f"{directory} has {len(images)} images but {len(labels)} labels")
    about = read_about(directory)
    if len(labels) and int(labels.max()) >= about["num_classes"]:
        raise ValueError(
            f"{directory} has the label {int(labels.max())}, "
            f"but dataset.json says {about['num_classes']} classes"
        )
    return images, labels, about


def read_about(directory: str) -> dict[str, Any]:
    """Return the content of dataset.json.

    Raises:
        ValueError: it is missing or damaged, or an entry that the steps use is not what the layout
            says.
    """
    about = read_json(directory, "dataset.json")
    num_classes, sha256 = about.get("num_classes"), about.get("sha256", "")
    if type(num_classes) is not int or not 1 <= num_classes <= 256:
        raise ValueError(
            f"{directory}/dataset.json does not say the number of classes: num_classes must be a "
            f"whole number from 1 to 256, got {num_classes!r}"
        )
    if not isinstance(sha256, str):
        raise ValueError(f"{directory}/dataset.json: sha256 must be a text, got {sha256!r}")
    return about


def read_array(directory: str, name: str, rank: int) -> Any:
    """Memory-map one uint8 array of a data set directory and check its type and rank."""
    import pathlib

    path = pathlib.Path(directory, name)
    if not path.exists():
        raise ValueError(
            f"{path} is missing: a data set is a directory with images.npy and labels.npy"
        )
    return open_npy(directory, name, "uint8", rank)
