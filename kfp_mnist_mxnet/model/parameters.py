"""Reading the parameters of a Module.

MXNet's own reader believes every length in the file. Source of the format: NDArray::Save in
src/ndarray/ndarray.cc of MXNet 1.9.1.
"""

import math
import struct
from typing import Any

import numpy as np

from kfp_mnist_mxnet.errors import DamagedFile

LIST_MAGIC = 0x112
ARRAY_MAGIC = 0xF993FAC9


def parse_parameters(content: bytes, name: str) -> dict[str, np.ndarray]:
    """Return the arrays by name, float32, of a file that Module.save_params wrote.

    name: what messages call the file.

    Raises:
        DamagedFile: the file is damaged or longer than it says, or has another type of array.
    """
    try:
        return Reader(content).arrays_by_name()
    except (struct.error, ValueError) as error:
        raise DamagedFile(f"{name} is not a valid parameters file: {error}") from error


class Reader:
    """Reads a file of parameters from its start to its end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        """Return the next values of a layout of struct.

        Raises:
            struct.error: the file ends within them.
        """
        values = struct.unpack_from("<" + layout, self.content, self.place)
        self.place += struct.calcsize("<" + layout)
        return values

    def arrays_by_name(self) -> dict[str, np.ndarray]:
        """Return all arrays.

        Raises:
            ValueError: it is no list of arrays with a name each, or longer than it says.
            struct.error: it ends too early.
        """
        most = len(self.content)
        magic, _, count = self.take("QQQ")
        if magic != LIST_MAGIC:
            raise ValueError(f"it starts with {self.content[:8]!r}")
        arrays = [self.array() for _ in range(min(count, most))]
        (count,) = self.take("Q")
        names = [self.name() for _ in range(min(count, most))]
        if not len(arrays) == len(names) == len(set(names)):
            raise ValueError(f"it has {len(arrays)} arrays and {len(set(names))} names")
        if self.place != most:
            raise ValueError(f"it has {most} bytes, expected {self.place}")
        return dict(zip(names, arrays, strict=True))

    def name(self) -> str:
        """Return the next name."""
        (length,) = self.take("Q")
        (text,) = self.take(f"{min(length, len(self.content))}s")
        return text.decode()

    def array(self) -> np.ndarray:
        """Return the next array, float32.

        Raises:
            ValueError: it is no dense float32 array, or is larger than the file.
            struct.error: the file ends within it.
        """
        version, storage, rank = self.take("IiI")
        if version != ARRAY_MAGIC or storage != 0 or not 1 <= rank <= 8:
            raise ValueError(f"an array has version {version:#x}, storage {storage}, rank {rank}")
        shape = self.take(f"{rank}q")
        _, _, kind = self.take(
            "iii"
        )  # the device does not matter: parameters are saved from the CPU
        size = 4 * math.prod(shape)
        if kind != 0 or min(shape) < 1 or size > len(self.content):
            raise ValueError(f"an array has the type {kind} and the shape {shape}")
        (data,) = self.take(f"{size}s")
        return np.frombuffer(data, "<f4").reshape(shape)
