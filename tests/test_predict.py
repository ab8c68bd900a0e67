import csv
import hashlib
import itertools
import mmap
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import new_data
from kfp import dsl

from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.data.memory import advise
from kfp_mnist_mxnet.data.mnist import cache_directory
from kfp_mnist_mxnet.data.names import STANDARD_NAMES
from kfp_mnist_mxnet.data.sources import find_files
from kfp_mnist_mxnet.prediction.batches import predict_batch
from kfp_mnist_mxnet.prediction.predictor import Predictor
from kfp_mnist_mxnet.prediction.shard_range import shard_range


def run_predict(artifacts, model, data, name="predictions", **parameters):
    predictions = artifacts.new(dsl.Dataset, name)
    return artifacts.run(predict, model=model, data=data, predictions=predictions, **parameters)


def load(outputs) -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    directory = pathlib.Path(outputs["predictions"].path)
    with open(directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.load(directory / "probabilities.npy"), np.load(directory / "labels.npy"), rows


@pytest.mark.parametrize(("cpus", "modules"), [(1, 4), (9, 9), (64, 16)])
def test_each_cpu_predicts_and_their_number_changes_no_bit(
    artifacts, trained, monkeypatch, cpus, modules
):
    data = some_data(artifacts, (200, 1, 12, 12))
    expected, _, _ = load(run_predict(artifacts, trained["model"], data, batch_size=5))
    monkeypatch.setattr("kfp_mnist_mxnet.runtime.devices.available_cpus", lambda: cpus)
    assert len(Predictor(trained["model"].path, 5).modules) == modules
    found, _, _ = load(run_predict(artifacts, trained["model"], data, "again", batch_size=5))
    assert (found == expected).all()


def some_data(artifacts, shape=(25, 1, 12, 12), num_classes=3):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return new_data(artifacts, images, np.zeros(shape[0], np.uint8), num_classes)


def test_gives_probabilities_and_labels_in_order(artifacts, trained):
    probabilities, labels, _ = load(run_predict(artifacts, trained["model"], trained["test_data"]))
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (25, 3))
    assert (labels.dtype, labels.shape) == (np.uint8, (25,))
    assert np.allclose(probabilities.sum(1), 1)
    assert labels.tolist() == (np.arange(25) % 3).tolist()


def test_csv_has_a_row_for_each_image(artifacts, trained):
    probabilities, labels, rows = load(
        run_predict(artifacts, trained["model"], trained["test_data"])
    )
    assert [int(row["index"]) for row in rows] == list(range(25))
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert np.allclose([float(row["probability"]) for row in rows], probabilities.max(1), atol=1e-6)


def test_logs_images_and_speed(artifacts, trained):
    values = run_predict(artifacts, trained["model"], trained["test_data"])["metrics"].metadata
    assert values["images"] == 25
    assert values["images_per_second"] > 0
    assert type(values["images_per_second"]) is float


@pytest.mark.parametrize("batch_size", [1, 7, 25, 1000])
def test_batch_size_changes_no_label(artifacts, trained, batch_size):
    outputs = run_predict(artifacts, trained["model"], trained["test_data"], batch_size=batch_size)
    assert load(outputs)[1].tolist() == (np.arange(25) % 3).tolist()


def test_needs_no_labels(artifacts, trained):
    data = some_data(artifacts)
    pathlib.Path(data.path, "labels.npy").unlink()
    pathlib.Path(data.path, "dataset.json").unlink()
    assert load(run_predict(artifacts, trained["model"], data))[0].shape == (25, 3)


def test_refuses_a_damaged_dataset_json(artifacts, trained):
    data = some_data(artifacts)
    pathlib.Path(data.path, "dataset.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset\.json is damaged"):
        run_predict(artifacts, trained["model"], data)


def test_no_images_give_no_predictions(artifacts, trained):
    data = some_data(artifacts, shape=(0, 1, 12, 12))
    outputs = run_predict(artifacts, trained["model"], data)
    probabilities, labels, rows = load(outputs)
    assert probabilities.shape == (0, 3)
    assert labels.shape == (0,)
    assert rows == []
    assert "There are no images" in pathlib.Path(outputs["preview"].path).read_text()


def test_preview_shows_the_least_certain_with_the_three_likeliest_labels(artifacts, trained):
    data = some_data(artifacts, shape=(100, 1, 12, 12))
    outputs = run_predict(artifacts, trained["model"], data)
    page = pathlib.Path(outputs["preview"].path).read_text().replace("\N{NO-BREAK SPACE}", " ")
    probabilities = load(outputs)[0]
    first, *others = np.argsort(probabilities.max(1), kind="stable")[:48]
    captions = re.findall("<figcaption>#([0-9]+)\n", page)
    assert captions == [str(i) for i in (first, *others)]
    row = probabilities[first]
    shown = "\n".join(f"{label}: {row[label]:.1%}"[:-1] + " %" for label in np.argsort(-row))
    assert f"<figcaption>#{first}\n{shown}</figcaption>" in page


