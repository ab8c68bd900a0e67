import gzip
import pathlib
import struct

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kfp_mnist_mxnet.data.dataset import ImageWriter, check_disk_space
from kfp_mnist_mxnet.data.idx import IdxFile, to_uint8

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}

# The same examples every time, however slow the machine is.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, max_examples=100)
hypothesis.settings.load_profile("same")


def idx_bytes(array: np.ndarray, dtype: str = "u1") -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[dtype], array.ndim, *array.shape)
    return header + array.astype(dtype).tobytes()


def read(path: pathlib.Path, content: bytes, sha256: str = "") -> np.ndarray:
    path.write_bytes(content)
    with IdxFile(path, "the file", sha256) as idx:
        return np.concatenate([np.empty((0, *idx.shape[1:]), np.uint8), *idx.blocks])


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> pathlib.Path:
    """One file for all examples of a property, which may share no function's fixture."""
    return tmp_path_factory.mktemp("idx") / "file"


@hypothesis.given(
    array=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=5, max_side=9)),
    dtype=st.sampled_from(list(CODES)),
    zipped=st.booleans(),
)
def test_every_array_of_every_type_comes_back(path, array, dtype, zipped):
    array = array & 0x7F if dtype == "i1" else array
    content = idx_bytes(array, dtype)
    found = read(path, gzip.compress(content) if zipped else content)
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)


@hypothesis.given(
    images=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=9)),
    channels=st.sampled_from([None, 1, 3, 4]),
    last=st.booleans(),
    dtype=st.sampled_from(list(CODES)),
    zipped=st.booleans(),
)
def test_images_come_back_from_the_npy_channels_first(path, images, channels, last, dtype, zipped):
    images = images & 0x7F if dtype == "i1" else images
    hypothesis.assume(channels is None or not {1, 3, 4} & set(images.shape[1:]))
    expected = images[:, None].repeat(channels or 1, axis=1)
    expected = expected - np.arange(channels or 1, dtype=np.uint8)[:, None, None] % 2
    expected &= 0x7F if dtype == "i1" else 0xFF
    stored_as = np.moveaxis(expected, 1, 3) if last else expected
    content = idx_bytes(stored_as if channels else expected[:, 0], dtype)
    path.write_bytes(gzip.compress(content) if zipped else content)
    directory = path.parent / f"set-{len(list(path.parent.iterdir()))}"
    with (
        IdxFile(path, "") as idx,
        ImageWriter(directory, len(images), idx.image_shape) as stored,
    ):
        for block in idx.images():
            stored.append(block)
    assert np.array_equal(np.load(directory / "images.npy"), expected)


def order(path: pathlib.Path, *shape: int) -> tuple[int, ...]:
    path.write_bytes(idx_bytes(np.zeros((2, *shape), np.uint8)))
    with IdxFile(path, "the file") as idx:
        return idx.image_shape


@pytest.mark.parametrize(
    ("stored", "image_shape"),
    [
        ((28, 28), (1, 28, 28)),
        ((1, 28, 28), (1, 28, 28)),
        ((28, 28, 1), (1, 28, 28)),
        ((3, 32, 32), (3, 32, 32)),
        ((32, 32, 3), (3, 32, 32)),
        ((4, 20, 30), (4, 20, 30)),
        ((20, 30, 4), (4, 20, 30)),
        ((3, 5, 7), (3, 5, 7)),
        ((5, 3, 1), (1, 5, 3)),
        ((2, 9, 9), (2, 9, 9)),  # grey and alpha
        ((9, 9, 2), (2, 9, 9)),
        ((13, 64, 64), (13, 64, 64)),  # bands of a satellite
        ((64, 64, 13), (13, 64, 64)),
        ((3, 3, 1), (1, 3, 3)),  # images as small as the channels are many
        ((1, 3, 3), (1, 3, 3)),
        ((4, 4, 3), (3, 4, 4)),
        ((1, 1, 3), (3, 1, 1)),
        ((3, 1, 1), (3, 1, 1)),
        ((1, 1, 1), (1, 1, 1)),
    ],
)
def test_tells_by_the_sizes_where_the_channels_are(path, stored, image_shape):
    assert order(path, *stored) == image_shape


