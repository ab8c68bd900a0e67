"""Training against the tutorial's recipe, the machine's GEMM rate and PyTorch, on the real MNIST.

    python benchmarks/train.py [--part NAME ...] [--torch-python PATH]
                              [--tutorial-epochs N] [--json]

Each part runs in a process of its own:

tutorial  the tutorial's recipe through Module.fit for ten epochs, with MXNet's own thread default;
          seconds of training (scoring does not count), test accuracy after each epoch
ours      the component with a network smaller than the tutorial's (QUICK) in one pass over a
          part of the images (SHARE), as few as it takes to the tutorial's accuracy, for three
          seeds; the same clock
speed     samples per second of the component's training loop with its default recipe, and the
          share of the float32 GEMM rate (FullyConnected, 1024 x 1024) that it reaches: 2 FLOP for
          a multiply-add of convolutions and dense layers, backward as twice forward
torch     the same network, batch size and optimizer in PyTorch against the component's loop, both
          without augmentation; left out where there is no torch

GEMM, the loop and PyTorch take turns; the best of several turns counts for each.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

PARTS = ("tutorial", "ours", "speed", "torch")
SHARE = 0.55  # of the training images
QUICK: dict[str, Any] = {
    "filters": [16, 48, 64],
    "hidden_units": [256, -1],
    "batch_size": 64,
    "augmentation": 0.4,
    "epochs": 1,
}
SEEDS = (1, 2, 3)
TURNS = 5
IMAGES = 2560  # of one turn


def run_part(python: str, part: str, *arguments: str) -> Any:
    """Run a part in a process of its own and return what it prints last, JSON."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [python, __file__, "--run", part, *arguments]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    return json.loads(done.stdout.splitlines()[-1])


def best_of(turns: int, *rates: Callable[[], float]) -> list[float]:
    """Return the best value of each function; they take turns, after one to warm up."""
    for rate in rates:
        rate()
    turns_of_all = [[rate() for rate in rates] for _ in range(turns)]
    return [max(column) for column in zip(*turns_of_all, strict=True)]


def function_of(component: Any) -> Callable[..., Any]:
    """Return the function of a component, which in an image of the suite it is already."""
    return getattr(component, "python_func", component)


def ingest_data(directory: pathlib.Path, share: float, uri: str = "mnist") -> pathlib.Path:
    """Make data sets with a share of the training images, and return where.

    uri: of the IDX files, as ingest takes it.
    """
    from kfp import dsl

    from kfp_mnist_mxnet.components.ingest import ingest

    directory.mkdir()
    names = ("train_data", "validation_data", "test_data")
    outputs: dict[str, Any] = {
        name: dsl.Dataset(name=name, uri=str(directory / name)) for name in names
    }
    outputs["data_report"] = dsl.HTML(name="data_report", uri=str(directory / "report.html"))
    function_of(ingest)(**outputs, data_uri=uri, validation_fraction=1 - share)
    return directory


def load(directory: str, split: str) -> tuple[Any, Any]:
    """Return images, uint8 (N, C, H, W), and labels, uint8 (N,), of a split."""
    import numpy as np

    place = pathlib.Path(directory, split)
    return np.load(place / "images.npy"), np.load(place / "labels.npy")


def tutorial_module() -> Any:
    """Return MXNet, started as the tutorial does, and the tutorial's Module on the CPU."""
    import ctypes

    from kfp_mnist_mxnet.runtime.mxnet_compatibility import importable_mxnet

    ctypes.CDLL("libgomp.so.1")
    with importable_mxnet():
        import mxnet as mx

    x = mx.sym.var("data")
    for filters in (20, 50):
        x = mx.sym.Convolution(x, kernel=(5, 5), num_filter=filters)
        x = mx.sym.Activation(x, act_type="tanh")
        x = mx.sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2))
    x = mx.sym.FullyConnected(mx.sym.flatten(x), num_hidden=500)
    x = mx.sym.Activation(x, act_type="tanh")
    x = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax")
    return mx, mx.mod.Module(x, context=mx.cpu())


def fit_tutorial(module: Any, data: Any, num_epoch: int, callback: Any = None) -> None:
    """Train the tutorial's Module as the tutorial does."""
    module.fit(
        data,
        optimizer="sgd",
        optimizer_params={"learning_rate": 0.1},
        eval_metric="acc",
        epoch_end_callback=callback,
        num_epoch=num_epoch,
    )


def tutorial(directory: str, num_epoch: str) -> dict[str, Any]:
    """Train as the tutorial does."""
    mx, module = tutorial_module()
    data = {}
    for split in ("train_data", "test_data"):
        images, labels = load(directory, split)
        shuffle = split == "train_data"
        data[split] = mx.io.NDArrayIter(images.astype("float32") / 255, labels, 100, shuffle)
    epochs: list[tuple[float, float]] = []
    watch = {"seconds": 0.0, "started": time.perf_counter()}

    def score(*_: Any) -> None:
        watch["seconds"] += time.perf_counter() - watch["started"]
        epochs.append((watch["seconds"], module.score(data["test_data"], "acc")[0][1]))
        print(f"tutorial, epoch {len(epochs)}: {epochs[-1]}", file=sys.stderr)
        watch["started"] = time.perf_counter()

    mx.random.seed(0)
    fit_tutorial(module, data["train_data"], int(num_epoch), score)
    return {"epochs": epochs}


