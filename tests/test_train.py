import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, as_split, write_idx_set
from kfp import dsl

from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.data.writing import write_dataset
from kfp_mnist_mxnet.model import network
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.model.layers import describe_layers
from kfp_mnist_mxnet.model.module import bind_module
from kfp_mnist_mxnet.model.network import build_network
from kfp_mnist_mxnet.model.recipes import choose_hyperparameters
from kfp_mnist_mxnet.model.saving import save_parameters
from kfp_mnist_mxnet.reports.training import write_divergence_report
from kfp_mnist_mxnet.runtime.devices import contexts
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training import trainer
from kfp_mnist_mxnet.training.augmentation import Warper
from kfp_mnist_mxnet.training.batches import training_batches
from kfp_mnist_mxnet.training.history import Epoch, describe_settings
from kfp_mnist_mxnet.training.module import TrainingModule
from kfp_mnist_mxnet.training.schedule import learning_rate_at
from kfp_mnist_mxnet.training.scoring import score
from kfp_mnist_mxnet.training.trainer import Trainer


def new_module(chosen, images, labels, seed: int = 0):
    """A Module with its first parameters."""
    split = as_split(images, labels, chosen.hidden_units[-1])
    return Trainer(split, split.empty(), chosen, seed, [mx.cpu()]).module


def test_an_operator_that_could_not_be_exported_is_named_before_training(monkeypatch):
    monkeypatch.setattr(
        trainer, "build_network", lambda chosen: mx.sym.sin(network.build_network(chosen))
    )
    chosen = choose_hyperparameters("default", {"hidden_units": [8, 2], "batch_size": 4})
    images, labels = np.zeros((4, 1, 28, 28), np.uint8), np.zeros(4, np.uint8)
    with pytest.raises(ValueError, match=r"operator sin, .*: see model/operators\.py$"):
        new_module(chosen, images, labels)


def test_learns(trained):
    assert trained["metrics"].metadata["validation_accuracy"] > 0.9


def test_same_seed_gives_the_same_bytes(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))

    def parameters(seed: int) -> bytes:
        model = artifacts.train(data, seed=seed)["model"]
        return pathlib.Path(model.path, "model-0000.params").read_bytes()

    assert parameters(1) == parameters(1)
    assert parameters(1) != parameters(2)


def test_model_directory_says_what_it_was_made_from(trained):
    directory = pathlib.Path(trained["model"].path)
    about = json.loads((directory / "model.json").read_text())
    assert {path.name for path in directory.iterdir()} == {
        "model-symbol.json",
        "model-0000.params",
        "model.json",
    }
    assert about["input_shape"] == [1, 12, 12]
    assert about["num_classes"] == 3
    assert about["hyperparameters"]["filters"] == [8]
    assert about["train_data_sha256"] == trained["train_data"].metadata["sha256"]


def test_logs_what_the_tutorial_logs(tmp_path, artifacts, caplog):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with caplog.at_level("INFO"):
        artifacts.train(data, epochs=1)
    for pattern in (
        r"Epoch\[0\] Batch \[\d+-\d+\]\tSpeed: [\d.]+ samples/sec\taccuracy=[\d.]+\t\d+ s left",
        r"Epoch\[0\] Train-accuracy=[\d.]+",
        r"Epoch\[0\] Time cost=[\d.]+",
        r"Epoch\[0\] Validation-accuracy=[\d.]+",
    ):
        assert any(re.fullmatch(pattern, message) for message in caplog.messages), pattern


