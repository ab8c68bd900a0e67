"""The files of a data set: what they are called, and where they lie once they are here."""

import pathlib
from typing import NamedTuple

from kfp_mnist_mxnet.errors import InvalidInput

STANDARD_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


class SourceFile(NamedTuple):
    """A file on this machine, and how messages call it."""

    path: pathlib.Path
    name: str


Files = dict[str, SourceFile]  # part of a data set to its file


def spellings(name: str) -> list[str]:
    """Return the names that a file may have: plain or gzipped, `-` or `.` before idx, idx3 or idx4.

    The number is the rank, 4 for images with channels.
    """
    names = [name, name.replace("-idx", ".idx")]
    names += [base.replace("idx3", "idx4") for base in names]
    return [base + end for base in dict.fromkeys(names) for end in (".gz", "")]


def check_names(names: dict[str, str]) -> None:
    """Check that file names lead to files under the directory or prefix that data_uri names.

    names: part to file name.

    Raises:
        InvalidInput: a name is a path from the root or with `..`, or has a control character.
    """
    for part, name in names.items():
        wrong = {"", ".", ".."} & set(name.split("/"))
        if wrong or not name.isprintable() or len(name) > 200 or "\\" in name:
            raise InvalidInput(
                f"the file name of {part} must be that of a file under data_uri, without '..', "
                f"'\\' and control characters, at most 200 long, got {name[:220]!r}"
            )
