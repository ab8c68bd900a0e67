"""Write the 1,797 digits of scikit-learn, 8 x 8 pixels, as IDX files: data to try things on."""

import pathlib
import sys

import numpy as np
from sklearn.datasets import load_digits

from kfp_mnist_mxnet.conversion.idx_writer import idx_header


def write_idx(path: pathlib.Path, array: np.ndarray) -> None:
    """Write a uint8 array in the IDX format."""
    path.write_bytes(idx_header(*array.shape) + array.tobytes())


def main(directory: pathlib.Path) -> None:
    """Write 1,500 images to train on and 297 to test on."""
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)  # from 0 .. 16
    labels = digits.target.astype(np.uint8)
    directory.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        write_idx(directory / f"{name}-images-idx3-ubyte", images[part])
        write_idx(directory / f"{name}-labels-idx1-ubyte", labels[part])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