def test_trains_without_validation_images(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"), validation_fraction=0)
    assert "validation_accuracy" not in artifacts.train(data)["metrics"].metadata


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softrelu", "softsign", "tanh"])
def test_takes_every_activation(tmp_path, artifacts, activation):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    model = artifacts.train(data, activation=activation, epochs=1)["model"]
    symbol = json.loads(pathlib.Path(model.path, "model-symbol.json").read_text())
    used = [node["attrs"]["act_type"] for node in symbol["nodes"] if node["op"] == "Activation"]
    assert set(used) == {activation}


def test_takes_any_number_of_layers(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    artifacts.train(data, hidden_units=[-1])
    artifacts.train(data, kernels=[3, 2], filters=[4, 6], hidden_units=[8, 7, 3])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"recipe": "none"}, "recipe must be one of .*, got 'none'"),
        ({"epochs": -2}, "epochs must be at least 0, got -2"),
        ({"batch_size": -2}, "batch_size must be at least 1, got -2"),
        ({"batch_size": 100}, "batch_size is 100, but there are only 58 training images"),
        ({"learning_rate": -0.1}, "learning_rate must be a positive number, got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, got nan"),
        ({"activation": "gelu"}, "activation must be one of .*, got 'gelu'"),
        ({"kernels": [3, 3]}, "kernels and filters must have one entry for each convolution"),
        ({"filters": [0]}, "must be positive whole numbers"),
        ({"kernels": [12]}, r"kernels\[0\] is 12, but 12 x 12 pixels are left"),
        ({"hidden_units": [16, 4]}, "the last of hidden_units is 4, expected 3"),
        ({"kernels": [3.5]}, r"kernels must be positive whole numbers, got \[3.5\]"),
        ({"filters": [float("nan")]}, r"filters must be positive whole numbers, got \[nan\]"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        ({"dropout": float("nan")}, "dropout must be at least 0 and below 1, got nan"),
        ({"weight_decay": -0.1}, "weight_decay must be a finite number, at least 0, got -0.1"),
        ({"augmentation": float("inf")}, "augmentation must be a finite number, at least 0, got"),
        ({"cpu_threads": 257}, "cpu_threads must be at most 256, got 257"),
        ({"flip": "vertical"}, "flip must be one of none, horizontal, got 'vertical'"),
        ({"optimizer": "lamb"}, "optimizer must be one of adam, nag, sgd, got 'lamb'"),
        ({"seed": -1}, r"seed must be at least 0 and below 2\*\*31, got -1"),
        ({"checkpoint_uri": "ftp://host/place"}, "checkpoint_uri has the scheme 'ftp', expected"),
        ({"checkpoint_uri": "s3:///prefix"}, "must name a bucket: s3://bucket/prefix"),
        ({"checkpoint_uri": "s3://bucket/prefix"}, "needs credentials, but the environment"),
        ({"device": "tpu"}, "device must be auto, cpu or gpu, got 'tpu'"),
        ({"device": "gpu"}, "no usable GPU .*built for CPUs only, .*libcuda.so.1.*, 0 GPUs"),
    ],
)
def test_refuses_bad_hyperparameters(tmp_path, artifacts, parameters, message):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with pytest.raises(ValueError, match=message):
        artifacts.train(data, **parameters)
    assert not pathlib.Path(artifacts.root, "model").exists()


def test_checks_hyperparameters_before_it_reads_data(tmp_path, artifacts):
    nothing = dsl.Dataset(uri=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="epochs must be at least 0, got -2"):
        artifacts.train({"train_data": nothing, "validation_data": nothing}, epochs=-2)


def test_stops_at_a_loss_that_is_no_number(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        artifacts.train(data, learning_rate=1e30, epochs=20)
    assert not pathlib.Path(artifacts.root, "model").exists()


DIVERGING = [
    ({"learning_rate": 30.0, "epochs": 2}, "the parameter norm0_moving_var became infinite"),
    ({"learning_rate": 1e30, "epochs": 20}, "the loss became nan"),
]


@pytest.mark.parametrize(("parameters", "message"), DIVERGING)
def test_a_training_that_diverges_ends_with_the_remedy(tmp_path, artifacts, parameters, message):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(FloatingPointError, match=f"{message}.*: lower learning_rate, which is"):
        artifacts.train(data, **parameters, checkpoint_uri=str(checkpoint))
    assert not pathlib.Path(artifacts.root, "model").exists()
    for saved in checkpoint.glob("*"):  # of an epoch before
        with np.load(saved) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays if name != "progress")


@pytest.mark.parametrize(("parameters", "message"), DIVERGING)
def test_a_training_that_may_diverge_says_so_in_its_model(tmp_path, artifacts, parameters, message):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    outputs = artifacts.train(data, **parameters, allow_divergence=True)
    assert "Training diverged" in pathlib.Path(outputs["training_report"].path).read_text()
    with pytest.raises(ValueError, match=f"has no model: .*{message}"):
        artifacts.run(evaluate, model=outputs["model"], data=data["test_data"])


@pytest.mark.parametrize("error", [MemoryError("no room"), ValueError("no rate")])
def test_an_error_in_an_update_ends_training(tmp_path, artifacts, monkeypatch, error):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))

    def failing(self, update):
        raise error

    monkeypatch.setattr(Trainer, "learning_rate_at", failing)
    with pytest.raises(type(error), match=str(error)):
        artifacts.train(data)
    assert not pathlib.Path(artifacts.root, "model").exists()


