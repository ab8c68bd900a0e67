import gzip
import hashlib
import json
import pathlib
import re
import shutil
import struct
import tracemalloc
import types

import numpy as np
import pytest
from conftest import write_idx, write_idx_set

from kfp_mnist_mxnet.data.ingestion import hold_out, ingest_files
from kfp_mnist_mxnet.data.mnist import cache_directory
from kfp_mnist_mxnet.data.names import STANDARD_NAMES, SourceFile


def load(artifact) -> tuple[np.ndarray, np.ndarray]:
    directory = pathlib.Path(artifact.path)
    return np.load(directory / "images.npy"), np.load(directory / "labels.npy")


def test_stores_the_bytes_of_the_idx_files(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    images, labels = load(artifacts.ingest(source, validation_fraction=0)["train_data"])
    content = (source / "train-images-idx3-ubyte").read_bytes()[16:]
    assert (images.dtype, images.shape) == (np.uint8, (64, 1, 12, 12))
    assert images.tobytes() == content
    assert labels.tobytes() == (source / "train-labels-idx1-ubyte").read_bytes()[8:]


def test_gzipped_files_give_the_same_artifacts(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    plain = load(artifacts.ingest(source)["train_data"])
    for path in list(source.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    zipped = load(artifacts.ingest(source)["train_data"])
    assert all(np.array_equal(a, b) for a, b in zip(plain, zipped, strict=True))


@pytest.mark.parametrize("name", ["idx3", "idx4"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_come_first_wherever_they_were(tmp_path, artifacts, name, channels):
    source = write_idx_set(tmp_path / "idx")
    images = np.random.default_rng(0).integers(0, 256, (64, channels, 12, 9)).astype(np.uint8)
    for split, stored in (("train", images), ("t10k", np.moveaxis(images[:25], 1, 3))):
        (source / f"{split}-images-idx3-ubyte").unlink()
        write_idx(source / f"{split}-images-{name}-ubyte", np.ascontiguousarray(stored))
    outputs = artifacts.ingest(source, validation_fraction=0)
    assert np.array_equal(load(outputs["train_data"])[0], images)
    assert np.array_equal(load(outputs["test_data"])[0], images[:25])
    assert outputs["train_data"].metadata["image_shape"] == [channels, 12, 9]


def test_refuses_channels_that_may_be_at_either_end(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx", shape=(3, 12, 3))
    with pytest.raises(ValueError, match=r"train-images-idx4-ubyte has the shape \(64, 3, 12, 3\)"):
        artifacts.ingest(source)
    assert not list(artifacts.root.glob("*"))


def test_the_rank_in_a_name_hides_no_grey_images(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    write_idx_set(source, shape=(12, 12, 3))
    assert load(artifacts.ingest(source)["test_data"])[0].shape == (25, 1, 12, 12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (3, 1, 1), (1, 1, 4), (1, 5), (5, 1, 3)])
def test_takes_images_of_one_pixel_row_or_column(tmp_path, artifacts, shape):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx", shape=shape))
    page = pathlib.Path(outputs["data_report"].path).read_text()
    assert page.count("data:image/png;base64,") == 3 * 10


def test_holds_out_the_same_share_of_each_class(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx", train=300)
    outputs = artifacts.ingest(source, validation_fraction=0.2)
    assert np.bincount(load(outputs["validation_data"])[1]).tolist() == [20, 20, 20]
    assert np.bincount(load(outputs["train_data"])[1]).tolist() == [80, 80, 80]


def test_seed_chooses_the_held_out_images(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx", train=300)

    def held_out(seed: int) -> bytes:
        return load(artifacts.ingest(source, seed=seed)["validation_data"])[0].tobytes()

    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)


def test_held_out_and_kept_images_are_all_images(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    outputs = artifacts.ingest(source)
    parts = [load(outputs[name])[0] for name in ("train_data", "validation_data")]
    content = np.frombuffer((source / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    found = sorted(image.tobytes() for part in parts for image in part)
    assert found == sorted(image.tobytes() for image in content.reshape(64, 1, 12, 12))


def test_metadata_and_dataset_json_say_what_the_split_is(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    split = artifacts.ingest(source)["test_data"]
    assert split.metadata == json.loads(pathlib.Path(split.path, "dataset.json").read_text())
    assert split.metadata["num_images"] == 25
    assert split.metadata["image_shape"] == [1, 12, 12]
    assert split.metadata["num_classes"] == 3
    assert split.metadata["class_counts"] == [9, 8, 8]
    assert len(split.metadata["sha256"]) == 64


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "one name for each of the 3 classes, got 1"),
        (["a", "b"], "one name for each of the 3 classes, got 2"),
        (["a", "b", "c", "d"], "one name for each of the 3 classes, got 4"),
        (["a", "b", "b"], "must all differ, and none be empty"),
        (["a", "b", ""], "must all differ, and none be empty"),
    ],
)
def test_class_names_that_do_not_fit_are_found_before_training(tmp_path, artifacts, names, message):
    with pytest.raises(ValueError, match=message):
        artifacts.ingest(write_idx_set(tmp_path / "idx"), class_names=names)
    assert not list(artifacts.root.glob("*"))


def test_class_names_change_no_byte(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    plain = load(artifacts.ingest(source)["train_data"])
    named = load(artifacts.ingest(source, class_names=["a", "b", "c"])["train_data"])
    assert [array.tobytes() for array in plain] == [array.tobytes() for array in named]


def test_report_shows_samples_and_counts(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    page = pathlib.Path(outputs["data_report"].path).read_text()
    assert page.count("data:image/png;base64,") == 3 * 10
    assert "<svg" in page


def test_report_shows_a_row_of_samples_and_the_share_of_each_class(tmp_path, artifacts):
    names = ["<top>", "middle", "bottom"]
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx", train=600), class_names=names)
    page = pathlib.Path(outputs["data_report"].path).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert re.findall('<div class="strip"><span>(.*?)</span>', page) == ["&lt;top&gt;", *names[1:]]
    assert "<td>middle</td><td>180 (33.3 %)</td><td>20 (33.3 %)</td><td>8 (32.0 %)</td>" in page


def test_report_shows_the_mean_of_each_colour(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx", shape=(12, 12, 3)))
    page = pathlib.Path(outputs["data_report"].path).read_text()
    images, _ = load(outputs["train_data"])
    means = ", ".join(f"{mean / 255:.4f}" for mean in images.mean((0, 2, 3)))
    assert f"<dt>mean</dt><dd>{means}</dd>" in page
    pixels = outputs["train_data"].metadata["pixels"]
    assert pixels["pixel_mean"] == pytest.approx(images.mean() / 255)
    assert pixels["pixel_std"] == pytest.approx(images.std() / 255)


def test_report_shows_range_and_duplicates(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    train = np.zeros((64, 12, 12), np.uint8)
    train[:, 0, 0] = np.arange(64)
    train[:2] = 51
    test = np.stack([train[0], *train[:24]])
    write_idx(source / "train-images-idx3-ubyte", train)
    write_idx(source / "t10k-images-idx3-ubyte", test)
    outputs = artifacts.ingest(source, validation_fraction=0)
    page = pathlib.Path(outputs["data_report"].path).read_text()
    for fact in (
        "<dt>stored as</dt><dd>uint8, 0 to 63</dd>",
        "<dt>as the network sees it</dt><dd>0 to 0.247</dd>",
        "<td>within train</td><td>1</td>",
        "<td>within test</td><td>2</td>",
        "<td>test images also in train</td><td>25</td>",
        f"<dt>mean</dt><dd>{train.mean() / 255:.4f}</dd>",
        f"<dt>standard deviation</dt><dd>{train.std() / 255:.4f}</dd>",
    ):
        assert fact in page


def test_report_escapes_the_source(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "<b>idx&"))
    page = pathlib.Path(outputs["data_report"].path).read_text()
    assert "&lt;b&gt;idx&amp;" in page
    assert "<b>" not in page


def test_report_of_256_classes_is_small(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx", train=512, test=256)
    for name, count in (("train", 512), ("t10k", 256)):
        write_idx(source / f"{name}-labels-idx1-ubyte", np.arange(count).astype(np.uint8))
    report = artifacts.ingest(source)["data_report"]
    assert pathlib.Path(report.path).stat().st_size < 500_000


def test_labels_may_have_gaps_and_a_class_may_be_absent(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    write_idx(source / "train-labels-idx1-ubyte", np.repeat([1, 4], 32).astype(np.uint8))
    write_idx(source / "t10k-labels-idx1-ubyte", np.full(25, 6, np.uint8))
    outputs = artifacts.ingest(source, validation_fraction=0.25)
    assert outputs["train_data"].metadata["class_counts"] == [0, 24, 0, 0, 24, 0, 0]
    assert outputs["validation_data"].metadata["class_counts"] == [0, 8, 0, 0, 8, 0, 0]
    assert outputs["test_data"].metadata["class_counts"] == [0, 0, 0, 0, 0, 0, 25]
    assert outputs["test_data"].metadata["num_classes"] == 7


@pytest.mark.parametrize(
    ("train", "test", "empty"),
    [
        ([1, 2], [1, 2], "0"),  # EMNIST letters, for one
        ([1, 4], [6, 6], "0, 2, 3, 5"),
        ([0, 2], [0, 0], "1"),
        ([0, 1], [3, 3], "2"),
    ],
)
def test_tells_of_classes_without_images(tmp_path, artifacts, caplog, train, test, empty):
    source = write_idx_set(tmp_path / "idx")
    write_idx(source / "train-labels-idx1-ubyte", np.repeat(train, 32).astype(np.uint8))
    write_idx(source / "t10k-labels-idx1-ubyte", np.resize(test, 25).astype(np.uint8))
    outputs = artifacts.ingest(source)
    (message,) = caplog.messages
    assert message.startswith(f"{source}: no image has the label {empty}: number the classes from")
    page = pathlib.Path(outputs["data_report"].path).read_text()
    assert f"<dt>classes without images</dt><dd>{empty}</dd>" in page


def test_a_class_that_one_split_has_is_not_empty(tmp_path, artifacts, caplog):
    source = write_idx_set(tmp_path / "idx")
    write_idx(source / "t10k-labels-idx1-ubyte", np.full(25, 2, np.uint8))
    report = artifacts.ingest(source)["data_report"]
    assert caplog.messages == []
    assert "classes without images" not in pathlib.Path(report.path).read_text()


def test_no_fraction_gives_an_empty_validation_split(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx"), validation_fraction=0)
    images, labels = load(outputs["validation_data"])
    assert (images.shape, labels.shape) == ((0, 1, 12, 12), (0,))
    assert outputs["validation_data"].metadata["num_images"] == 0


def test_holds_out_the_same_images_on_every_machine():
    labels = (np.arange(60) % 3).astype(np.uint8)
    assert np.flatnonzero(hold_out(labels, 0.1, seed=0)).tolist() == [3, 11, 13, 20, 48, 55]


def test_takes_labels_of_another_type(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    labels = np.arange(25) % 3
    content = struct.pack(">BBBBI", 0, 0, 0x0C, 1, 25) + labels.astype(">i4").tobytes()
    (source / "t10k-labels-idx1-ubyte").write_bytes(content)
    assert load(artifacts.ingest(source)["test_data"])[1].tolist() == labels.tolist()


def test_takes_other_file_names(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    (source / "train-images-idx3-ubyte").rename(source / "emnist-letters.gz")
    outputs = artifacts.ingest(source, train_images_file="emnist-letters")
    assert outputs["train_data"].metadata["num_images"] == 58


def test_a_blank_file_name_is_the_standard_name(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx"), train_images_file=" ")
    assert outputs["train_data"].metadata["num_images"] == 58


def test_checks_the_digests_that_are_given(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    content = (source / "t10k-images-idx3-ubyte").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    artifacts.ingest(source, sha256=json.dumps({"t10k-images-idx3-ubyte": digest.upper()}))
    wrong = json.dumps({"t10k-images-idx3-ubyte.gz": digest, "test_labels": "0" * 64})
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte has the SHA-256 .*expected 0000"):
        artifacts.ingest(source, sha256=wrong)


@pytest.mark.parametrize(
    ("sha256", "message"),
    [
        ("{", "sha256 is not JSON"),
        ("[]", "sha256 must be a JSON object, file name to digest, got '\\[\\]'"),
        ('{"images": "00"}', "sha256 names 'images', expected one of train-images-idx3-ubyte"),
        ('{"test_images": "00"}', "sha256 of test_images must be 64 hexadecimal digits"),
        ('{"test_images": 7}', "sha256 of test_images must be 64 hexadecimal digits, got 7"),
    ],
)
def test_refuses_digests_that_are_none(tmp_path, artifacts, sha256, message):
    with pytest.raises(ValueError, match=message):
        artifacts.ingest(tmp_path, sha256=sha256)


def header(*shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"<html>", "starts with b'<html>'"),
        ("train-images-idx3-ubyte", header(1 << 31, 28, 28) + b"0123456789abcd", "at most 14"),
        (
            "train-images-idx3-ubyte",
            header(64, 144) + bytes(9216),
            "expected images as \\(N, H, W\\) or, with",
        ),
        ("train-labels-idx1-ubyte", header(0), "each of the 64 images"),
        ("train-images-idx3-ubyte", gzip.compress(header(64, 12, 12) + bytes(9))[:-9], "is cut"),
        ("t10k-images-idx3-ubyte", header(25, 9, 9) + bytes(2025), "images of shape \\(1, 9, 9\\)"),
        ("t10k-labels-idx1-ubyte", header(1) + b"0", "each of the 25 images"),
        ("t10k-labels-idx1-ubyte", header(25) + bytes(24), "expected 25 bytes of data, found at"),
        ("t10k-labels-idx1-ubyte", header(25) + bytes(26), "is too long"),
        ("t10k-labels-idx1-ubyte", header(25, 1) + bytes(25), "has 25 x 1 labels"),
        ("train-labels-idx1-ubyte", header(64) + bytes(64), "has 1 classes in the training split"),
    ],
    ids=range(11),
)
def test_refuses_a_bad_file_and_leaves_nothing(tmp_path, artifacts, name, content, message):
    source = write_idx_set(tmp_path / "idx")
    (source / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} .*{message}"):
        artifacts.ingest(source)
    assert not list(artifacts.root.glob("*"))


def test_refuses_a_data_set_without_images(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx", test=0)
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte has 0 images, expected 1 to"):
        artifacts.ingest(source)


def test_refuses_a_directory_in_place_of_a_file(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    (source / "t10k-labels-idx1-ubyte").unlink()
    (source / "t10k-labels-idx1-ubyte").mkdir()
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte is a directory, expected an IDX"):
        artifacts.ingest(source)


def test_a_directory_hides_no_file_of_another_spelling(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    path = source / "train-images-idx3-ubyte"
    path.rename(source / "train-images.idx3-ubyte")
    path.mkdir()
    assert artifacts.ingest(source)["train_data"].metadata["num_images"] == 58


def test_refuses_splits_that_fit_the_disk_only_one_by_one(tmp_path, artifacts, monkeypatch):
    source = write_idx_set(tmp_path / "idx")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=89 * 144 - 1))
    with pytest.raises(
        ValueError, match=r"89 images need 12816 bytes, but .* has 12815 bytes free"
    ):
        artifacts.ingest(source)
    assert not list(artifacts.root.glob("*"))


def test_names_the_missing_file(tmp_path, artifacts):
    with pytest.raises(ValueError, match="has no train_images: expected train-images-idx3-ubyte"):
        artifacts.ingest(tmp_path)


@pytest.mark.parametrize("fraction", [-0.1, 1, float("nan")])
def test_refuses_a_fraction_out_of_range(tmp_path, artifacts, fraction):
    with pytest.raises(ValueError, match="validation_fraction must be at least 0 and below 1"):
        artifacts.ingest(tmp_path, validation_fraction=fraction)


def test_refuses_a_fraction_that_leaves_nothing(tmp_path, artifacts):
    with pytest.raises(
        ValueError, match=r"has 0 classes in the training split .*validation_fraction is 0\.99"
    ):
        artifacts.ingest(write_idx_set(tmp_path / "idx"), validation_fraction=0.99)


def test_needs_memory_for_a_few_blocks_only(tmp_path):
    count = 30_000
    files = {}
    for part, name in STANDARD_NAMES.items():
        shape = (count, 32, 32) if part.endswith("images") else (count,)
        path = tmp_path / f"{name}.gz"
        labels = (np.arange(count) % 2).astype(np.uint8).tobytes()
        data = labels if len(shape) == 1 else bytes(count * 1024)
        path.write_bytes(gzip.compress(header(*shape) + data, 1))
        files[part] = SourceFile(path, name)
    directories = [tmp_path / name for name in ("train", "validation", "test")]
    tracemalloc.start()
    try:
        ingest_files(files, {}, directories, 0.1, 0, "made up")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum((d / "images.npy").stat().st_size for d in directories) > 60_000_000
    assert peak < 12_500_000  # with Python 3.14; 3.11 to 3.13 need 12_000_000


def test_mnist_is_the_real_one(artifacts):
    cache = cache_directory()
    if cache is None or not cache.is_dir():
        pytest.skip("MNIST is not on this machine: make run gets it")
    outputs = artifacts.ingest("mnist", validation_fraction=0)
    assert load(outputs["train_data"])[1][42] == 7
    assert load(outputs["test_data"])[1][24] == 4
    assert outputs["train_data"].metadata["num_images"] == 60_000
