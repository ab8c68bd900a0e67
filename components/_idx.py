"""The IDX format: http://yann.lecun.com/exdb/mnist/ (zero, zero, type code, rank, sizes, data)."""

from typing import Any


def open_idx(path: Any, name: str, sha256: str = "") -> Any:
    """Open an IDX file, gzipped or not, and read it block by block in constant memory.

    Use it as a context manager: `with open_idx(path, name) as idx:`. idx.shape is what the header
    says, a claim until idx.blocks has ended; idx.blocks iterates once over uint8 arrays
    (n, *idx.shape[1:]) of about 1 MiB as stored; idx.name is the name.

    name: what messages call the file. sha256: expected digest of the decompressed bytes, or "".

    Raises:
        ValueError: the file is missing, not IDX, damaged, shorter or longer than it says, holds
            values that are no whole numbers from 0 to 255, or has another digest; the ones that
            need the data are raised while the blocks are read.
    """
    import contextlib
    import os
    import stat
    import types

    @contextlib.contextmanager
    def opened() -> Any:
        try:
            kind, size = os.stat(path).st_mode, os.path.getsize(path)
            if stat.S_ISDIR(kind):
                raise ValueError(f"{name} is a directory, expected an IDX file")
            if not stat.S_ISREG(kind):  # a pipe would be waited for without end
                raise ValueError(f"{name} is a pipe or a device, expected an IDX file")
            with open(path, "rb") as file:
                start = file.read(2)
        except OSError as error:
            raise ValueError(f"{name} can't be read: {error.strerror}") from error
        gzipped = start == b"\x1f\x8b"
        with open_decoded(path, gzipped) as file:
            dtype, shape, header = read_idx_header(file, name)
            # Deflate can't do better than 1032:1, https://zlib.net/zlib_tech.html
            check_idx_size(shape, dtype, 1032 * size if gzipped else size - len(header), name)
            blocks = read_ahead(idx_blocks(file, dtype, shape, name, header, sha256))
            with contextlib.closing(blocks):
                yield types.SimpleNamespace(shape=shape, blocks=blocks, name=name)

    return opened()


def open_decoded(path: Any, gzipped: bool) -> Any:
    """Open a file for reading the bytes that are inside its gzip layer, if it has one."""
    from isal import igzip

    return igzip.open(path, "rb") if gzipped else open(path, "rb")


def read_bytes(file: Any, size: int, name: str) -> bytes:
    """Read this many bytes, fewer only at the end of the file.

    Raises:
        ValueError: the gzip layer is cut short or damaged, or the disk can't be read.
    """
    import zlib

    from isal import igzip_lib

    try:
        return file.read(size)
    except EOFError as error:
        raise ValueError(f"{name} is cut short: its gzip data have no end") from error
    except (OSError, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]
        raise ValueError(f"{name} can't be read: {error}") from error