def test_refuses_data_that_is_no_data_set(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    np.save(pathlib.Path(data["train_data"].path, "images.npy"), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="must be uint8 with 4 dimensions, got float64"):
        artifacts.train(data)


def data_of_shape(tmp_path, *shape: int) -> dict:
    """Training and validation data: 40 random images of 2 classes."""
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)
    data = {}
    for name in ("train_data", "validation_data"):
        directory = tmp_path / name
        tmp_path.mkdir(exist_ok=True)
        write_dataset(directory, images, (np.arange(40) % 2).astype(np.uint8), 2, "made up")
        data[name] = dsl.Dataset(uri=str(directory))
    return data


RECIPE = {"kernels": [], "filters": [], "hidden_units": [], "batch_size": -1, "epochs": 1}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 12), (2, 5, 9), (1, 4, 40)])
def test_the_default_recipe_takes_small_images(tmp_path, artifacts, shape):
    artifacts.train(data_of_shape(tmp_path, *shape), **RECIPE)


@pytest.mark.parametrize(
    ("recipe", "pixels", "convolutions"),
    [
        *(("default", 1, 0), ("default", 3, 1), ("default", 4, 3), ("default", 8, 3)),
        *(("best", 1, 0), ("best", 2, 2), ("best", 4, 3), ("best", 8, 4)),
        *(("photos", 1, 0), ("photos", 4, 2), ("photos", 8, 3)),
    ],
)
def test_a_recipe_gives_way_to_small_images(tmp_path, artifacts, recipe, pixels, convolutions):
    data = data_of_shape(tmp_path, 1, pixels, pixels)
    made = artifacts.train(data, **{**RECIPE, "recipe": recipe})
    about = json.loads(pathlib.Path(made["model"].path, "model.json").read_text())
    for name in ("kernels", "filters", "padding", "pooling"):
        assert len(about["hyperparameters"][name]) == convolutions


def test_a_convolution_may_go_without_pooling():
    chosen = choose_hyperparameters("best", {"hidden_units": [128, 10]})
    sizes = {
        layer.name: layer.output
        for layer in describe_layers(build_network(chosen), [1, 28, 28])
        if layer.name.startswith(("conv", "pool"))
    }
    assert sizes == {
        "conv0": [32, 24, 24],
        "pool0": [32, 12, 12],
        "conv1": [64, 10, 10],
        "conv2": [64, 8, 8],
        "pool2": [64, 4, 4],
        "conv3": [192, 4, 4],
        "pool3": [192, 2, 2],
    }


def test_kernels_of_ones_own_are_all_followed_by_pooling():
    own = {"kernels": [3, 3], "filters": [8, 8]}
    chosen = choose_hyperparameters("best", own)
    assert (chosen.padding, chosen.pooling) == ([0, 0], [True, True])


def test_refuses_validation_images_of_another_shape(tmp_path, artifacts):
    data = data_of_shape(tmp_path / "a", 1, 8, 8)
    data["validation_data"] = data_of_shape(tmp_path / "b", 1, 8, 9)["validation_data"]
    with pytest.raises(ValueError, match=r"validation_data has images of shape \[1, 8, 9\]"):
        artifacts.train(data)


@pytest.mark.parametrize("recipe", ["best", "photos", "tutorial"])
def test_every_recipe_trains(tmp_path, artifacts, recipe):
    artifacts.train(data_of_shape(tmp_path, 1, 28, 28), **{**RECIPE, "recipe": recipe})


def test_the_tutorial_is_a_recipe():
    chosen = choose_hyperparameters("tutorial", {"activation": "relu", "epochs": -1})
    assert chosen.filters == [20, 50]
    assert (chosen.batch_size, chosen.learning_rate, chosen.epochs) == (100, 0.1, 10)
    assert (chosen.optimizer, chosen.initializer) == ("sgd", "uniform")
    assert chosen.activation == "relu"


def test_whole_numbers_may_come_as_floats():
    given = {"kernels": [3.0], "filters": [8.0], "hidden_units": [16.0, -1.0]}
    chosen = choose_hyperparameters("default", given)
    assert [type(size) for size in chosen.hidden_units] == [int, int]
    assert chosen.hidden_units == [16, -1]


