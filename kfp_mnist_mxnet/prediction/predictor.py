"""A model that predicts."""

from collections.abc import Iterator

import numpy as np

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.loading import load_model
from kfp_mnist_mxnet.prediction.batches import predict_probabilities


class Predictor:
    """A model directory, loaded for prediction on the CPU.

    batch_size: images that the network sees at once, in each context.

    Raises:
        InvalidInput: the model can't be read.
    """

    def __init__(self, directory: str, batch_size: int) -> None:
        self.modules, self.info = load_model(directory, batch_size)

    def check_images(self, images: np.ndarray) -> None:
        """Check the shape of images, uint8 (N, C, H, W).

        Raises:
            InvalidInput: the model takes another one.
        """
        if list(images.shape[1:]) != self.info.input_shape:
            raise InvalidInput(
                f"the images have the shape {list(images.shape[1:])}, but the model takes "
                f"{self.info.input_shape} (C, H, W)"
            )

    def probabilities(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Yield class probabilities, float32 (n, num_classes), as predict_probabilities does."""
        return predict_probabilities(self.modules, images)
