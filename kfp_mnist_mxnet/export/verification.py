"""The check of an exported model: ONNX Runtime and the Module predict the same."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime

from kfp_mnist_mxnet.data.dataset import Split, read_dataset, read_images
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.export.layout import INPUT, OUTPUT
from kfp_mnist_mxnet.prediction.batches import BATCH_SIZE
from kfp_mnist_mxnet.prediction.predictor import Predictor
from kfp_mnist_mxnet.runtime.cpus import available_cpus

# Of a probability. Both compute in float32: logits of some tens, as a high learning rate makes
# them, round to probabilities 2e-5 apart. A layer that is translated wrongly changes far more.
TOLERANCE = 1e-4
MADE_UP, MADE_UP_BYTES = 1000, 16 << 20  # images, and how large they may be together


class Sample(NamedTuple):
    """What a model is proven on.

    images: uint8 (N, C, H, W), N at least 1; synthetic: whether they are made up; data: the same
    images with their labels, if these are known.
    """

    images: np.ndarray
    synthetic: bool = False
    data: Split | None = None

    @property
    def num_classes(self) -> int:
        """How many classes the data is known to have, 0 for unknown."""
        return self.data.info.num_classes if self.data else 0

    @property
    def class_names(self) -> list[str]:
        """The names of the data's classes, empty where they are not known."""
        return self.data.info.class_names if self.data else []


@dataclasses.dataclass(frozen=True)
class ParityResult:
    """Probabilities, float32 (N, num_classes), of the same images by both; seconds of each.

    latencies: seconds of ONNX Runtime for single images, one after the other, float64 (100,).
    """

    module: np.ndarray
    onnx: np.ndarray
    module_seconds: float
    onnx_seconds: float
    latencies: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))

    @property
    def differences(self) -> np.ndarray:
        """The largest difference of a probability of each image, float32 (N,)."""
        return np.abs(self.module - self.onnx).max(1)

    @property
    def num_other(self) -> np.integer:
        """How many images get another class."""
        return np.count_nonzero(self.module.argmax(1) != self.onnx.argmax(1))

    def metrics(self) -> dict[str, float]:
        """Return what was found, as finite Python numbers."""
        images = len(self.module)
        return {
            "images": images,
            "largest_difference": float(self.differences.max()),
            "mxnet_images_per_second": images / self.module_seconds,
            "onnx_images_per_second": images / self.onnx_seconds,
            "onnx_latency_p50_ms": 1000 * float(np.quantile(self.latencies, 0.5)),
            "onnx_latency_p95_ms": 1000 * float(np.quantile(self.latencies, 0.95)),
        }

    def check(self) -> None:
        """Check that both are the same.

        Raises:
            InvalidInput: a probability differs by more than TOLERANCE, as it does where an image
                gets another class, but for a tie.
        """
        largest = self.differences.max()
        if not largest <= TOLERANCE:
            raise InvalidInput(
                f"the ONNX model is not the same: {self.num_other:,} of {len(self.module):,} "
                "images get another class, and the largest difference of a probability is "
                f"{largest:.2g}, at most {TOLERANCE:g} is allowed"
            )


def read_sample(directory: str, input_shape: Sequence[int]) -> Sample:
    """Return what a model is proven on: a data set directory's images, or synthetic ones.

    directory: without labels.npy no labels are known; empty, or without any image: images
    of squares. input_shape: (C, H, W).

    Raises:
        InvalidInput: the data can't be read.
    """
    sample = Sample(np.zeros(0, np.uint8))
    if directory and pathlib.Path(directory, "labels.npy").exists():
        data = read_dataset(directory)
        sample = Sample(data.images, data=data)
    elif directory:
        sample = Sample(read_images(directory))
    return sample if len(sample.images) else Sample(synthetic_images(input_shape), synthetic=True)


def synthetic_images(shape: Sequence[int]) -> np.ndarray:
    """Return up to 1,000 images, uint8 (N, C, H, W): dark to bright squares, small and large.

    shape: (C, H, W).
    """
    channels, height, width = shape
    count = max(1, min(MADE_UP, MADE_UP_BYTES // math.prod(shape)))
    generator = np.random.default_rng(0)
    images = np.zeros((count, *shape), np.uint8)
    for i, image in enumerate(images):
        side = 2 ** (i % 4)
        small = generator.random((channels, -(-height // side), -(-width // side)))
        squares = small.repeat(side, 1).repeat(side, 2)[:, :height, :width]
        image[:] = 255 * squares * ((i + 1) / count)
    return images


def check_parity(path: pathlib.Path, predictor: Predictor, images: np.ndarray) -> ParityResult:
    """Predict images with a Module and with an ONNX file, and compare.

    images: uint8 (N, C, H, W), N at least 1.

    Raises:
        InvalidInput: they are not the same, or the Module gives no numbers.
    """
    started = time.perf_counter()
    expected = np.concatenate(list(predictor.probabilities(images)))
    between = time.perf_counter()
    found = np.concatenate(list(predict_onnx(path, images)))
    seconds = time.perf_counter() - between
    parity = ParityResult(expected, found, between - started, seconds, latencies(path, images))
    parity.check()
    return parity


def latencies(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Return the seconds that ONNX Runtime takes for each of 100 single images, after 10 others."""
    single = np.resize(images[:110], (110, *images.shape[1:]))
    ends = [time.perf_counter() for _ in predict_onnx(path, single, 1)]
    return np.diff(ends[9:])


def predict_onnx(
    path: pathlib.Path, images: np.ndarray, batch_size: int = BATCH_SIZE
) -> Iterator[np.ndarray]:
    """Yield probabilities, float32 (n, num_classes), by ONNX Runtime, batch after batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for start in range(0, len(images), batch_size):
        batch = np.ascontiguousarray(images[start : start + batch_size])
        yield session.run([OUTPUT], {INPUT: batch})[0]