def test_one_cycle_rises_and_falls():
    chosen = choose_hyperparameters("default", {"learning_rate": 0.4})
    rates = [learning_rate_at(update, 99, chosen) for update in range(99)]
    assert max(rates) == rates[19] == pytest.approx(0.4)
    assert rates[:19] == sorted(rates[:19])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_an_epoch_is_a_permutation_and_fills_its_last_batch():
    labels = np.arange(200, dtype=np.uint8)
    images = np.zeros((200, 1, 2, 2), np.uint8) + labels[:, None, None, None]
    chosen = choose_hyperparameters("default", {"batch_size": 64, "augmentation": 0.0})

    def epoch(number: int) -> list:
        batches = training_batches(as_split(images, labels), chosen, 1, number, mx.cpu())
        return [(data.asnumpy()[:, 0, 0, 0], label, new) for data, label, new in batches]

    batches = epoch(0)
    assert [new for _, _, new in batches] == [64, 64, 64, 8]
    assert all(len(label) == 64 and (data == label).all() for data, label, _ in batches)
    seen = np.concatenate([label[:new] for _, label, new in batches])
    assert sorted(seen) == list(range(200))
    assert (epoch(0)[0][1] == batches[0][1]).all()
    assert (epoch(1)[0][1] != batches[0][1]).any()


def test_half_of_the_images_are_mirrored_where_that_is_asked_for():
    labels = np.arange(200, dtype=np.uint8)
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 3, 5), dtype=np.uint8)
    overrides = {"batch_size": 50, "augmentation": 0.0, "flip": "horizontal"}
    chosen = choose_hyperparameters("default", overrides)

    def epoch(part: slice) -> list[tuple[np.ndarray, np.ndarray]]:
        batches = training_batches(as_split(images, labels), chosen, 1, 0, mx.cpu(), part)
        return [(batch.data.asnumpy(), batch.labels[part]) for batch in batches]

    whole = epoch(slice(None))
    mirrored = 0
    for data, own in whole:
        for image, label in zip(data, own, strict=True):
            mirrored += (image == images[label][..., ::-1]).all()
            assert (image == images[label]).all() or (image == images[label][..., ::-1]).all()
    assert 70 < mirrored < 130
    for (data, _), (part, _) in zip(whole, epoch(slice(10, 30)), strict=True):
        assert (data[10:30] == part).all()  # of each batch, so that nodes share them


def test_a_weak_warp_is_close_to_the_image_and_a_strong_one_is_not():
    labels = np.zeros(8, np.uint8)
    images = np.zeros((8, 1, 28, 28), np.uint8)
    images[:, :, 8:20, 8:20] = 200

    def change(strength: float) -> float:
        chosen = choose_hyperparameters("default", {"batch_size": 8, "augmentation": strength})
        ((data, _, _),) = training_batches(as_split(images, labels), chosen, 0, 0, mx.cpu())
        assert data.shape == images.shape
        return float(np.abs(data.asnumpy() - images).mean())

    assert change(1e-4) < 0.05 < 2 < change(1.0)


def test_each_image_is_warped_with_a_strength_of_its_own():
    square = np.zeros((1, 28, 28), np.uint8)
    square[:, 8:20, 8:20] = 200
    warper = Warper([1, 28, 28], 1.0, mx.cpu())
    images = np.stack([square] * 500)
    grids = warper.grids(np.random.default_rng(0), 500, 100, slice(0, 100))
    warped = warper.warp(images, grids).asnumpy()
    change = np.sort(np.abs(warped - images).mean((1, 2, 3)))
    assert change[5] < 0.1 * change[250]  # 1 % of them, against the median


def test_layers_add_up_to_the_parameters_and_the_flops():
    chosen = choose_hyperparameters("tutorial", {"hidden_units": [500, 10]})
    layers = describe_layers(build_network(chosen), [1, 28, 28])
    assert sum(layer.parameters for layer in layers) == 431_080
    assert {layer.name: layer.flops for layer in layers if layer.flops} == {
        "conv0": 2 * 20 * 25 * 24 * 24,
        "conv1": 2 * 50 * 20 * 25 * 8 * 8,
        "dense0": 2 * 800 * 500,
        "output": 2 * 500 * 10,
    }


def test_label_smoothing_gives_a_share_to_the_wrong_classes():
    chosen = Hyperparameters(
        kernels=[], filters=[], padding=[], pooling=[], hidden_units=[3], label_smoothing=0.3
    )
    network = build_network(chosen)
    module = bind_module(network, [1, 1, 2, 2], for_training=True)
    module.init_params(mx.init.Zero())  # probabilities of a third each
    images, labels = mx.nd.ones((1, 1, 2, 2), dtype="uint8"), mx.nd.array([1])
    module.forward_backward(mx.io.DataBatch([images], [labels]))
    gradient = module._exec_group.execs[0].grad_dict["output_bias"].asnumpy()
    assert gradient == pytest.approx(1 / 3 - np.array([0.15, 0.7, 0.15]), abs=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "nag", "sgd"])
