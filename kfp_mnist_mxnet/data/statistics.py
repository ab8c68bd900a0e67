"""What the data report says of the pixels, counted block by block while the images are written."""

import itertools

import numpy as np


class PixelStatistics:
    """Counts pixels and hashes images as they come by.

    histograms: int64 (C, 256), how often each value occurs; hashes: uint64 (N,), one an image.
    """

    def __init__(self, num_images: int, channels: int) -> None:
        self.histograms = np.zeros((channels, 256), np.int64)
        self.hashes = np.zeros(num_images, np.uint64)
        self.seen = 0

    def add(self, images: np.ndarray, hashes: np.ndarray) -> None:
        """Count images, uint8 (n, C, H, W); hashes: theirs, uint64 (n,)."""
        for channel, counts in enumerate(self.histograms):
            counts += count_values(np.ascontiguousarray(images[:, channel]))
        self.hashes[self.seen : self.seen + len(images)] = hashes
        self.seen += len(images)


def count_values(block: np.ndarray) -> np.ndarray:
    """Return how often each value 0 to 255 is in a uint8 array, int64 (256,).

    Neighbours are counted as one 16-bit value, which takes half as long as one by one.
    """
    values = block.reshape(-1)
    even = len(values) // 2 * 2
    pairs = np.bincount(values[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    return pairs.sum(0) + pairs.sum(1) + np.bincount(values[even:], minlength=256)


def hash_images(images: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each image, uint64 (n,), of uint8 (n, C, H, W).

    A multilinear hash of mixed 64-bit words: two different images have the same hash with a
    chance of about 2^-64, so even among 6,000,000 images a false pair has one of 1e-6.
    """
    size = images[0].size if len(images) else 0
    width = -(-size // 8)
    words = np.zeros((len(images), 8 * width), np.uint8)
    words[:, :size] = images.reshape(len(images), size)
    words = words.view(np.uint64)
    # Odd factors are invertible modulo 2^64; raw words are the same for every NumPy.
    factors = np.random.PCG64(0).random_raw(width + 1) | np.uint64(1)
    words *= factors[width]
    words ^= words >> np.uint64(32)
    return words @ factors[:width]


def describe_pixels(histogram: np.ndarray) -> dict[str, float]:
    """Return pixel_mean and pixel_std, 0 to 1, of a histogram, int64 (256,); {} of no pixels."""
    if not histogram.any():
        return {}
    mean, std = moments(histogram)
    return {"pixel_mean": mean / 255, "pixel_std": std / 255}


def moments(histogram: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the values in a histogram, int64 (256,)."""
    values = np.arange(len(histogram))
    mean = float(np.average(values, weights=histogram))
    return mean, float(np.average((values - mean) ** 2, weights=histogram)) ** 0.5


def count_duplicates(hashes: dict[str, np.ndarray]) -> list[tuple[str, int]]:
    """Return how many images stand twice: within each split, and between each two of them.

    hashes: split to uint64 (N,), which is sorted in place. Within a split it is the number of
    images beyond the first of each kind; between two, the number of images of the second that
    are also in the first.
    """
    counts = []
    for split, values in hashes.items():
        values.sort()
        counts.append((f"within {split}", int((values[1:] == values[:-1]).sum())))
    for (first, known), (second, values) in itertools.combinations(hashes.items(), 2):
        places = np.searchsorted(known, values)
        found = places < len(known)
        found[found] = known[places[found]] == values[found]
        counts.append((f"{second} images also in {first}", int(found.sum())))
    return counts
