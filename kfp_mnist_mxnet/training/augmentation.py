"""Random shifts, rotations, scalings, shears and elastic warps of whole batches.

Only arithmetic that IEEE 754 rounds correctly, no function of the C library: its logarithms differ
in the last bit from one version of glibc to another, and NumPy's normal numbers with them, so that
the same seed would give another model on another distribution.
"""

from collections.abc import Sequence

import numpy as np

from kfp_mnist_mxnet.runtime.engine import mx


def warp_basis(height: int, width: int, strength: float) -> tuple[np.ndarray, int]:
    """Return what random warps of images are made of, and how many random numbers one warp takes.

    A warp is a row of standard random numbers, with a 1 behind them, times the basis: for each
    pixel the position that it is taken from, x then y, from -1 to 1 (the grid of MXNet's
    BilinearSampler). So one matrix product makes the warps of a batch. At a strength of 1 and
    for an image of 28 x 28 the six affine numbers, uniform from -1 to 1, stand for 2 pixels of
    shift along x and y, 12 degrees, 0.12 of scale along x and y and 0.12 of shear; the rest, of
    mean 0 and variance 1, for smooth bumps that move a pixel by 0.8 pixels (standard deviation)
    along x and y:
    Simard et al., "Best Practices for Convolutional Neural Networks", ICDAR 2003.

    Returns: basis, float32 (K + 1, 2 * height * width); K.
    """
    unit = max(height, width) / 28
    rows = np.arange(height) - (height - 1) / 2
    columns = np.arange(width) - (width - 1) / 2
    y, x = np.meshgrid(rows, columns, indexing="ij")
    zero = np.zeros_like(x)
    shift, angle, scale, shear, elastic = 2 * unit, 12 * np.pi / 180, 0.12, 0.12, 0.8 * unit
    affine = [
        (zero + shift, zero),
        (zero, zero + shift),
        (-angle * y, angle * x),
        (scale * x, zero),
        (zero, scale * y),
        (shear * y, zero),
    ]
    centres = [
        (a, b)
        for a in np.linspace(rows[0], rows[-1], 6)
        for b in np.linspace(columns[0], columns[-1], 6)
    ]
    bumps = np.stack([bump((y - a) ** 2 + (x - b) ** 2, 4 * unit) for a, b in centres])
    bumps *= elastic / np.sqrt((bumps**2).sum(0))
    warps = np.array(
        [*affine, *((bump, zero) for bump in bumps), *((zero, bump) for bump in bumps)]
    )
    grid = np.concatenate([strength * warps, [(x, y)]])
    grid *= np.array([2 / max(1, width - 1), 2 / max(1, height - 1)])[:, None, None]
    return grid.reshape(len(grid), -1).astype(np.float32), len(warps)


def bump(squared_distance: np.ndarray, width: float) -> np.ndarray:
    """Return a Gaussian's values, within 0.005: exp(-t) as (1 - t / 64)^64 by repeated squaring."""
    values = np.maximum(1 - squared_distance / (2 * width**2) / 64, 0)
    for _ in range(6):
        values = values * values
    return values


def nearly_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return random numbers, float32, of mean 0 and variance 1: sums of four uniform ones."""
    return (generator.random((4, *shape), np.float32).sum(axis=0) - 2) * np.float32(3**0.5)


class Warper:
    """Warps each image of a batch at random, with a strength of its own.

    image_shape: (C, H, W); strength: 0 for none, each image's is uniform from 0 to it, so that
    some stay nearly what they are; context: where it is done.
    """

    def __init__(self, image_shape: Sequence[int], strength: float, context: mx.Context) -> None:
        _, self.height, self.width = image_shape
        basis, self.count = warp_basis(self.height, self.width, strength)
        self.weight = mx.nd.array(basis.T, ctx=context)
        self.context = context

    def warp(self, images: np.ndarray, grids: mx.nd.NDArray) -> mx.nd.NDArray:
        """Return images, uint8 (N, C, H, W), warped: float32, 0 to 255.

        grids: of these images. What comes from outside of an image is 0.
        """
        data = mx.nd.from_numpy(images.astype(np.float32)).as_in_context(self.context)
        return mx.nd.BilinearSampler(data, grids)

    def grids(
        self, generator: np.random.Generator, n: int, batch_size: int, part: slice
    ) -> mx.nd.NDArray:
        """Return random warps, float32 (N, 2, H, W): where each pixel is taken from.

        n: how many are drawn, for whole batches; part: of each batch, whose warps are returned.
        """
        count = self.count
        draws = np.ones((n, count + 1), np.float32)
        draws[:, :6] = generator.uniform(-1, 1, (n, 6))
        draws[:, 6:count] = nearly_normal(generator, (n, count - 6))
        draws[:, :count] *= generator.random((n, 1), np.float32)
        numbers = mx.nd.from_numpy(draws).as_in_context(self.context)
        # FullyConnected multiplies with oneDNN, four times as fast as dot. It does so for all, as
        # the number of rows may decide the order of a sum.
        grids = mx.nd.FullyConnected(
            numbers, self.weight, no_bias=True, num_hidden=len(self.weight)
        )
        own = grids.reshape((-1, batch_size, len(self.weight)))[:, part]
        return own.reshape((-1, 2, self.height, self.width))