@pytest.mark.parametrize(
    "stored",
    [(28, 28, 28), (3, 28, 3), (1, 28, 3), (3, 20, 1), (5, 6, 7), (2, 9, 8), (1, 1, 7), (7, 3, 3)],
)
def test_refuses_channels_that_may_be_at_either_end(path, stored):
    shape = rf"the file has the shape \(2, {', '.join(map(str, stored))}\)"
    hint = r"store grey images as \(N, H, W\), crop or pad others to squares"
    with pytest.raises(ValueError, match=rf"^{shape}, which may be \(N, H, W, C\) or .*: {hint}$"):
        order(path, *stored)


def test_channels_are_moved_block_by_block(path):
    images = np.arange(3 * 700 * 700, dtype=np.uint32).astype(np.uint8).reshape(1, 3, 700, 700)
    images = images.repeat(3, axis=0)
    for stored in (images, np.moveaxis(images, 1, 3)):
        path.write_bytes(idx_bytes(stored))
        with IdxFile(path, "") as idx:
            blocks = list(idx.images())
        assert [block.shape for block in blocks] == [(1, 3, 700, 700)] * 3
        assert all(block.flags.c_contiguous for block in blocks)
        assert np.array_equal(np.concatenate(blocks), images)


@hypothesis.given(st.binary(max_size=64), st.booleans(), st.booleans())
def test_random_bytes_raise_only_value_error(path, content, zipped, magic):
    content = b"\0\0\x08" + content if magic else content
    try:
        read(path, gzip.compress(content) if zipped else content)
    except ValueError as error:
        assert str(error).startswith("the file ")  # noqa: PT017 (bytes may also be a file)


@hypothesis.given(st.data())
def test_damaged_gzip_raises_only_value_error(path, data):
    content = bytearray(gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)), mtime=0))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(path, bytes(content))
    except ValueError as error:
        assert str(error).startswith("the file ")  # noqa: PT017 (the damage may be harmless)


def test_reads_more_than_one_block(path):
    array = np.arange(3_000_000, dtype=np.uint32).astype(np.uint8).reshape(3000, 1000)
    assert np.array_equal(read(path, idx_bytes(array)), array)


def test_reads_a_gzip_file_of_several_members(path):
    content = idx_bytes(np.arange(100, dtype=np.uint8))
    members = gzip.compress(content[:30]) + gzip.compress(content[30:])
    assert read(path, members).tolist() == list(range(100))


@pytest.mark.parametrize("size", [1, 17, 18, 512, 20_000])
def test_zeros_behind_the_gzip_data_are_padding(path, size):
    content = idx_bytes(np.arange(100, dtype=np.uint8))
    assert read(path, gzip.compress(content) + bytes(size)).tolist() == list(range(100))


