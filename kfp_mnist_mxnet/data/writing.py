"""A data set artifact from arrays, for steps of others: none of the suite's carries this."""

import pathlib
from collections.abc import Sequence

import numpy as np

from kfp_mnist_mxnet.data.class_names import check_class_names
from kfp_mnist_mxnet.data.dataset import DatasetInfo, ImageWriter, finish_dataset
from kfp_mnist_mxnet.errors import InvalidInput


def write_dataset(
    directory: str | pathlib.Path,
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    source: str,
    class_names: Sequence[str] = (),
) -> DatasetInfo:
    """Write a data set directory from arrays, and the directories above it.

    images: uint8 array (N, C, H, W); labels: uint8 array (N,), from 0 to num_classes - 1;
    class_names: one for each class, or empty.

    Raises:
        InvalidInput: an array has another type or shape, or a label or a name is wrong.
        FileExistsError: the directory is there already.
    """
    for name, array, rank in (("images", images, 4), ("labels", labels, 1)):
        if array.dtype != np.uint8 or array.ndim != rank:
            raise InvalidInput(
                f"{name} must be uint8 with {rank} dimensions, got {array.dtype} with the shape "
                f"{array.shape}"
            )
    if len(images) != len(labels):
        raise InvalidInput(f"there are {len(images)} images, but {len(labels)} labels")
    if len(labels) and int(labels.max()) >= num_classes:
        raise InvalidInput(f"there is the label {int(labels.max())}, but {num_classes} classes")
    names = check_class_names(list(class_names), num_classes)
    directory = pathlib.Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    _, *shape = images.shape
    image_shape = (shape[0], shape[1], shape[2])
    with ImageWriter(directory, len(images), image_shape) as writer:
        writer.append(np.ascontiguousarray(images))
    return finish_dataset(directory, image_shape, writer, labels, num_classes, source, names)
