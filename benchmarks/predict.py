"""How fast prediction is beside the tutorial's way and PyTorch, and how much memory it takes.

    .venv/bin/python benchmarks/predict.py [--torch-python PATH] [--json]

Each worker predicts the same 10,000 images in a process of its own; they take turns, and the
best of the rounds counts. From uint8 images in memory to probabilities in a NumPy array:

suite     Predictor.probabilities with the default network, batches of 144
tutorial  Module.predict over an NDArrayIter of 100 float images with the network of the MXNet
          tutorial "Handwritten Digit Recognition" (convolutions of 20 and 50 filters, tanh)
torch     the suite's network with its parameters, batches of 1,000, inference mode; its
          probabilities must be the suite's. Skipped where PyTorch is not installed.

Quantizing the network to int8 through oneDNN took 0.43 s of CPU time for 10,000 test images of
MNIST where float32 took 0.60 s, on a CPU with AVX2 and without VNNI. It changed 1 to 5 of their
labels (by the layers left out and the granularity), where 2 may change, and would need calibration
images in every model: it is not used.

bfloat16 through MXNet's own amp.convert_model ran at 0.48 times the images/s of float32 on two
CPUs with AMX and avx512_bf16, as every layer of a network this small is cast to and fro. It
changed 2 of the 10,000 labels: it is not used either.

Networks with fewer FLOPs than the default's, all after two epochs of 54,000 images: mistakes on the
other 6,000, mean of two to seven seeds; images/s of prediction as multiples of the default's, and
of training where that is far slower.

    the default                                                38.6  1
    8 filters in the first convolution                         43    1.45
    48 in the second and 96 in the third                       47    1.29
    3 x 3 in the second                                        54    1.16
    1 x 1 to 8 channels before the second                      42    1.27, trains at 0.56
    the second in two groups                                   42    1.23, trains at 0.45
    the second depthwise, then 1 x 1                           52    2.06
    the same, and three epochs, which take as long             45    1.89

Depthwise layers would pay for who predicts a hundred million images; MNIST's accuracy is what most
look at, so the default keeps the convolution.

Then the component predict runs on image sets of three sizes, and its peak memory is read.
"""

import importlib.util
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from kfp import dsl
from workers import Worker, serve

ROOT = pathlib.Path(__file__).absolute().parent.parent
sys.path.insert(0, str(ROOT))
SHAPE = (1, 28, 28)


def synthetic_images(count: int) -> np.ndarray:
    """Return uint8 images (count, 1, 28, 28) as dark and as bright as those of MNIST."""
    generator = np.random.default_rng(0)
    ink = generator.random((count, *SHAPE)) < 0.19
    return (generator.integers(0, 256, (count, *SHAPE)) * ink).astype(np.uint8)


def write_model(directory: pathlib.Path) -> None:
    """Train the default network for a moment: its speed does not depend on what it learned."""
    from kfp_mnist_mxnet.components.train import train
    from kfp_mnist_mxnet.data.writing import write_dataset

    data = {name: dsl.Dataset(name=name, uri=str(directory / name)) for name in ("some", "none")}
    images, labels = synthetic_images(500), (np.arange(500) % 10).astype(np.uint8)
    write_dataset(directory / "some", images, labels, 10, "made up")
    write_dataset(directory / "none", images[:0], labels[:0], 10, "made up")
    train.python_func(
        train_data=data["some"],
        validation_data=data["none"],
        model=dsl.Model(uri=str(directory / "model")),
        metrics=dsl.Metrics(),
        training_report=dsl.HTML(uri=str(directory / "training_report")),
        epochs=1,
    )


def suite(directory: pathlib.Path) -> Callable[[], Any]:
    """Return the function that predicts all images the suite's way."""
    from kfp_mnist_mxnet.prediction.predictor import Predictor

    images = np.load(directory / "images.npy")
    predictor = Predictor(str(directory / "model"), batch_size=144)
    parameters = predictor.modules[0].get_params()
    np.savez(
        directory / "parameters.npz",
        probabilities=np.concatenate(list(predictor.probabilities(images))),
        **{name: array.asnumpy() for part in parameters for name, array in part.items()},
    )
    return lambda: np.concatenate(list(predictor.probabilities(images)))


def tutorial(directory: pathlib.Path) -> Callable[[], Any]:
    """Return the function that predicts all images the tutorial's way."""
    from kfp_mnist_mxnet.runtime.mxnet_compatibility import importable_mxnet

    with importable_mxnet():
        import mxnet as mx

    x = mx.sym.Variable("data")
    for num_filter in (20, 50):
        x = mx.sym.Convolution(x, kernel=(5, 5), num_filter=num_filter)
        x = mx.sym.Activation(x, act_type="tanh")
        x = mx.sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2))
    x = mx.sym.FullyConnected(mx.sym.flatten(x), num_hidden=500)
    x = mx.sym.FullyConnected(mx.sym.Activation(x, act_type="tanh"), num_hidden=10)
    module = mx.mod.Module(mx.sym.SoftmaxOutput(x, name="softmax"), context=mx.cpu())
    images = np.load(directory / "images.npy").astype(np.float32) / 255
    batches = mx.io.NDArrayIter(images, None, 100)
    module.bind(batches.provide_data, [("softmax_label", (100,))], for_training=False)
    module.init_params(mx.init.Xavier())
    return lambda: module.predict(batches).asnumpy()


