"""The IDX format: http://yann.lecun.com/exdb/mnist/ (zero, zero, type code, rank, sizes, data).

Images are grey, (N, H, W), or have channels: (N, H, W, C) or (N, C, H, W). The header does not say
which; `channel_order` tells it by the sizes, or refuses the file.
"""

import contextlib
import hashlib
import math
import os
import pathlib
import stat
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Self

import numpy as np
from isal import igzip, igzip_lib

from kfp_mnist_mxnet.errors import DamagedFile

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DEFLATED = (
    1032  # bytes that one byte of Deflate can stand for, https://zlib.net/zlib_tech.html
)
LARGEST_ITEM = 64 << 20  # bytes
BLOCK = 1 << 20  # bytes that are read at once


class IdxFile:
    """An open IDX file, gzipped or not, that is read once, block by block, in constant memory.

    Use it as a context manager. shape is what the header says, a claim until `blocks` has ended.

    name: what messages call the file. sha256: expected digest of the decompressed bytes, or "".

    Raises:
        DamagedFile: the file is missing, not IDX, damaged, shorter or longer than it says, holds
            values that are no whole numbers from 0 to 255, or has another digest; the ones that
            need the data are raised while the blocks are read.
    """

    def __init__(self, path: pathlib.Path, name: str, sha256: str = "") -> None:
        self.path, self.name, self.sha256 = path, name, sha256
        gzipped = is_gzipped(path, name)
        open_file = igzip.open if gzipped else open
        self.file: BinaryIO = open_file(path, "rb")
        try:
            self.dtype, self.shape, self.header = self.read_header()
            size = path.stat().st_size
            self.check_size(MOST_DEFLATED * size if gzipped else size - len(self.header))
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        self.reading = self.read_ahead()
        return self

    def __exit__(self, *_: object) -> None:
        self.reading.close()
        self.file.close()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of the images in the file.

        Raises:
            DamagedFile: as order says.
        """
        channels, height, width = (1, *(self.shape[axis] for axis in self.order[1:]))[-3:]
        return channels, height, width

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the file in the order (N, C, H, W), of grey images (N, H, W).

        Raises:
            DamagedFile: as channel_order says.
        """
        return channel_order(self.shape, self.name)

    @property
    def blocks(self) -> Iterator[np.ndarray]:
        """An iterator, the same each time, over uint8 arrays (n, *shape[1:]) as stored."""
        return self.reading

    def images(self) -> Iterator[np.ndarray]:
        """Yield the images, uint8 (n, C, H, W), block by block."""
        order, shape = self.order, self.image_shape
        for block in self.reading:
            yield np.ascontiguousarray(block.transpose(order)).reshape(len(block), *shape)

    def labels(self) -> np.ndarray:
        """Return all labels in the file, uint8 (N,).

        Raises:
            DamagedFile: the labels have more than one dimension, or as the class says.
        """
        if len(self.shape) != 1:
            raise DamagedFile(
                f"{self.name} has the shape {self.shape}, expected one label an image: (N,)"
            )
        return np.concatenate([np.empty(0, np.uint8), *self.reading])

    def check_labels_of(self, images: "IdxFile") -> None:
        """Check that this file has a label for each image of another, by their headers.

        Raises:
            DamagedFile: it has not.
        """
        if self.shape != images.shape[:1]:
            raise DamagedFile(
                f"{self.name} has {' x '.join(map(str, self.shape))} labels, "
                f"expected one for each of the {images.shape[0]} images in {images.name}"
            )

    def read(self, size: int) -> bytes:
        """Read this many bytes, fewer only at the end of the file.

        Raises:
            DamagedFile: the gzip layer is cut short, damaged or followed by other bytes, or the
                disk can't be read.
        """
        try:
            return self.file.read(size)
        except (EOFError, OSError, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]
            fault = f"can't be read: {error}"
            if isinstance(error, EOFError):
                fault = "is cut short: its gzip data have no end"
            if has_tail(self.path):  # igzip takes it for the header of more gzip data
                fault = "is too long: other bytes follow its gzip data"
            raise DamagedFile(f"{self.name} {fault}") from error

    def read_header(self) -> tuple[np.dtype, tuple[int, ...], bytes]:
        """Read the header.

        Returns: the type of the values, big-endian as IDX is; the shape; the header.

        Raises:
            DamagedFile: it is no IDX header, or one of a type or a rank that is not known.
        """
        magic = self.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            start = magic + self.read(12)
            raise DamagedFile(
                f"{self.name} is not an IDX file: it starts with {start!r}, "
                "expected two zero bytes, a type code and a rank"
            )
        code, rank = magic[2:]
        if code not in DTYPES:
            codes = ", ".join(f"0x{known:02X}" for known in DTYPES)
            raise DamagedFile(
                f"{self.name} has the type code 0x{code:02X}, expected one of {codes}"
            )
        if not 1 <= rank <= 32:
            raise DamagedFile(f"{self.name} has the rank {rank}, expected 1 to 32 dimensions")
        sizes = self.read(4 * rank)
        if len(sizes) < 4 * rank:
            raise DamagedFile(
                f"{self.name} ends within its header: expected {rank} sizes of 4 bytes"
            )
        shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
        return np.dtype(DTYPES[code]), shape, magic + sizes

    def check_size(self, most: int) -> None:
        """Check what the header claims before anything is allocated for it.

        most: bytes of data that the file can hold, at most.

        Raises:
            DamagedFile: the file can't hold its shape, or one item is empty or too large.
        """
        expected = math.prod(self.shape) * self.dtype.itemsize
        if expected > most:
            raise DamagedFile(
                f"{self.name} says its shape is {self.shape}: expected {expected} bytes of data, "
                f"found at most {most}"
            )
        if not 0 < self.item <= LARGEST_ITEM:
            raise DamagedFile(
                f"{self.name} says its shape is {self.shape}: expected 1 byte to 64 MiB an item, "
                f"got {self.item} bytes"
            )

    @property
    def item(self) -> int:
        """The bytes of one item."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read_ahead(self) -> Generator[np.ndarray, None, None]:
        """Yield the blocks, while a thread already makes the next one.

        Decompression and hashing leave Python's lock: they run beside what is done with a block.
        """
        blocks = self.checked_blocks()
        with contextlib.closing(blocks), ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, blocks, None)
            while (block := coming.result()) is not None:
                coming = thread.submit(next, blocks, None)
                yield block

    def checked_blocks(self) -> Generator[np.ndarray, None, None]:
        """Yield the data as uint8 arrays (n, *shape[1:]); check its end and its digest.

        Raises:
            DamagedFile: as the class says.
        """
        digest = hashlib.sha256(self.header)
        at_once = max(1, BLOCK // self.item)
        total = self.shape[0] * self.item
        for start in range(0, self.shape[0], at_once):
            count = min(at_once, self.shape[0] - start)
            content = self.read(count * self.item)
            if len(content) < count * self.item:
                raise DamagedFile(
                    f"{self.name} is too short: its shape {self.shape} needs {total} bytes of "
                    f"data, found {start * self.item + len(content)}"
                )
            if self.sha256:
                digest.update(content)
            values = np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
            yield to_uint8(values, self.name)
        if self.read(1):
            raise DamagedFile(
                f"{self.name} is too long: its shape {self.shape} needs {total} bytes of data, "
                "found more"
            )
        if self.sha256 and digest.hexdigest() != self.sha256:
            raise DamagedFile(
                f"{self.name} has the SHA-256 {digest.hexdigest()} (decompressed), "
                f"expected {self.sha256}"
            )


def channel_order(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return the axes of an array of images in the order (N, C, H, W), of grey images (N, H, W).

    1, 3 or 4 at one end speaks for channels there, and so do equal sizes of the other two.
    name: what messages call the array.

    Raises:
        DamagedFile: the array does not hold (N, H, W), (N, H, W, C) or (N, C, H, W), or as much
            speaks for one of the last two as for the other.
    """
    if len(shape) == 3:
        return (0, 1, 2)
    if len(shape) != 4:
        raise DamagedFile(
            f"{name} has the shape {shape}, expected images as (N, H, W) or, with "
            "channels, (N, H, W, C) or (N, C, H, W)"
        )
    first, middle, last = shape[1:]
    known = (1, 3, 4)
    clues = (first in known) + (middle == last) - (last in known) - (first == middle)
    if not clues and max(first, middle, last) > 1:
        raise DamagedFile(
            f"{name} has the shape {shape}, which may be (N, H, W, C) or "
            "(N, C, H, W): store grey images as (N, H, W), crop or pad others to squares"
        )
    return (0, 1, 2, 3) if clues > 0 else (0, 3, 1, 2)