def test_updates_are_those_of_mxnet(optimizer):
    overrides = {"kernels": [3], "filters": [4], "hidden_units": [7, 3], "optimizer": optimizer}
    network = build_network(choose_hyperparameters("default", overrides))
    settings = {"learning_rate": 0.1, "wd": 0.1, "rescale_grad": 1 / 8}
    if optimizer != "adam":
        settings["momentum"] = 0.9
    ours, theirs = (
        bind_module(network, [8, 1, 8, 8], True, [mx.cpu(0), mx.cpu(1)], module_class=kind)
        for kind in (TrainingModule, mx.mod.Module)
    )
    mx.random.seed(1)
    theirs.init_params(mx.init.Normal(0.3))
    ours.set_params(*theirs.get_params())
    theirs.init_optimizer("local", optimizer, settings)
    ours.start_optimizer(optimizer, settings)
    random = np.random.default_rng(0)
    for _ in range(3):
        images = mx.nd.array(random.integers(0, 256, (8, 1, 8, 8)), dtype="uint8")
        batch = mx.io.DataBatch([images], [mx.nd.array(random.integers(0, 3, 8))])
        for module in (ours, theirs):
            module.forward_backward(batch)
            module.update()
    mx.nd.waitall()  # MXNet's Module may read moving averages before they are written
    for own, other in zip(ours.get_params(), theirs.get_params(), strict=True):
        assert own.keys() == other.keys()
        for name, array in own.items():
            assert np.allclose(array.asnumpy(), other[name].asnumpy(), atol=1e-6), name


@pytest.mark.parametrize("optimizer", ["adam", "nag", "sgd"])
def test_several_threads_train_as_one(tmp_path, artifacts, optimizer):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx", train=300))

    def parameters(threads: int) -> dict:
        trained = artifacts.train(
            data,
            recipe="tutorial",
            optimizer=optimizer,
            learning_rate=0.01,
            weight_decay=0.01,
            batch_size=100,
            epochs=2,
            cpu_threads=threads,
        )
        return mx.nd.load(str(pathlib.Path(trained["model"].path, "model-0000.params")))

    one, *others = (parameters(threads) for threads in (1, 3, 6))
    for other in others:
        assert one.keys() == other.keys()
        close = [
            np.allclose(array.asnumpy(), other[name].asnumpy(), atol=1e-5)
            for name, array in one.items()
        ]
        same = [(array == other[name]).min().asscalar() for name, array in one.items()]
        assert all(close)
        assert not all(same)  # another order of sums: the number of threads was another one


def test_all_gpus_are_used_unless_the_cpu_is_asked_for():
    assert contexts("auto", 2, 128, 4) == contexts("gpu", 2, 128, 4) == [mx.gpu(0), mx.gpu(1)]
    for device, gpus in (("cpu", 2), ("auto", 0)):
        assert contexts(device, gpus, 128, 4) == [mx.cpu(i) for i in range(4)]
        assert contexts(device, gpus, 128, 6) == [mx.cpu(i) for i in range(6)]


def test_a_small_batch_goes_to_fewer_contexts():
    sizes = (1, 16, 31, 32, 63, 64)
    assert [len(contexts("cpu", 0, size, 4)) for size in sizes] == [1, 1, 1, 2, 3, 4]
    assert contexts("gpu", 8, 31, 4) == [mx.gpu(0)]


def test_report_shows_the_curves_and_the_network(trained):
    page = pathlib.Path(trained["training_report"].path).read_text()
    for text in (
        "<td>learning_rate</td><td>0.1 (recipe default)</td>",
        "<td>batch_size</td><td>8 (set)</td>",
        ">validation<",
        "learning rate",
        "conv0",
        "8\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}10",
        "Filters of the first",
        "batch_size",
    ):
        assert text in page, text


def test_metrics_are_plain_numbers(trained):
    metadata = trained["metrics"].metadata
    assert {"train_accuracy", "validation_accuracy", "samples_per_second", "seconds"} <= set(
        metadata
    )
    assert metadata["parameters"] == 8 * 9 + 8 + 2 * 8 + 8 * 25 * 16 + 16 + 16 * 3 + 3
    assert {type(value) for value in metadata.values()} <= {int, float}


