"""The files of an artifact, which may come from anyone: no code, no links, no surprises."""

import json
import math
import pathlib
import re
import stat
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput


def regular_file(directory: str | pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a file of an artifact.

    Raises:
        InvalidInput: it is missing, or it is a link, a directory, a pipe or a device: a link could
            lead to any file of this machine, and a pipe never ends.
    """
    path = pathlib.Path(directory, name)
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{str(path)!r} can't be read: {error}") from error
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise InvalidInput(f"{path} is {kind}: an artifact consists of regular files")
    return path


def read_json(directory: str | pathlib.Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of an artifact, of at most 16 MiB.

    Raises:
        InvalidInput: it is missing, no regular file, too large, or no JSON object.
    """
    path = regular_file(directory, name)
    size = path.stat().st_size
    if size > 16 << 20:
        raise DamagedFile(f"{path} is damaged: it has {size} bytes, expected at most 16 MiB")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"{path} is damaged: expected a JSON object")
    return content


def refuse_constant(word: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader takes for numbers.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput(f"{word} is no JSON number")


def npy_header(start: bytes, size: int, name: str) -> tuple[str, tuple[int, ...], int]:
    """Return the type, the shape and the length of the header of a .npy file.

    start: at least its first 1,024 bytes, or all of it; size: of the whole file in bytes.
    NumPy evaluates a header as a Python literal, which a deeply nested one or a huge one turns
    into a fault or a crash. Here only what np.save writes for a plain array is understood.

    Raises:
        InvalidInput: it is another header, or the file is shorter or longer than it says.
    """
    found = re.match(
        rb"\x93NUMPY\x01\x00(..)\{'descr': '([|<][uif]\d|<U[1-9]\d{0,8})', 'fortran_order': False, "
        rb"'shape': \(((?:\d{1,18}, ?){0,31}(?:\d{1,18})?)\), \} *\n",
        start[:1024],
        re.DOTALL,
    )
    if found is None or found.end() != 10 + int.from_bytes(found[1], "little"):
        raise DamagedFile(
            f"{name} is not a valid .npy file: expected version 1.0, a plain type and C order, "
            f"as numpy.save writes them, got {start[:80]!r}"
        )
    descr = found[2].decode()
    shape = tuple(int(length) for length in found[3].split(b",") if length.strip())
    try:
        expected = found.end() + math.prod(shape) * np.dtype(descr).itemsize
    except TypeError:
        raise DamagedFile(f"{name} is not a valid .npy file: there is no type {descr!r}") from None
    if size != expected:
        raise DamagedFile(
            f"{name} is not a valid .npy file: its shape {shape} makes {expected} bytes, "
            f"found {size}"
        )
    return descr, shape, found.end()


def write_npy_header(file: BinaryIO, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """Start a .npy file of a known shape; the rows follow in C order, as many as it says."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def open_npy(directory: str | pathlib.Path, name: str, dtype: str, rank: int) -> np.memmap:
    """Memory-map an array of an artifact, read only.

    dtype: as NumPy calls it, uint8 or float32; rank: number of dimensions.

    Raises:
        InvalidInput: the file is missing, no regular file, no whole .npy file, or of another type.
    """
    try:
        path = regular_file(directory, name)
        with open(path, "rb") as file:
            start = file.read(1024)
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{directory}/{name} is not a valid .npy file: {error}") from error
    descr, shape, offset = npy_header(start, path.stat().st_size, str(path))
    if np.dtype(descr) != dtype or len(shape) != rank:
        raise InvalidInput(
            f"{path} must be {dtype} with {rank} dimensions, "
            f"got {np.dtype(descr)} with the shape {shape}"
        )
    return np.memmap(path, descr, "r", offset, shape)