@pytest.mark.parametrize("count", [10, 5000, 2_000_000])
@pytest.mark.parametrize("members", [1, 2, 50])
@pytest.mark.parametrize(
    "tail", [b"\n", b"\r\n", b"\x1f", b"\0\n", b"no gzip data at all", b"<p>" * 9000]
)
def test_says_that_other_bytes_follow_the_gzip_data(path, count, members, tail):
    content = idx_bytes(np.arange(count, dtype=np.uint32).astype(np.uint8))
    step = -(-len(content) // members)
    parts = [content[start : start + step] for start in range(0, len(content), step)]
    packed = b"".join(gzip.compress(part) for part in parts)
    with pytest.raises(
        ValueError, match=r"^the file is too long: other bytes follow its gzip data$"
    ):
        read(path, packed + tail)


@pytest.mark.parametrize("count", [10, 5000, 2_000_000])
@pytest.mark.parametrize("missing", [1, 4, 8, 9, 15])
@pytest.mark.parametrize("members", [1, 2])
def test_says_that_gzip_data_are_cut_short(path, count, missing, members):
    content = idx_bytes(np.arange(count, dtype=np.uint32).astype(np.uint8))
    half = len(content) // members
    packed = gzip.compress(content[: len(content) - half]) if members == 2 else b""
    packed += gzip.compress(content[-half:])
    with pytest.raises(ValueError, match=r"^the file is cut short: its gzip data have no end$"):
        read(path, packed[:-missing])


TWO = idx_bytes(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file: it starts with b''"),
        (b"<!DOCTYPE html><html>", "is not an IDX file: it starts with b'<!DOCTYPE html>"),
        (b"\0\0\x0a\1\0\0\0\0", "type code 0x0A, expected one of 0x08, 0x09, 0x0B, 0x0C"),
        (b"\0\0\x08\0", "has the rank 0, expected 1 to 32"),
        (b"\0\0\x08\2\0\0\0\1", "ends within its header: expected 2 sizes"),
        (b"\0\0\x08\3\x80\0\0\0\0\0\0\x1c\0\0\0\x1c" + bytes(14), r"\(2147483648, 28, 28\)"),
        (b"\0\0\x08\2\0\0\0\0\xff\xff\xff\xff", "1 byte to 64 MiB an item, got 4294967295"),
        (b"\0\0\x08\2\0\0\0\2\0\0\0\0", "1 byte to 64 MiB an item, got 0 bytes"),
        (TWO[:-1], "expected 6 bytes of data, found at most 5"),
        (gzip.compress(TWO[:-1]), "is too short: its shape .* needs 6 bytes of data, found 5"),
        (TWO + b"x", "is too long: its shape .* needs 6 bytes of data"),
        (gzip.compress(TWO)[:-9], "is cut short"),
        (gzip.compress(TWO)[:-8] + bytes(8), "can't be read: CRC check failed"),
        (gzip.compress(TWO) + b"no gzip data", "is too long: other bytes follow its gzip data"),
        (gzip.compress(bytes(10_000_000)), "type code 0x00"),
    ],
    ids=range(15),
)
def test_refuses_a_file_that_is_not_what_it_says(path, content, message):
    with pytest.raises(ValueError, match="the file .*" + message):
        read(path, content)


@pytest.mark.parametrize("value", [-1, 256, 0.5, np.nan, np.inf])
def test_refuses_values_that_uint8_would_change(value):
    array = np.array([0, 255, value], np.float64)
    with pytest.raises(ValueError, match=rf"the float64 value {value}.*: expected whole numbers"):
        to_uint8(array, "the file")


def test_a_gzip_bomb_is_not_unpacked_beyond_its_header(path):
    header = struct.pack(">BBBBI", 0, 0, 8, 1, 10)
    path.write_bytes(gzip.compress(header + bytes(50_000_000)))
    with IdxFile(path, "bomb") as idx, pytest.raises(ValueError, match="bomb is too long"):
        idx.labels()


def test_checks_the_digest_of_what_is_inside(path):
    content = gzip.compress(TWO)
    with pytest.raises(ValueError, match=r"has the SHA-256 \w{64} \(decompressed\), expected 00"):
        read(path, content, "0" * 64)


@pytest.mark.parametrize(
    ("shape", "read"), [((2, 2), lambda idx: idx.image_shape), ((2, 2), IdxFile.labels)]
)
def test_refuses_other_ranks(path, shape, read):
    path.write_bytes(idx_bytes(np.zeros(shape, np.uint8)))
    with IdxFile(path, "the file") as idx, pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        read(idx)


def test_names_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(ValueError, match="no can't be read: No such file"):
        IdxFile(tmp_path / "no", "no")
    with pytest.raises(ValueError, match="yes is a directory, expected an IDX file"):
        IdxFile(tmp_path, "yes")


def test_refuses_more_images_than_the_disk_holds(tmp_path):
    with pytest.raises(ValueError, match=r"need 1\d{15} bytes, but .* bytes free"):
        check_disk_space(tmp_path, 1 << 30, (1, 1024, 1024))