def test_huge_data_stays_out_of_memory(tmp_path):
    program = f"""
import itertools, pathlib
import numpy as np
from kfp_mnist_mxnet.data.dataset import DatasetInfo, Split
from kfp_mnist_mxnet.model.recipes import choose_hyperparameters
from kfp_mnist_mxnet.reports.training import write_divergence_report
from kfp_mnist_mxnet.runtime.devices import contexts
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training.trainer import Trainer
path = {str(tmp_path / "images.npy")!r}
np.lib.format.open_memmap(path, "w+", np.uint8, (6_000_000, 1, 28, 28))  # sparse: no disk
images = np.load(path, mmap_mode="r")
labels = np.zeros(len(images), np.uint8)
given = {{"kernels": [3], "filters": [8], "hidden_units": [16, 10]}}
chosen = choose_hyperparameters("default", {{**given, "epochs": 2}})
split = Split(images, labels, DatasetInfo(len(images), (1, 28, 28), 10, [], "", ""))
trainer = Trainer(split, split.empty(), chosen, 0, contexts("cpu", 0, chosen.batch_size, 4))
trainer.resume(None)
for _ in itertools.islice(trainer.outputs(0), 100):
    mx.nd.waitall()
# Not ru_maxrss, which counts the parent's memory at the fork.
print(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 2**20  # KiB


@pytest.mark.parametrize("units", [8, 20_000])  # fewer bytes than MXNet's buffer has, and more
def test_parameters_that_do_not_fit_on_the_disk_are_an_os_error(units):
    small = {"kernels": [3], "filters": [1], "hidden_units": [units, 2], "batch_size": 4}
    chosen = choose_hyperparameters("default", small)
    images, labels = np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4, np.uint8)
    module = new_module(chosen, images, labels)
    with pytest.raises(OSError, match="could not be written whole"):
        save_parameters(module, pathlib.Path("/dev/full"))


def test_scores_the_parameters_of_now():
    chosen = choose_hyperparameters("default", {"hidden_units": [8, 3], "batch_size": 4})
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (90, 1, 28, 28), np.uint8)
    labels = generator.integers(0, 3, 90).astype(np.uint8)
    first, second = (new_module(chosen, images, labels, seed) for seed in (1, 2))
    before, expected = score(first, images, labels), score(second, images, labels)
    first.set_params(*second.get_params())
    assert before != expected
    assert score(first, images, labels) == expected


def test_the_validation_accuracy_is_that_of_the_model(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx", train=400), validation_fraction=0.5)
    outputs = artifacts.train(data, epochs=4, learning_rate=0.002, augmentation=2.0)
    data = data["validation_data"]
    accuracy = artifacts.run(evaluate, model=outputs["model"], data=data)["Output"]
    assert outputs["metrics"].metadata["validation_accuracy"] == accuracy


def test_the_validation_loss_is_that_of_the_model(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx", train=400), validation_fraction=0.5)
    outputs = artifacts.train(data, epochs=2, learning_rate=0.002)
    judged = artifacts.run(
        evaluate, model=outputs["model"], data=data["validation_data"], metrics=None
    )
    loss = outputs["metrics"].metadata["validation_loss"]
    assert loss == pytest.approx(judged["metrics"].metadata["log_loss"], rel=1e-5)
    about = json.loads(pathlib.Path(outputs["model"].path, "model.json").read_text())
    assert about["history"][-1]["validation_loss"] == loss


def test_a_report_shows_resolved_values_and_where_they_come_from():
    own = {"epochs": -1, "learning_rate": 0.05, "activation": ""}
    chosen = choose_hyperparameters("default", own)
    settings = {"recipe": "default", **chosen.to_dict(), "seed": 3, "batch_size": 40}
    shown = describe_settings(settings, own, 7)
    assert shown["learning_rate"] == "0.05 (set)"
    assert shown["activation"] == "relu (recipe default)"
    assert shown["epochs"] == "7 (automatic, recipe default)"
    assert shown["batch_size"] == "40 (derived)"
    assert (shown["recipe"], shown["seed"]) == ("default", "3")


def test_an_error_of_nothing_is_drawn_and_the_last_epoch_marked(tmp_path):
    epochs = [Epoch(1, 0.1, 1, 9, [[n, 0.1, 1.0, 0.1]], 1.0) for n in (1, 2)]
    write_divergence_report(tmp_path / "page.html", "the loss became nan", {}, epochs)
    page = (tmp_path / "page.html").read_text()
    assert "Error, loss and learning rate" in page
    assert ">validation<" in page
