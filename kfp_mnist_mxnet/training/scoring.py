"""Accuracy and loss of a network in training."""

from collections.abc import Sequence

import numpy as np

from kfp_mnist_mxnet.data.dataset import Split
from kfp_mnist_mxnet.data.memory import advise
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.module import bind_for_prediction
from kfp_mnist_mxnet.prediction.batches import BATCH_SIZE, predict_probabilities
from kfp_mnist_mxnet.runtime.engine import mx


def check_validation(validation: Split, training: Split) -> None:
    """Check validation images and labels against the training data.

    Raises:
        InvalidInput: the images have another shape, or a label is not among the classes.
    """
    if validation.image_shape != training.image_shape:
        raise InvalidInput(
            f"validation_data has images of shape {list(validation.image_shape)} (C, H, W), "
            f"expected {list(training.image_shape)} as in train_data"
        )
    labels, num_classes = validation.labels, training.info.num_classes
    if len(labels) and int(labels.max()) >= num_classes:
        raise InvalidInput(
            f"validation_data has the label {int(labels.max())}, "
            f"but train_data has only {num_classes} classes"
        )


def score(module: mx.mod.Module, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return accuracy and loss of a Module's parameters on images, uint8 (N, C, H, W), N over 0.

    Modules for prediction score. The one that trains would have oneDNN reorder its weights at a
    moment that differs from run to run, and the sums of the next updates with it.
    """
    shape = [min(BATCH_SIZE, len(images)), *images.shape[1:]]
    scorers = bind_for_prediction(module.symbol, shape, -(-len(images) // shape[0]))
    for scorer in scorers:
        scorer.set_params(*module.get_params())
    correct, loss = 0, 0.0
    for start in range(0, len(images), 10_000):
        part = slice(start, start + 10_000)
        right, added = count_correct(scorers, images[part], labels[part])
        correct, loss = correct + right, loss + added
        advise(images, "DONTNEED")
    return correct / len(images), loss / len(images)


def count_correct(
    modules: Sequence[mx.mod.Module], images: np.ndarray, labels: np.ndarray
) -> tuple[int, float]:
    """Return how many images, uint8 (N, C, H, W), get their own label, uint8 (N,).

    And the sum of their cross-entropies. modules: as predict_probabilities takes them.
    """
    start = correct = 0
    loss = 0.0
    for probabilities in predict_probabilities(modules, images):
        true = labels[start : start + len(probabilities)]
        correct += int((probabilities.argmax(1) == true).sum())
        loss += float(cross_entropies(probabilities, true).sum(dtype=np.float64))
        start += len(true)
    return correct, loss


def cross_entropies(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -log of the probability of the true label, float32 (n,).

    probabilities: float32 (n, K), 0 taken for 1e-12; labels: uint8 (n,).
    """
    return -np.log(probabilities[np.arange(len(labels)), labels] + 1e-12)
