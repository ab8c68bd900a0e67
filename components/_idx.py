"""The IDX format: http://yann.lecun.com/exdb/mnist/ (zero, zero, type code, rank, sizes, data)."""

from typing import Any


def read_idx(path: Any) -> Any:
    """Read an IDX file of bytes, gzipped or not, as a uint8 array of the shape that it says.

    Raises:
        ValueError: the file is not gzip or IDX, not bytes, or its length is not what it says.
    """
    import gzip
    import math
    import zlib

    import numpy as np

    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            content = file.read()
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"{path} is not an IDX file: it starts with {content[:4]!r}, expected two zero bytes"
        )
    if content[2] != 0x08:
        raise ValueError(
            f"{path} has the type code 0x{content[2]:02x}, expected 0x08 (unsigned byte)"
        )
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise ValueError(
            f"{path} says its shape is {shape}: expected {math.prod(shape)} bytes of data, "
            f"found {max(0, len(content) - start)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