def read_ahead(blocks: Any) -> Any:
    """Yield what an iterator yields, while a thread already makes the next one.

    Decompression and hashing leave Python's lock: they run beside what is done with the blocks.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def read_idx_header(file: Any, name: str) -> tuple[Any, tuple[int, ...], bytes]:
    """Read the header of an IDX file.

    Returns: the type of the values as a NumPy dtype, big-endian as IDX is; the shape; the header.

    Raises:
        ValueError: it is no IDX header, or one of a type or a rank that is not known.
    """
    import numpy as np

    dtypes = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
    magic = read_bytes(file, 4, name)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic + read_bytes(file, 12, name)
        raise ValueError(
            f"{name} is not an IDX file: it starts with {start!r}, expected two zero bytes, "
            "a type code and a rank"
        )
    code, rank = magic[2:]
    if code not in dtypes:
        known = ", ".join(f"0x{known:02X}" for known in dtypes)
        raise ValueError(f"{name} has the type code 0x{code:02X}, expected one of {known}")
    if not 1 <= rank <= 32:
        raise ValueError(f"{name} has the rank {rank}, expected 1 to 32 dimensions")
    sizes = read_bytes(file, 4 * rank, name)
    if len(sizes) < 4 * rank:
        raise ValueError(f"{name} ends within its header: expected {rank} sizes of 4 bytes")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    return np.dtype(dtypes[code]), shape, magic + sizes


def check_idx_size(shape: tuple[int, ...], dtype: Any, most: int, name: str) -> None:
    """Check what a header claims before anything is allocated for it.

    most: bytes of data that the file can hold, at most.

    Raises:
        ValueError: the file can't hold its shape, or one item is empty or larger than 64 MiB.
    """
    import math

    expected = math.prod(shape) * dtype.itemsize
    item = math.prod(shape[1:]) * dtype.itemsize
    if expected > most:
        raise ValueError(
            f"{name} says its shape is {shape}: expected {expected} bytes of data, "
            f"found at most {most}"
        )
    if not 0 < item <= 64 << 20:
        raise ValueError(
            f"{name} says its shape is {shape}: expected 1 byte to 64 MiB an item, got {item} bytes"
        )


def idx_blocks(
    file: Any, dtype: Any, shape: tuple[int, ...], name: str, header: bytes, sha256: str
) -> Any:
    """Yield the data of an IDX file as uint8 arrays (n, *shape[1:]); check its end and its digest.

    Raises:
        ValueError: as `open_idx` says.
    """
    import hashlib
    import math

    import numpy as np

    digest = hashlib.sha256(header)
    item = math.prod(shape[1:]) * dtype.itemsize
    at_once = max(1, (1 << 20) // item)
    for start in range(0, shape[0], at_once):
        count = min(at_once, shape[0] - start)
        content = read_bytes(file, count * item, name)
        if len(content) < count * item:
            raise ValueError(
                f"{name} is too short: its shape {shape} needs {shape[0] * item} bytes of data, "
                f"found {start * item + len(content)}"
            )
        if sha256:
            digest.update(content)
        yield to_uint8(np.frombuffer(content, dtype).reshape(count, *shape[1:]), name)
    if read_bytes(file, 1, name):
        raise ValueError(
            f"{name} is too long: its shape {shape} needs {shape[0] * item} bytes of data, "
            "found more"
        )
    if sha256 and digest.hexdigest() != sha256:
        raise ValueError(
            f"{name} has the SHA-256 {digest.hexdigest()} (decompressed), expected {sha256}"
        )


def to_uint8(array: Any, name: str) -> Any:
    """Return an array as uint8.

    Raises:
        ValueError: a value is no whole number from 0 to 255, so that information would be lost.
    """
    import numpy as np

    if array.dtype == np.uint8:
        return array
    with np.errstate(invalid="ignore"):  # a signalling NaN is wrong as any other
        wrong = ~((array >= 0) & (array <= 255) & (array == np.floor(array)))
    if wrong.any():
        raise ValueError(
            f"{name} has the {array.dtype.name} value {array[wrong][0]}: "
            "expected whole numbers from 0 to 255, which uint8 holds without loss"
        )
    return array.astype(np.uint8)


def read_labels(idx: Any) -> Any:
    """Return all labels of an open IDX file, uint8 (N,).

    Raises:
        ValueError: the labels have more than one dimension, or as `open_idx` says.
    """
    import numpy as np

    if len(idx.shape) != 1:
        raise ValueError(f"{idx.name} has the shape {idx.shape}, expected one label an image: (N,)")
    return np.concatenate([np.empty(0, np.uint8), *idx.blocks])


def image_shape(idx: Any) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of the images of an open IDX file.

    Raises:
        ValueError: the file does not hold (N, H, W) or (N, H, W, C).
    """
    if len(idx.shape) not in (3, 4):
        raise ValueError(
            f"{idx.name} has the shape {idx.shape}, expected images as (N, H, W) or (N, H, W, C)"
        )
    height, width, *channels = idx.shape[1:]
    return (*channels, height, width) if channels else (1, height, width)


def check_labels_fit(labels: Any, images: Any) -> None:
    """Check that an open IDX file of labels has one for each image of another, by their headers.

    Raises:
        ValueError: it has not.
    """
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels.name} has {' x '.join(map(str, labels.shape))} labels, "
            f"expected one for each of the {images.shape[0]} images in {images.name}"
        )


def image_blocks(idx: Any) -> Any:
    """Yield the images of an open IDX file, uint8 (n, C, H, W), block by block."""
    import numpy as np

    channels, height, width = image_shape(idx)
    for block in idx.blocks:
        images = block.reshape(len(block), height, width, channels)
        yield np.ascontiguousarray(images.transpose(0, 3, 1, 2))