def tutorial_rate(directory: str) -> Callable[[], float]:
    """Return a function that trains on IMAGES images as the tutorial does, in samples/s."""
    mx, module = tutorial_module()
    images, labels = load(directory, "train_data")
    part = images[:IMAGES].astype("float32") / 255
    data = mx.io.NDArrayIter(part, labels[:IMAGES], 100, True)

    def rate() -> float:
        data.reset()
        started = time.perf_counter()
        fit_tutorial(module, data, 1)
        return IMAGES / (time.perf_counter() - started)

    return rate


def train_and_score(directory: str, **parameters: Any) -> dict[str, float]:
    """Train with the component; return seconds of training, and accuracy on the test images."""
    from kfp import dsl

    from kfp_mnist_mxnet.components.train import train
    from kfp_mnist_mxnet.prediction.batches import BATCH_SIZE
    from kfp_mnist_mxnet.prediction.predictor import Predictor
    from kfp_mnist_mxnet.training.scoring import count_correct

    metrics = dsl.Metrics()
    with tempfile.TemporaryDirectory() as scratch:
        function_of(train)(
            train_data=dsl.Dataset(uri=f"{directory}/train_data"),
            validation_data=dsl.Dataset(uri=f"{directory}/validation_data"),
            model=dsl.Model(uri=f"{scratch}/model"),
            metrics=metrics,
            training_report=dsl.HTML(uri=f"{scratch}/report"),
            **parameters,
        )
        predictor = Predictor(f"{scratch}/model", BATCH_SIZE)
    images, labels = load(directory, "test_data")
    correct, _ = count_correct(predictor.modules, images, labels)
    about = {name: metrics.metadata[name] for name in ("seconds", "epochs")}
    return {**about, "accuracy": correct / len(labels)}


def ours(directory: str) -> dict[str, Any]:
    """Train with the component, once for each seed, and score on the test images."""
    runs = []
    for seed in SEEDS:
        runs.append(train_and_score(directory, **QUICK, seed=seed))
        print(f"ours, seed {seed}: {runs[-1]}", file=sys.stderr)
    return {name: [run[name] for run in runs] for name in ("seconds", "accuracy")}


def prepared(directory: str, **overrides: Any) -> tuple[Callable[[], float], Any]:
    """Return a function that trains on IMAGES images, in samples per second, and its trainer."""
    import numpy as np

    from kfp_mnist_mxnet.data.dataset import Split, read_dataset
    from kfp_mnist_mxnet.model.recipes import choose_hyperparameters, resolve_for_dataset
    from kfp_mnist_mxnet.runtime.devices import contexts
    from kfp_mnist_mxnet.training.trainer import Trainer

    whole = read_dataset(f"{directory}/train_data")
    shape, num_classes = whole.image_shape, whole.info.num_classes
    chosen = choose_hyperparameters("default", overrides)
    chosen = resolve_for_dataset(chosen, overrides, len(whole.images), shape, num_classes)
    # The same epoch again and again: the end of its schedule must not come.
    chosen = dataclasses.replace(chosen, epochs=1000)
    part = Split(np.array(whole.images[:IMAGES]), np.array(whole.labels[:IMAGES]), whole.info)
    own = contexts("cpu", 0, chosen.batch_size, chosen.cpu_threads)
    trainer = Trainer(part, part.empty(), chosen, 0, own)
    trainer.start_optimizer()
    return lambda: trainer.train_epoch().samples_per_second, trainer


def speed(directory: str) -> dict[str, Any]:
    """Measure the training loop and the GEMM rate in turns."""
    loop, trainer = prepared(directory)
    from kfp_mnist_mxnet.model.layers import describe_layers
    from kfp_mnist_mxnet.runtime.engine import mx

    layers = describe_layers(trainer.network, trainer.training.image_shape)
    flops = sum(layer.flops for layer in layers)
    size = (1024, 1024)
    pairs = [[mx.nd.random.normal(shape=size, ctx=c) for _ in range(2)] for c in trainer.contexts]

    def gemm() -> float:
        mx.nd.waitall()
        started = time.perf_counter()
        for _ in range(10):
            for a, b in pairs:
                mx.nd.FullyConnected(a, b, no_bias=True, num_hidden=1024)
        mx.nd.waitall()
        return 10 * len(pairs) * 2 * 1024**3 / (time.perf_counter() - started)

    samples, gemm_rate = best_of(TURNS, loop, gemm)
    return {"samples_per_s": samples, "gemm": gemm_rate, "share": 3 * flops * samples / gemm_rate}


def loop_without_augmentation(directory: str) -> dict[str, Any]:
    """Measure the training loop without augmentation, and say what it trains."""
    rate, trainer = prepared(directory, augmentation=0.0)
    return {"rate": best_of(TURNS, rate)[0], "chosen": trainer.chosen.to_dict()}


