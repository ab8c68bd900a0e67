"""Writing IDX files image by image: http://yann.lecun.com/exdb/mnist/."""

import csv
import pathlib
import struct
from collections.abc import Sequence
from typing import Self

import numpy as np

from kfp_mnist_mxnet.conversion.images import Layout

UINT8 = 0x08


class IdxWriter:
    """Writes the images of one part, their labels, and the list of where they come from.

    Use it as a context manager. The number of images stands in the files' headers at the exit.

    directory: for the three files; prefix: of their names, train or t10k; class_names: as the
    labels number them, None where images have no labels.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        prefix: str,
        layout: Layout,
        class_names: Sequence[str] | None,
    ) -> None:
        self.layout, self.class_names = layout, class_names
        rank = 1 + len(layout.shape)
        self.names = [f"{prefix}-images-idx{rank}-ubyte", f"{prefix}-files.csv"]
        self.images = open(directory / self.names[0], "wb")  # noqa: SIM115 (closed at the exit)
        self.list_file = open(  # noqa: SIM115
            directory / self.names[1], "w", encoding="utf-8", newline=""
        )
        self.list = csv.writer(self.list_file, lineterminator="\n")
        labelled = () if class_names is None else ("label", "class_name")
        self.list.writerow(("index", *labelled, "file"))
        self.label_path = directory / f"{prefix}-labels-idx1-ubyte"
        self.labels: bytearray = bytearray()
        self.count = 0
        self.images.write(idx_header(0, *layout.shape))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.images.seek(0)
        self.images.write(idx_header(self.count, *self.layout.shape))
        self.images.close()
        self.list_file.close()
        if self.class_names is not None:
            self.label_path.write_bytes(idx_header(self.count) + self.labels)
            self.names.insert(1, self.label_path.name)

    def append(self, image: np.ndarray, label: int, origin: str) -> None:
        """Write an image, uint8 of the layout's shape."""
        self.images.write(np.ascontiguousarray(image).data)
        if self.class_names is None:
            self.list.writerow((self.count, origin))
        else:
            self.labels.append(label)
            self.list.writerow((self.count, label, self.class_names[label], origin))
        self.count += 1

    @property
    def class_counts(self) -> np.ndarray:
        """The number of images of each class, (classes,)."""
        labels = np.frombuffer(bytes(self.labels), np.uint8)
        return np.bincount(labels, minlength=len(self.class_names or ()))


def idx_header(*shape: int) -> bytes:
    """Return the header of an IDX file of uint8 values."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, UINT8, len(shape), *shape)
