"""Prediction of any number of images in constant memory."""

from collections.abc import Iterator

import numpy as np

from mnist_mxnet.data.memory import advise
from mnist_mxnet.errors import InvalidInput
from mnist_mxnet.runtime.engine import mx


def predict_probabilities(module: mx.mod.Module, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield class probabilities, float32 (n, num_classes), batch after batch in order.

    module: bound for batches of uint8 images; images: uint8 (N, C, H, W), N may be 0. Each image
    is in just one batch: the last batch is filled up for the network, and what was filled is not
    yielded. Memory-mapped images of any number are read in constant memory.

    Raises:
        InvalidInput: the model gives NaN.
    """
    batch_size = module.data_shapes[0].shape[0]
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        n = len(batch)
        if n < batch_size:
            batch = np.resize(batch, (batch_size, *batch.shape[1:]))
        data = mx.nd.array(batch, dtype="uint8")
        module.forward(mx.io.DataBatch([data]), is_train=False)
        probabilities = module.get_outputs()[0][:n].asnumpy()
        if not np.isfinite(probabilities).all():
            raise InvalidInput(
                f"the model gives no numbers for images {start} to {start + n - 1}: train it again"
            )
        yield probabilities
        advise(images, "DONTNEED")
