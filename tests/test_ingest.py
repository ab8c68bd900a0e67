import gzip
import json
import pathlib

import numpy as np
import pytest
from conftest import write_idx, write_idx_set


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
    assert all(np.array_equal(a, b) for a, b in zip(plain, zipped))


def test_colour_images_become_channels_first(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx", shape=(12, 12, 3))
    for path in list(source.glob("*idx4*")):
        path.rename(path.with_name(path.name.replace("idx4", "idx3")))
    images, _ = load(artifacts.ingest(source)["test_data"])
    assert images.shape == (25, 3, 12, 12)


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


def test_report_shows_samples_and_counts(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    page = pathlib.Path(outputs["data_report"].path).read_text()
    assert page.count("data:image/png;base64,") == 3 * 8
    assert "<svg" in page


def test_tries_mirrors_in_turn(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    outputs = artifacts.ingest(f"{tmp_path / 'nothing'} {source}")
    assert outputs["train_data"].metadata["num_images"] == 58


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"<html>", "is not an IDX file: it starts with b'<html>'"),
        (
            "train-images-idx3-ubyte",
            b"\0\0\x0a\x01\0\0\0\0",
            "type code 0x0A, expected one of 0x08",
        ),
        ("train-images-idx3-ubyte", b"\0\0\x08\x01\x7f\xff\xff\xff", "expected 2147483647 bytes"),
        ("train-images-idx3-ubyte", gzip.compress(b"\0" * 99)[:-9], "is cut short"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\1\0", "each of the 25 images"),
    ],
)
def test_refuses_a_bad_file_and_leaves_nothing(tmp_path, artifacts, name, content, message):
    source = write_idx_set(tmp_path / "idx")
    (source / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        artifacts.ingest(source)
    assert not list(artifacts.root.glob("*"))


def test_refuses_test_images_of_another_shape(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "idx")
    write_idx(source / "t10k-images-idx3-ubyte", np.zeros((25, 9, 9), np.uint8))
    with pytest.raises(ValueError, match=r"\(1, 9, 9\) \(C, H, W\), expected \(1, 12, 12\)"):
        artifacts.ingest(source)


def test_names_the_missing_file(tmp_path, artifacts):
    with pytest.raises(ValueError, match="has no train_images: expected train-images-idx3-ubyte"):
        artifacts.ingest(tmp_path)


@pytest.mark.parametrize("fraction", [-0.1, 1, float("nan")])
def test_refuses_a_fraction_out_of_range(tmp_path, artifacts, fraction):
    with pytest.raises(ValueError, match="validation_fraction must be at least 0 and below 1"):
        artifacts.ingest(tmp_path, validation_fraction=fraction)
