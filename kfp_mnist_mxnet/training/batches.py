"""The batches of an epoch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kfp_mnist_mxnet.data.dataset import Split
from kfp_mnist_mxnet.data.memory import advise
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training.augmentation import Warper

BATCHES_TOGETHER = 2**20  # values of images that are made and read at once


class Batch(NamedTuple):
    """Images; labels, uint8 (batch_size,); how many of them are new, the others fill it up.

    data: of the part of the batch that is trained on here.
    """

    data: mx.nd.NDArray
    labels: np.ndarray
    new: int


def batches_together(images: np.ndarray, batch_size: int) -> int:
    """Return how many batches of images, uint8 (N, C, H, W), are made and read at once: 1 MiB.

    Most of the cost of making or reading one batch does not grow with its size.
    """
    return max(1, BATCHES_TOGETHER // (batch_size * images[0].size))


def training_batches(
    split: Split,
    chosen: Hyperparameters,
    seed: int,
    epoch: int,
    context: mx.Context,
    part: slice = slice(None),
) -> Iterator[Batch]:
    """Yield the batches of one epoch.

    Each image comes once, in an order that seed and epoch alone decide; the last batch is filled
    up from the start of the order. context: where images are warped. part: of each batch, whose
    images are given.
    """
    images, labels = split.images, split.labels
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = generator.permutation(np.arange(len(images), dtype=np.uint32))
    batch_size = chosen.batch_size
    advise(images, "RANDOM")
    warper = None
    if chosen.augmentation:
        warper = Warper(images.shape[1:], chosen.augmentation, context)
    images_together = batches_together(images, batch_size) * batch_size
    for start in range(0, len(order), images_together):
        picked = order[start : start + images_together]
        missing = -len(picked) % batch_size
        if missing:
            picked = np.concatenate([picked, order[:missing]])
        own = images[picked.reshape(-1, batch_size)[:, part].ravel()]
        if chosen.flip == "horizontal":
            mirrored = generator.random((len(picked) // batch_size, batch_size)) < 0.5
            mirrored = mirrored[:, part].ravel()
            own[mirrored] = own[mirrored, ..., ::-1]
        if warper:
            data = warper.warp(own, warper.grids(generator, len(picked), batch_size, part))
        else:  # without a copy, as a copy waits for MXNet's threads, which are at the last batch
            data = mx.nd.from_numpy(own)
        size = len(own) * batch_size // len(picked)
        for i in range(len(picked) // batch_size):
            labels_of_batch = labels[picked[i * batch_size : (i + 1) * batch_size]]
            new = min(batch_size, len(order) - start - i * batch_size)
            yield Batch(data[i * size : (i + 1) * size], labels_of_batch, new)
        # A page fault maps 16 pages, so 4096 scattered images may take 256 MiB.
        if start // 4096 != (start + images_together) // 4096:
            advise(images, "DONTNEED")
