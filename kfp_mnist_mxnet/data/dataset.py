"""The layout of a data set artifact: a directory that every step can memory-map.

images.npy    uint8, shape (N, C, H, W)
labels.npy    uint8, shape (N,), values 0 .. num_classes - 1
dataset.json  num_images, image_shape [C, H, W], num_classes, class_counts, source, sha256, and
              class_names and pixels (pixel_mean and pixel_std, 0 to 1), where they are known
"""

import dataclasses
import hashlib
import io
import json
import math
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from kfp_mnist_mxnet.data.class_names import check_class_names
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput
from kfp_mnist_mxnet.storage.artifact import open_npy, read_json, write_npy_header

INFO_FILE = "dataset.json"
ImageShape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known about a data set: the content of dataset.json.

    sha256: of the images and the labels, "" where it is not known; class_names: of all classes, or
    empty; pixels: pixel_mean and pixel_std of all images, 0 to 1, or empty.
    """

    num_images: int
    image_shape: ImageShape
    num_classes: int
    class_counts: list[int]
    source: str
    sha256: str
    class_names: list[str] = dataclasses.field(default_factory=list)
    pixels: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, directory: str | pathlib.Path) -> Self:
        """Read dataset.json; only num_classes must be there.

        Raises:
            InvalidInput: it is missing or damaged, or an entry that the steps use is not what the
                layout says.
        """
        content = read_json(directory, INFO_FILE)
        num_classes, sha256 = content.get("num_classes"), content.get("sha256", "")
        shape, pixels = content.get("image_shape"), content.get("pixels")
        if type(num_classes) is not int or not 1 <= num_classes <= 256:
            raise DamagedFile(
                f"{directory}/dataset.json does not say the number of classes: num_classes must be "
                f"a whole number from 1 to 256, got {num_classes!r}"
            )
        if not isinstance(sha256, str):
            raise DamagedFile(f"{directory}/dataset.json: sha256 must be a text, got {sha256!r}")
        return cls(
            num_images=content.get("num_images", 0),
            image_shape=tuple(shape) if isinstance(shape, list) else (),
            num_classes=num_classes,
            class_counts=content.get("class_counts", []),
            source=str(content.get("source", "")),
            sha256=sha256,
            class_names=check_class_names(content.get("class_names", []), num_classes),
            pixels=pixels if isinstance(pixels, dict) else {},
        )

    @property
    def name(self) -> str:
        """The source as others may read it: of a path on this machine the last part."""
        local = "://" not in self.source or self.source.startswith("file:")
        return self.source.rstrip("/").rpartition("/")[2] if local else self.source

    def save(self, directory: pathlib.Path) -> None:
        """Write dataset.json."""
        (directory / INFO_FILE).write_text(json.dumps(self.metadata(), indent=1))

    def metadata(self) -> dict[str, Any]:
        """Return the content of dataset.json, which is also the artifact's metadata."""
        content = {**dataclasses.asdict(self), "image_shape": list(self.image_shape)}
        for name in ("class_names", "pixels"):
            if not content[name]:
                del content[name]
        return content


class Split(NamedTuple):
    """Images, uint8 (N, C, H, W), their labels, uint8 (N,), and what is known about them."""

    images: np.ndarray
    labels: np.ndarray
    info: DatasetInfo

    @property
    def image_shape(self) -> ImageShape:
        """The shape (C, H, W) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def empty(self) -> "Split":
        """Return such a split without images."""
        return Split(self.images[:0], self.labels[:0], self.info)


class ImageWriter:
    """Starts a data set directory whose images.npy is written block by block.

    Use it as a context manager. digest: the hash of what was written.
    """

    def __init__(self, directory: pathlib.Path, num_images: int, image_shape: ImageShape) -> None:
        directory.mkdir()
        self.digest = hashlib.sha256()
        self.file = open(directory / "images.npy", "wb")  # noqa: SIM115 (closed at the exit)
        write_npy_header(self.file, "uint8", (num_images, *image_shape))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def append(self, images: np.ndarray) -> None:
        """Write images, uint8 (n, C, H, W)."""
        self.digest.update(images.reshape(-1).data)
        self.file.write(images.data)


def check_disk_space(directory: pathlib.Path, num_images: int, image_shape: ImageShape) -> None:
    """Check that the disk of a directory has room for images, all that will be written there.

    Raises:
        InvalidInput: it has not.
    """
    needed, free = num_images * math.prod(image_shape), shutil.disk_usage(directory).free
    if needed > free:
        raise InvalidInput(
            f"{num_images} images need {needed} bytes, but {directory} has {free} bytes free"
        )


def finish_dataset(
    directory: pathlib.Path,
    image_shape: ImageShape,
    images: ImageWriter,
    labels: np.ndarray,
    num_classes: int,
    source: str,
    class_names: Sequence[str] = (),
    pixels: dict[str, float] | None = None,
) -> DatasetInfo:
    """Write what a data set directory needs beside its images, and return what is known about it.

    images: all written; labels: uint8 (N,).
    """
    save_labels(directory, labels)
    digest = images.digest.copy()
    digest.update(np.ascontiguousarray(labels).data)
    info = DatasetInfo(
        num_images=len(labels),
        image_shape=image_shape,
        num_classes=num_classes,
        class_counts=np.bincount(labels, minlength=num_classes).tolist(),
        source=source,
        sha256=digest.hexdigest(),
        class_names=list(class_names),
        pixels=pixels or {},
    )
    info.save(directory)
    return info


def save_labels(directory: pathlib.Path, labels: np.ndarray) -> None:
    """Write labels, uint8 (N,), into a data set directory.

    Through memory: np.save hides from its error that the disk is full.
    """
    buffer = io.BytesIO()
    np.save(buffer, labels)
    with buffer.getbuffer() as content:  # released where the disk is full, too
        (directory / "labels.npy").write_bytes(content)


def read_dataset(directory: str | pathlib.Path) -> Split:
    """Memory-map a data set directory.

    Raises:
        InvalidInput: a file is missing, is not what the layout says, or does not fit the others.
    """
    images = read_images(directory)
    labels = read_array(directory, "labels.npy", 1)
    if len(images) != len(labels):
        raise DamagedFile(f"{directory} has {len(images)} images but {len(labels)} labels")
    info = DatasetInfo.load(directory)
    if len(labels) and int(labels.max()) >= info.num_classes:
        raise DamagedFile(
            f"{directory} has the label {int(labels.max())}, "
            f"but dataset.json says {info.num_classes} classes"
        )
    return Split(images, labels, info)


def read_images(directory: str | pathlib.Path) -> np.ndarray:
    """Memory-map the images of a data set directory, uint8 (N, C, H, W).

    Raises:
        InvalidInput: they are missing, or are not what the layout says.
    """
    return read_array(directory, "images.npy", 4)


def read_array(directory: str | pathlib.Path, name: str, rank: int) -> np.ndarray:
    """Memory-map one uint8 array of a data set directory and check its type and rank.

    Raises:
        InvalidInput: it is missing, or another array.
    """
    path = pathlib.Path(directory, name)
    if not path.exists():
        raise InvalidInput(
            f"{path} is missing: a data set is a directory with images.npy and labels.npy"
        )
    return open_npy(directory, name, "uint8", rank)