def test_preview_counts_how_sure_the_model_is(artifacts, trained):
    outputs = run_predict(artifacts, trained["model"], trained["test_data"])
    page = pathlib.Path(outputs["preview"].path).read_text()
    counts = re.findall('<td class="bar"[^>]*>([0-9]+)</td>', page)
    edges = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
    assert list(map(int, counts)) == [
        n for n in np.histogram(load(outputs)[0].max(1), edges)[0].tolist() if n
    ]


def test_classes_that_the_model_does_not_know_are_reported(artifacts, trained, caplog):
    outputs = run_predict(artifacts, trained["model"], some_data(artifacts, num_classes=9))
    told = "The data has 9 classes, but the model knows only 3"
    assert told in caplog.text
    assert told in pathlib.Path(outputs["preview"].path).read_text()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_shards": 0}, "num_shards must be at least 1, got 0"),
        ({"shard": 3, "num_shards": 3}, "shard must be from 0 to 2, got 3"),
        ({"shard": -1}, "shard must be from 0 to 0, got -1"),
    ],
)
def test_refuses_bad_parameters(artifacts, trained, parameters, message):
    with pytest.raises(ValueError, match=message):
        run_predict(artifacts, trained["model"], trained["test_data"], **parameters)
    assert not pathlib.Path(artifacts.root, "predictions").exists()


def test_refuses_images_of_another_shape(artifacts, trained):
    data = some_data(artifacts, shape=(2, 3, 12, 12))
    with pytest.raises(ValueError, match=r"\[3, 12, 12\], but the model takes \[1, 12, 12\]"):
        run_predict(artifacts, trained["model"], data)
    assert not pathlib.Path(artifacts.root, "predictions").exists()


@pytest.mark.parametrize("num_images", [0, 1, 8, 100, 10_001])
@pytest.mark.parametrize("num_shards", [1, 2, 7, 30])
def test_shards_are_whole_batches_and_cover_every_image_once(num_images, num_shards):
    ranges = [shard_range(num_images, shard, num_shards, 8) for shard in range(num_shards)]
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(num_images))
    assert all(start % 8 == 0 for start, stop in ranges if start < stop)


def test_pages_of_images_that_were_read_are_given_back(tmp_path):
    def resident() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    size = 64 << 20
    np.save(tmp_path / "images.npy", np.ones(size, np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")[1:]
    before = resident()
    assert images.sum() == size - 1
    read = resident()
    advise(images, "DONTNEED")
    assert read - before > size // 2
    assert resident() - before < size // 4
    assert images[0] == 1


def test_shards_one_after_the_other_are_the_whole(artifacts, trained):
    data = some_data(artifacts, shape=(100, 1, 12, 12))
    whole = load(run_predict(artifacts, trained["model"], data, batch_size=8))
    parts = [
        load(
            run_predict(
                artifacts,
                trained["model"],
                data,
                f"shard {shard}",
                batch_size=8,
                shard=shard,
                num_shards=7,
            )
        )
        for shard in range(7)
    ]
    assert np.concatenate([part[0] for part in parts]).tobytes() == whole[0].tobytes()
    assert np.concatenate([part[1] for part in parts]).tobytes() == whole[1].tobytes()
    assert [row for part in parts for row in part[2]] == whole[2]


def test_the_same_images_get_the_same_bytes_beside_a_busy_process(trained):
    images = np.random.default_rng(0).integers(0, 256, (6000, 1, 12, 12), dtype=np.uint8)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        digests = set()
        for _ in range(4):
            predictor = Predictor(trained["model"].path, batch_size=32)
            content = b"".join(part.tobytes() for part in predictor.probabilities(images))
            digests.add(hashlib.sha256(content).hexdigest())
        busy.kill()
    assert len(digests) == 1


def test_every_context_gives_the_same_bytes(trained):
    modules = Predictor(trained["model"].path, batch_size=25).modules
    images = np.load(pathlib.Path(trained["test_data"].path, "images.npy"))
    found = {predict_batch(module, images, 0).tobytes() for module in modules}
    assert len(modules) == 4
    assert len(found) == 1


def test_test_image_24_of_mnist_is_a_4(artifacts):
    try:
        files = find_files(cache_directory() or pathlib.Path("none"), STANDARD_NAMES)
    except ValueError as error:
        pytest.skip(f"no MNIST on this machine: {error}")
    parts = {}
    for part, (path, name) in files.items():
        with IdxFile(path, name) as idx:
            parts[part] = np.concatenate(list(itertools.islice(idx.blocks, 8)))[:10_000]
    images, labels = parts["train_images"][:, None], parts["train_labels"]
    data = {"train_data": new_data(artifacts, images, labels, 10, "train")}
    data["validation_data"] = new_data(artifacts, images[:0], labels[:0], 10, "validation")
    default = {"kernels": [], "filters": [], "hidden_units": [], "batch_size": -1, "epochs": 3}
    model = artifacts.train(data, **default)["model"]
    test = new_data(artifacts, parts["test_images"][:25, None], parts["test_labels"][:25], 10)
    probabilities, predicted, _ = load(run_predict(artifacts, model, test, batch_size=25))
    assert predicted[24] == 4
    assert probabilities[24, 4] > 0.99
