"""Prediction of any number of images in constant memory."""

import collections
import itertools
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kfp_mnist_mxnet.data.memory import advise
from kfp_mnist_mxnet.errors import NotFinite
from kfp_mnist_mxnet.runtime.engine import mx

BATCH_SIZE = 144  # of each context, where nobody says otherwise; a multiple of 48 suits oneDNN


def predict_probabilities(
    modules: Sequence[mx.mod.Module], images: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield class probabilities, float32 (n, num_classes), batch after batch in order.

    modules: the same network in contexts of their own, bound for batches of uint8 images; one that
    is free takes the next batch, so that a slow one holds up nobody. images: uint8 (N, C, H, W), N
    may be 0. Memory-mapped images of any number are read in constant memory.

    Raises:
        NotFinite: the model returns NaN or infinity.
    """
    free: queue.SimpleQueue[mx.mod.Module] = queue.SimpleQueue()
    for module in modules:
        free.put(module)

    def predict(start: int) -> np.ndarray:
        module = free.get()
        try:
            return predict_batch(module, images, start)
        finally:
            free.put(module)

    starts = iter(range(0, len(images), modules[0].data_shapes[0].shape[0]))
    pool = ThreadPoolExecutor(len(modules))
    try:
        first = itertools.islice(starts, 2 * len(modules))
        ahead = collections.deque(pool.submit(predict, start) for start in first)
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(predict, start) for start in itertools.islice(starts, 1))
            advise(images, "DONTNEED")
    finally:
        pool.shutdown(cancel_futures=True)


def predict_batch(module: mx.mod.Module, images: np.ndarray, start: int) -> np.ndarray:
    """Return class probabilities, float32 (n, num_classes), of the batch that begins at `start`.

    The last batch is filled up for the network; what was filled in is not returned.

    Raises:
        NotFinite: the model returns NaN or infinity.
    """
    [(_, (batch_size, *_))] = module.data_shapes
    batch = np.asarray(images[start : start + batch_size])
    n = len(batch)
    if n < batch_size:
        batch = np.resize(batch, (batch_size, *batch.shape[1:]))
    data = mx.nd.array(batch, dtype="uint8", ctx=module._context[0])
    module.forward(mx.io.DataBatch([data]), is_train=False)
    probabilities = module.get_outputs()[0][:n].asnumpy()
    if not np.isfinite(probabilities).all():
        raise NotFinite(
            f"the model returned NaN or infinity for images {start} to {start + n - 1}: its "
            "training diverged, train it again with a lower learning_rate"
        )
    return probabilities
