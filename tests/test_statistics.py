import numpy as np
import pytest

from kfp_mnist_mxnet.data.statistics import count_duplicates, count_values, hash_images, moments

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 5, 7), dtype=np.uint8)


@pytest.mark.parametrize("size", [0, 1, 2, 1001])
def test_counts_every_value(size):
    values = IMAGES.reshape(-1)[:size]
    assert np.array_equal(count_values(values), np.bincount(values, minlength=256))


def test_moments_are_those_of_the_values():
    mean, std = moments(count_values(IMAGES))
    assert mean == pytest.approx(IMAGES.mean())
    assert std == pytest.approx(IMAGES.std())


def test_equal_images_have_equal_hashes():
    assert np.array_equal(hash_images(IMAGES), hash_images(IMAGES.copy()))


def test_an_image_with_one_other_bit_has_another_hash():
    image = IMAGES[:1]
    bits = np.unpackbits(image.reshape(-1))
    flipped = np.packbits(bits ^ np.eye(len(bits), dtype=np.uint8), axis=1)
    others = flipped.reshape(-1, *image.shape[1:])
    hashes = np.concatenate([hash_images(image), hash_images(others)])
    assert len(np.unique(hashes)) == len(bits) + 1


def test_images_that_differ_in_two_highest_bits_have_other_hashes():
    images = np.zeros((65, 1, 8, 8), np.uint8)
    images.reshape(65, 64)[np.arange(64), np.arange(64)] = 128
    pairs = np.stack([images[i] | images[j] for i in range(65) for j in range(i)])
    assert len(np.unique(hash_images(pairs))) == len(pairs)


def test_counts_duplicates_within_and_between_splits():
    train, test = IMAGES[[0, 1, 1, 2, 2, 2]], IMAGES[[2, 3, 2, 0]]
    hashes = {"train": hash_images(train), "none": hash_images(IMAGES[:0])}
    hashes["test"] = hash_images(test)
    assert count_duplicates(hashes) == [
        ("within train", 3),
        ("within none", 0),
        ("within test", 1),
        ("none images also in train", 0),
        ("test images also in train", 3),
        ("test images also in none", 0),
    ]
