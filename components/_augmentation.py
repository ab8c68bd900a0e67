"""Random shifts, rotations, scalings, shears and elastic warps of whole batches."""

from typing import Any


def warp_basis(height: int, width: int, strength: float) -> tuple[Any, int]:
    """Return what random warps of images are made of, and how many random numbers one warp takes.

    A warp is a row of standard random numbers, with a 1 behind them, times the basis: for each
    pixel the position that it is taken from, x then y, from -1 to 1 (the grid of MXNet's
    BilinearSampler). So one matrix product makes the warps of a batch. At a strength of 1 and
    for an image of 28 x 28 the six affine numbers, uniform from -1 to 1, stand for 2 pixels of
    shift along x and y, 12 degrees, 0.12 of scale along x and y and 0.12 of shear; the rest,
    normal, for smooth bumps that move a pixel by 0.8 pixels (standard deviation) along x and y:
    Simard et al., "Best Practices for Convolutional Neural Networks", ICDAR 2003.

    Returns: basis, float32 (K + 1, 2 * height * width); K.
    """
    import numpy as np

    unit = max(height, width) / 28
    rows = np.arange(height) - (height - 1) / 2
    columns = np.arange(width) - (width - 1) / 2
    y, x = np.meshgrid(rows, columns, indexing="ij")
    zero = np.zeros_like(x)
    shift, angle, scale, shear, elastic = 2 * unit, np.deg2rad(12), 0.12, 0.12, 0.8 * unit
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
    bumps = np.stack(
        [np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * (4 * unit) ** 2)) for a, b in centres]
    )
    bumps *= elastic / np.sqrt((bumps**2).sum(0))
    warps = np.array(
        [*affine, *((bump, zero) for bump in bumps), *((zero, bump) for bump in bumps)]
    )
    grid = np.concatenate([strength * warps, [(x, y)]])
    grid *= np.array([2 / max(1, width - 1), 2 / max(1, height - 1)])[:, None, None]
    return grid.reshape(len(grid), -1).astype(np.float32), len(warps)


def warper(image_shape: list[int], strength: float, where: Any) -> Any:
    """Return a function that warps each image of a batch at random, with a strength of its own.

    image_shape: [C, H, W]; strength: 0 for none, each image's is uniform from 0 to it, so that
    some stay nearly what they are; where: the context that does it.
    The function takes a uint8 array (N, C, H, W) and a numpy Generator and returns a float32
    NDArray of that shape, 0 to 255; what comes from outside of an image is 0.
    """
    import mxnet as mx
    import numpy as np

    _, height, width = image_shape
    basis, count = warp_basis(height, width, strength)
    weight = mx.nd.array(basis.T, ctx=where)

    def warp(images: Any, generator: Any) -> Any:
        draws = np.ones((len(images), count + 1), np.float32)
        draws[:, :6] = generator.uniform(-1, 1, (len(images), 6))
        draws[:, 6:count] = generator.standard_normal((len(images), count - 6), np.float32)
        draws[:, :count] *= generator.random((len(images), 1), np.float32)
        draws = mx.nd.from_numpy(draws).as_in_context(where)
        # FullyConnected multiplies with oneDNN, four times as fast as dot.
        grid = mx.nd.FullyConnected(draws, weight, no_bias=True, num_hidden=len(weight))
        data = mx.nd.from_numpy(images.astype(np.float32)).as_in_context(where)
        return mx.nd.BilinearSampler(data, grid.reshape((len(images), 2, height, width)))

    return warp
