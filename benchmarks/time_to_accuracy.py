"""Seconds of training to a test accuracy on MNIST: the suite's recipes and PyTorch.

    .venv/bin/python benchmarks/time_to_accuracy.py [--program NAME ...] [--torch-python PATH]
                                                    [--seeds N] [--picture PATH] [--json]

Each point is a number of epochs, a mean over the seeds; workers take turns, in a process for
each seed. All train on the same 60,000 images, or a part of them for less than an epoch, with the
same network, batches, schedule and warps:

default   the component with the recipe `default`
best      the component with the recipe `best`
torch     the network of `default` in PyTorch as it comes, with a thread for each CPU
tuned     the same with channels last and torch.compile, without the time that it takes to compile
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

from train import ROOT, has_torch, ingest_data, train_and_score

GOALS = (0.99, 0.993, 0.995, 0.997)
SHARES = (0.25, 0.5, 1.0)  # of the images, for one epoch
EPOCHS: dict[str, tuple[float, ...]] = {
    "default": (0.25, 0.5, 1, 2, 4, 8),
    "best": (16,),
    "torch": (0.25, 0.5, 1, 2, 4, 8),
    "tuned": (2, 8),
}


class Point(NamedTuple):
    """Mean seconds and mean test accuracy of a worker after so many epochs."""

    worker: str
    epochs: float
    seconds: float
    accuracy: float


def prepare(directory: str) -> None:
    """Write what PyTorch takes from the suite: the basis of the warps."""
    import numpy as np

    from kfp_mnist_mxnet.model.recipes import RECIPES
    from kfp_mnist_mxnet.training.augmentation import warp_basis

    basis, _ = warp_basis(28, 28, RECIPES["default"].augmentation)
    np.save(pathlib.Path(directory, "basis.npy"), basis)


def settings_of(recipe: str, epochs: int) -> str:
    """Return the hyperparameters of a recipe for so many epochs and ten classes, as JSON."""
    from kfp_mnist_mxnet.model.recipes import choose_hyperparameters, resolve_for_dataset

    own = {"epochs": epochs}
    chosen = resolve_for_dataset(choose_hyperparameters(recipe, own), own, 60_000, (1, 28, 28), 10)
    return json.dumps(chosen.to_dict())


def run_once(scratch: pathlib.Path, worker: str, part: float, seed: int, torch: str) -> Any:
    """Train a worker in a process of its own; return seconds and test accuracy.

    part: how many epochs; less than one is one on such a share of the images.
    """
    directory, epochs = str(scratch / f"{min(part, 1.0):g}"), max(1, int(part))
    if worker in ("torch", "tuned"):
        form = "plain" if worker == "torch" else "tuned"
        script = str(pathlib.Path(__file__).with_name("time_to_accuracy_torch.py"))
        command = [torch, script, directory, settings_of("default", epochs), str(seed), form]
    else:
        command = [sys.executable, __file__, "--run", directory, worker, str(epochs), str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def measure(scratch: pathlib.Path, torch: str, seeds: int, workers: list[str]) -> list[Point]:
    """Return the points of all workers; they take turns."""
    plan = [(name, epochs) for name in workers for epochs in EPOCHS[name]]
    runs: dict[tuple[str, float], list[dict[str, float]]] = {point: [] for point in plan}
    for seed in range(seeds):
        for name, epochs in plan:
            runs[name, epochs].append(run_once(scratch, name, epochs, seed, torch))
            print(name, epochs, "epochs, seed", seed, runs[name, epochs][-1], file=sys.stderr)
    return [
        Point(
            name,
            epochs,
            statistics.mean(run["seconds"] for run in values),
            statistics.mean(run["accuracy"] for run in values),
        )
        for (name, epochs), values in runs.items()
    ]


def seconds_to(goal: float, points: list[Point], worker: str) -> str:
    """Return the seconds of a worker's fastest point that reaches an accuracy, a dash if none.

    The recipes of the suite count as one worker, `suite`.
    """
    names = ("default", "best") if worker == "suite" else (worker,)
    reached = [p.seconds for p in points if p.worker in names and p.accuracy >= goal]
    return f"{min(reached):.1f}" if reached else "-"


def draw(points: list[Point], path: pathlib.Path) -> None:
    """Draw mistakes against seconds, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    labels = {
        "default": "this suite, default",
        "best": "this suite, best",
        "torch": "PyTorch, same network",
        "tuned": "PyTorch, compiled, channels last",
    }
    for name, label in labels.items():
        own = sorted(p for p in points if p.worker == name)
        if own:
            seconds, mistakes = zip(
                *((p.seconds, 100 * (1 - p.accuracy)) for p in own), strict=True
            )
            axes.plot(seconds, mistakes, marker="o", label=label)
        for point in own:
            place = (point.seconds, 100 * (1 - point.accuracy))
            axes.annotate(
                f"{point.epochs:g}", place, (4, 5), textcoords="offset points", fontsize=8
            )
    axes.set(xscale="log", yscale="log", xlabel="seconds of training, for so many epochs")
    axes.margins(0.08)
    axes.set_ylabel("mistakes on the test images, %")
    ticks = [0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    seconds_ticks = [2, 5, 10, 20, 50, 100, 200, 500]
    axes.set_xticks(seconds_ticks, map(str, seconds_ticks))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure all and print a table, or with --json one object too."""
    parser = argparse.ArgumentParser(description="Seconds to an accuracy, beside PyTorch.")
    parser.add_argument(
        "--program", action="append", choices=list(EPOCHS), help="only this; repeatable"
    )
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each point; default 5")
    parser.add_argument("--picture", type=pathlib.Path, help="draw the curves here (PNG or SVG)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        directory, recipe, epochs, seed = options.run
        parameters = {"recipe": recipe, "epochs": int(epochs), "seed": int(seed)}
        print(json.dumps(train_and_score(directory, **parameters)))
        return
    torch_is_there = has_torch(options.torch_python)
    asked = options.program or list(EPOCHS)
    workers = [n for n in asked if torch_is_there or n in ("default", "best")]
    with tempfile.TemporaryDirectory() as scratch:
        for share in SHARES:
            prepare(str(ingest_data(pathlib.Path(scratch, f"{share:g}"), share)))
        points = measure(pathlib.Path(scratch), options.torch_python, options.seeds, workers)
    for point in points:
        print(f"{point.worker:8} {point.epochs:4g} epochs {point.seconds:7.1f} s", end="  ")
        print(f"{point.accuracy:.4f}")
    print(f"{'seconds to':12}" + "".join(f"{goal:>8}" for goal in GOALS))
    for name in ("suite", *(n for n in workers if n in ("torch", "tuned"))):
        print(f"{name:12}" + "".join(f"{seconds_to(g, points, name):>8}" for g in GOALS))
    if options.picture:
        draw(points, options.picture)
    if options.json:
        print(json.dumps([point._asdict() for point in points]))


if __name__ == "__main__":
    main()