def is_gzipped(path: pathlib.Path, name: str) -> bool:
    """Tell whether a regular file has a gzip layer.

    Raises:
        DamagedFile: the file is missing, can't be read, or is no regular file.
    """
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise DamagedFile(f"{name} is a directory, expected an IDX file")
        if not stat.S_ISREG(kind):  # a pipe would be waited for without end
            raise DamagedFile(f"{name} is a pipe or a device, expected an IDX file")
        with open(path, "rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise DamagedFile(f"{name} can't be read: {error.strerror}") from error


def has_tail(path: pathlib.Path) -> bool:
    """Tell whether gzip data end whole within a file, before bytes that begin no other member."""
    with contextlib.suppress(OSError, zlib.error), open(path, "rb") as file:
        member, rest = zlib.decompressobj(31), file.read(8192)
        while rest:
            member.decompress(rest, BLOCK)
            rest = member.unconsumed_tail or member.unused_data or file.read(8192)
            if member.eof:
                if not rest.startswith(b"\x1f\x8b"):
                    return bool(rest)
                member = zlib.decompressobj(31)
    return False


def to_uint8(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array as uint8.

    Raises:
        DamagedFile: a value is no whole number from 0 to 255, so that information would be lost.
    """
    if array.dtype == np.uint8:
        return array
    with np.errstate(invalid="ignore"):  # a signalling NaN is wrong as any other
        wrong = ~((array >= 0) & (array <= 255) & (array == np.floor(array)))
    if wrong.any():
        raise DamagedFile(
            f"{name} has the {array.dtype.name} value {array[wrong][0]}: "
            "expected whole numbers from 0 to 255, which uint8 holds without loss"
        )
    return array.astype(np.uint8)
