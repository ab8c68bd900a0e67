"""The files of an artifact, which may come from anyone: no code, no links, no surprises."""

from typing import Any


def regular_file(directory: Any, name: str) -> Any:
    """Return the path of a file of an artifact.

    Raises:
        ValueError: it is missing, or it is a link, a directory, a pipe or a device: a link could
            lead to any file of this machine, and a pipe never ends.
    """
    import pathlib
    import stat

    path = pathlib.Path(directory, name)
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)!r} can't be read: {error}") from error
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise ValueError(f"{path} is {kind}: an artifact consists of regular files")
    return path


def read_json(directory: Any, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of an artifact, of at most 16 MiB.

    Raises:
        ValueError: it is missing, no regular file, too large, or no JSON object.
    """
    import json

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON number")

    path = regular_file(directory, name)
    size = path.stat().st_size
    if size > 16 << 20:
        raise ValueError(f"{path} is damaged: it has {size} bytes, expected at most 16 MiB")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object")
    return content


def npy_header(start: bytes, size: int, name: str) -> tuple[str, tuple[int, ...], int]:
    """Return the type, the shape and the length of the header of a .npy file.

    start: at least its first 1,024 bytes, or all of it; size: of the whole file in bytes.
    NumPy evaluates a header as a Python literal, which a deeply nested one or a huge one turns
    into a fault or a crash. Here only what np.save writes for a plain array is understood.

    Raises:
        ValueError: it is another header, or the file is shorter or longer than it says.
    """
    import math
    import re

    import numpy as np

    found = re.match(
        rb"\x93NUMPY\x01\x00(..)\{'descr': '([|<][uif]\d|<U[1-9]\d{0,8})', 'fortran_order': False, "
        rb"'shape': \(((?:\d{1,18}, ?){0,31}(?:\d{1,18})?)\), \} *\n",
        start[:1024],
        re.DOTALL,
    )
    if found is None or found.end() != 10 + int.from_bytes(found[1], "little"):
        raise ValueError(
            f"{name} is not a whole .npy file: expected version 1.0, a plain type and C order, "
            f"as numpy.save writes them, got {start[:80]!r}"
        )
    descr = found[2].decode()
    shape = tuple(int(length) for length in found[3].split(b",") if length.strip())
    try:
        expected = found.end() + math.prod(shape) * np.dtype(descr).itemsize
    except TypeError:
        raise ValueError(f"{name} is not a whole .npy file: there is no type {descr!r}") from None
    if size != expected:
        raise ValueError(
            f"{name} is not a whole .npy file: its shape {shape} makes {expected} bytes, "
            f"found {size}"
        )
    return descr, shape, found.end()


def write_npy_header(file: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    """Start a .npy file of a known shape; the rows follow in C order, as many as it says."""
    import numpy as np

    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def open_npy(directory: Any, name: str, dtype: str, rank: int) -> Any:
    """Memory-map an array of an artifact, read only.

    dtype: as NumPy calls it, uint8 or float32; rank: number of dimensions.

    Raises:
        ValueError: the file is missing, no regular file, no whole .npy file, or of another type.
    """
    import numpy as np

    try:
        path = regular_file(directory, name)
        with open(path, "rb") as file:
            start = file.read(1024)
    except (OSError, ValueError) as error:
        raise ValueError(f"{directory}/{name} is not a whole .npy file: {error}") from error
    descr, shape, offset = npy_header(start, path.stat().st_size, str(path))
    if np.dtype(descr) != dtype or len(shape) != rank:
        raise ValueError(
            f"{path} must be {dtype} with {rank} dimensions, "
            f"got {np.dtype(descr)} with the shape {shape}"
        )
    return np.memmap(path, descr, "r", offset, shape)
