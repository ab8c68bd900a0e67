"""What training, evaluation and prediction lose where others want the CPUs too.

    .venv/bin/python benchmarks/cpu_contention.py [--torch-python PATH] [--rounds N] [--json]

Workers, each a process that waits while another one is measured; images in a second:

train     the component's training loop with the default recipe
evaluate  the component on the 10,000 test images, as its metrics say
predict   the component on the 10,000 test images, as its metrics say
tutorial  the tutorial's training, Module.fit with MXNet's own choice of threads
torch     the network, batch size and optimizer of train in PyTorch; left out where there is none

Competing processes that only count: none; one; one for each CPU; one for each CPU that counts for
half of every 100 ms. The table has images in a second without them, and how many times as long each
takes beside them: medians of the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from train import ROOT, has_torch, ingest_data, prepared, torch_rate, tutorial_rate
from workers import Worker, serve

BUSY = "while True: pass"
BURSTS = """
import time
while True:
    stop = time.perf_counter() + 0.05
    while time.perf_counter() < stop: pass
    time.sleep(0.05)
"""


def competing_programs(cpus: int) -> dict[str, list[str]]:
    """Return the programs that compete for the CPUs, by what they are called."""
    return {
        "alone": [],
        "one busy": [BUSY],
        "one a CPU": [BUSY] * cpus,
        "bursts": [BURSTS] * cpus,
    }


def component_rate(component: Any, directory: str) -> Callable[[], float]:
    """Return a function that runs evaluate or predict on the test images, in images/s."""
    from kfp import dsl

    kinds = {"Metrics": dsl.Metrics, "HTML": dsl.HTML, "Dataset": dsl.Dataset}
    kinds["ClassificationMetrics"] = dsl.ClassificationMetrics
    inputs = {
        "model": dsl.Model(uri=f"{directory}/model"),
        "data": dsl.Dataset(uri=f"{directory}/test_data"),
    }

    def rate() -> float:
        with tempfile.TemporaryDirectory() as scratch:
            made = {
                name: kinds[spec.type.partition("@")[0].partition(".")[2]](uri=f"{scratch}/{name}")
                for name, spec in component.component_spec.outputs.items()
                if "@" in spec.type
            }
            component.python_func(**inputs, **made)
        return made["metrics"].metadata["images_per_second"]

    return rate


def evaluate_rate(directory: str) -> Callable[[], float]:
    """Return a function that runs evaluate."""
    from kfp_mnist_mxnet.components.evaluate import evaluate

    return component_rate(evaluate, directory)


def predict_rate(directory: str) -> Callable[[], float]:
    """Return a function that runs predict."""
    from kfp_mnist_mxnet.components.predict import predict

    return component_rate(predict, directory)


def train_model(directory: str) -> str:
    """Train a model for evaluate and predict, and return its hyperparameters as JSON."""
    from kfp import dsl

    from kfp_mnist_mxnet.components.train import train

    train.python_func(
        train_data=dsl.Dataset(uri=f"{directory}/test_data"),
        validation_data=dsl.Dataset(),
        model=dsl.Model(uri=f"{directory}/model"),
        metrics=dsl.Metrics(),
        training_report=dsl.HTML(uri=f"{directory}/report"),
        epochs=1,
    )
    about = json.loads(pathlib.Path(directory, "model", "model.json").read_text())
    return json.dumps(
        {k: v for k, v in about["hyperparameters"].items() if k not in ("recipe", "seed")}
    )


WORKERS: dict[str, Callable[..., Callable[[], float]]] = {
    "train": lambda directory: prepared(directory)[0],
    "evaluate": evaluate_rate,
    "predict": predict_rate,
    "tutorial": tutorial_rate,
    "torch": torch_rate,
}


def race(directory: str, torch_python: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return worker and competing processes to images in a second: the median of the rounds."""
    settings = train_model(directory)
    commands = {
        name: [sys.executable, __file__, "--worker", name, directory]
        for name in WORKERS
        if name != "torch"
    }
    if has_torch(torch_python):
        commands["torch"] = [torch_python, __file__, "--worker", "torch", directory, settings]
    workers = {name: Worker(command) for name, command in commands.items()}
    cpus = len(os.sched_getaffinity(0))
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in workers}
    try:
        for _ in range(rounds + 1):  # the first warms up
            for place, programs in competing_programs(cpus).items():
                busy = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
                for name, worker in workers.items():
                    rates[name].setdefault(place, []).append(worker.turn())
                for process in busy:
                    process.kill()
                    process.wait()
    finally:
        for worker in workers.values():
            worker.stop()
    return {
        name: {place: statistics.median(values[1:]) for place, values in places.items()}
        for name, places in rates.items()
    }


def main() -> None:
    """Measure all beside all and print a table, or with --json one object too."""
    parser = argparse.ArgumentParser(
        description="Measure what processes that compete for the CPUs cost."
    )
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each; default 5")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.worker:
        name, *arguments = options.worker
        serve(WORKERS[name](*arguments))
        return
    with tempfile.TemporaryDirectory() as scratch:
        directory = str(ingest_data(pathlib.Path(scratch, "data"), 1))
        rates = race(directory, options.torch_python, options.rounds)
    places = list(competing_programs(1))
    print(f"{'':9} {'images/s':>9} " + " ".join(f"{place:>9}" for place in places[1:]))
    for name, values in rates.items():
        times = " ".join(f"{values['alone'] / values[place]:9.2f}" for place in places[1:])
        print(f"{name:9} {values['alone']:9,.0f} {times}")
    if options.json:
        print(json.dumps(rates))


if __name__ == "__main__":
    main()