def has_torch(python: str) -> bool:
    """Tell whether a Python has PyTorch."""
    return not subprocess.run([python, "-c", "import torch"], capture_output=True).returncode


def torch_rate(directory: str, settings: str) -> Callable[[], float]:
    """Return a function that trains the same network in PyTorch, in samples per second."""
    import numpy as np
    import torch
    from time_to_accuracy_torch import build, new_optimizer

    from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters

    chosen = Hyperparameters(**json.loads(settings))
    # Without a schedule the highest rate of one is too much.
    chosen = dataclasses.replace(chosen, learning_rate=chosen.learning_rate / 10)
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images, labels = (torch.from_numpy(array) for array in load(directory, "train_data"))
    network = build(chosen, images.shape[1:])
    optimizer, loss = new_optimizer(network, chosen), torch.nn.CrossEntropyLoss()

    def rate() -> float:
        started = time.perf_counter()
        order = np.random.default_rng(0).permutation(IMAGES)
        for start in range(0, IMAGES, chosen.batch_size):
            picked = order[start : start + chosen.batch_size]
            optimizer.zero_grad()
            outputs = network(images[picked].float() / 255)
            loss(outputs, labels[picked].long()).backward()
            optimizer.step()
        return IMAGES / (time.perf_counter() - started)

    return rate


def torch_loop(directory: str, settings: str) -> dict[str, Any]:
    """Measure PyTorch on the same network, batch size and optimizer."""
    return {"rate": best_of(TURNS, torch_rate(directory, settings))[0]}


def versus_torch(directory: str, python: str) -> Any:
    """Return the ratio of our rate to PyTorch's, best of alternating processes; None without."""
    if not has_torch(python):
        return None
    mine, theirs = [], []
    for _ in range(2):
        measured = run_part(sys.executable, "loop", directory)
        mine.append(measured["rate"])
        settings = json.dumps(measured["chosen"])
        theirs.append(run_part(python, "torch", directory, settings)["rate"])
    return max(mine), max(theirs)


def main() -> None:
    """Run the parts that are asked for and print a table, or with --json one object."""
    parser = argparse.ArgumentParser(description="Compare training with the tutorial and PyTorch.")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeatable")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--tutorial-epochs", default="10", metavar="N", help="10 is the tutorial's")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, *arguments = options.run
        functions: dict[str, Callable[..., Any]] = {
            "tutorial": tutorial,
            "ours": ours,
            "speed": speed,
            "loop": loop_without_augmentation,
            "torch": torch_loop,
        }
        print(json.dumps(functions[name](*arguments)))
        return
    parts = options.part or PARTS
    result: dict[str, Any] = dict.fromkeys(
        ("tutorial_seconds", "seconds", "speedup", "accuracy", "samples_per_s", "gemm_share"),
    )
    result["vs_torch"] = None
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = str(ingest_data(pathlib.Path(scratch, "whole"), 1))
        if "tutorial" in parts:
            epochs = run_part(sys.executable, "tutorial", whole, options.tutorial_epochs)["epochs"]
            result["tutorial_seconds"], accuracy = epochs[-1]
            passed = next((s for s, score in epochs if score >= 0.987), None)
            rows.append(
                (f"tutorial, {len(epochs)} epochs", f"{epochs[-1][0]:.1f} s, {accuracy:.4f}")
            )
            if passed:
                rows.append(("tutorial, to 0.987", f"{passed:.1f} s"))
        if "ours" in parts:
            part = str(ingest_data(pathlib.Path(scratch, "part"), SHARE))
            runs = run_part(sys.executable, "ours", part)
            result["seconds"] = statistics.mean(runs["seconds"])
            result["accuracy"] = statistics.mean(runs["accuracy"])
            scores = ", ".join(f"{score:.4f}" for score in runs["accuracy"])
            rows.append(
                (
                    f"ours, {SHARE} of an epoch",
                    f"{result['seconds']:.1f} s, mean {result['accuracy']:.4f} ({scores})",
                )
            )
        if result["seconds"] and result["tutorial_seconds"]:
            result["speedup"] = result["tutorial_seconds"] / result["seconds"]
            rows.append(("speedup", f"{result['speedup']:.1f}"))
            if passed:
                rows.append(("speedup to 0.987", f"{passed / result['seconds']:.1f}"))
        if "speed" in parts:
            measured = run_part(sys.executable, "speed", whole)
            result["samples_per_s"], result["gemm_share"] = (
                measured["samples_per_s"],
                measured["share"],
            )
            rows.append(("samples per second", f"{measured['samples_per_s']:.0f}"))
            rows.append(("GEMM rate", f"{measured['gemm'] / 1e9:.0f} GFLOP/s"))
            rows.append(("share of the GEMM rate", f"{measured['share']:.2f}"))
        if "torch" in parts:
            rates = versus_torch(whole, options.torch_python)
            if rates:
                result["vs_torch"] = rates[0] / rates[1]
                rows.append(
                    (
                        "against PyTorch",
                        f"{result['vs_torch']:.2f} ({rates[0]:.0f} : {rates[1]:.0f})",
                    )
                )
    for name, value in rows:
        print(f"{name:26} {value}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