def peak_mib(directory: pathlib.Path) -> Callable[[], Any]:
    """Return the function that runs the component on data/ and gives its peak memory in MiB."""
    from kfp_mnist_mxnet.components.predict import predict

    def run() -> dict[str, float]:
        metrics = dsl.Metrics()
        predict.python_func(
            model=dsl.Model(uri=str(directory / "model")),
            data=dsl.Dataset(uri=str(directory / "data")),
            predictions=dsl.Dataset(uri=str(directory / "predictions")),
            metrics=metrics,
            preview=dsl.HTML(uri=str(directory / "preview")),
        )
        # Not ru_maxrss, which counts the parent's memory at the fork.
        status = pathlib.Path("/proc/self/status").read_text()
        peak = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM"))
        return {"peak_mib": peak / 1024, "images_per_s": metrics.metadata["images_per_second"]}

    return run


WORKERS = {"suite": suite, "tutorial": tutorial, "peak_mib": peak_mib}


def work(name: str, directory: pathlib.Path) -> None:
    """Be a worker: run once for each line that comes in, and tell how long it took."""
    run = WORKERS[name](directory)
    if name == "peak_mib":
        serve(run)
    run()

    def turn() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    serve(turn)


def race(directory: pathlib.Path, torch_python: str, rounds: int) -> dict[str, float]:
    """Return worker to images per second, the best of the rounds."""
    images = synthetic_images(10_000)
    np.save(directory / "images.npy", images)
    commands = {
        name: [sys.executable, __file__, "--worker", name, "--directory", str(directory)]
        for name in ("suite", "tutorial")
    }
    if torch_python:
        script = str(ROOT / "benchmarks" / "predict_torch.py")
        commands["torch"] = [torch_python, script, str(directory)]
    workers = {name: Worker(command) for name, command in commands.items()}
    try:
        times = [{name: one.turn() for name, one in workers.items()} for _ in range(rounds)]
    finally:
        for one in workers.values():
            one.stop()
    return {name: len(images) / min(time[name] for time in times) for name in workers}


def measure_memory(directory: pathlib.Path, count: int) -> dict[str, float]:
    """Return peak memory in MiB, and images per second, of predict on images of zeros."""
    from kfp_mnist_mxnet.storage.artifact import write_npy_header

    (directory / "data").mkdir(exist_ok=True)
    path = directory / "data" / "images.npy"
    with open(path, "wb") as file:
        write_npy_header(file, np.uint8, (count, *SHAPE))
        file.truncate(file.tell() + count * 28 * 28)  # a hole: it takes no room on the disk
    worker = Worker(
        [sys.executable, __file__, "--worker", "peak_mib", "--directory", str(directory)]
    )
    try:
        return worker.turn()
    finally:
        worker.stop()


@click.command()
@click.option("--torch-python", default="", help="A Python that has PyTorch. [default: this one]")
@click.option("--rounds", default=7, show_default=True, help="Turns of each worker.")
@click.option("--sizes", default="10000,600000,6000000", show_default=True, help="Image sets.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in the last line.")
@click.option("--worker", type=click.Choice(list(WORKERS)), hidden=True)
@click.option("--directory", type=click.Path(path_type=pathlib.Path), hidden=True)
def main(
    torch_python: str,
    rounds: int,
    sizes: str,
    as_json: bool,
    worker: str,
    directory: pathlib.Path,
) -> None:
    """Measure prediction: images per second beside two other ways, and memory."""
    if worker:
        work(worker, directory)
        return
    if not torch_python and importlib.util.find_spec("torch"):
        torch_python = sys.executable
    counts = [int(size) for size in sizes.split(",") if size]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
        write_model(pathlib.Path(scratch))
        speeds = race(pathlib.Path(scratch), torch_python, rounds)
        for name, speed in speeds.items():
            click.echo(f"{name:>9}  {speed:10,.0f} images/s  {speed / speeds['tutorial']:6.2f}")
        peaks = []
        for count in counts:
            measured = measure_memory(pathlib.Path(scratch), count)
            peaks.append(round(measured["peak_mib"]))
            speed = measured["images_per_s"]
            click.echo(f"{count:>9,} images: {peaks[-1]} MiB at most, {speed:,.0f} images/s")
    if as_json:
        result = {
            "images_per_s": round(speeds["suite"]),
            "vs_tutorial": round(speeds["suite"] / speeds["tutorial"], 2),
            "vs_torch": round(speeds["suite"] / speeds["torch"], 2) if torch_python else None,
            "images": counts,
            "peak_mib": peaks,
        }
        click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
