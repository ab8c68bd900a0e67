"""Where training's time goes: MXNet's profiler over the default recipe, by operator.

    python benchmarks/operators.py

On one CPU with one thread, and on two with two, each in a process of its own: microseconds of CPU
an image that each kind of operator takes, and what convolutions and dense layers reach of the rate
of matrix multiplication (FullyConnected, 1024 x 1024). What is left is Python's, the engine's, and
waiting: the CPUs' time an image less that of all operators.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from train import IMAGES, TURNS, best_of, ingest_data, prepared

CPUS = (1, 2)
OTHERS = 0.5  # microseconds: an operator that takes less has no row of its own


def profile(directory: str) -> dict[str, Any]:
    """Return the microseconds an image of each operator and of all, and the FLOPs of some."""
    cpus = len(os.sched_getaffinity(0))
    loop, trainer = prepared(directory, cpu_threads=cpus)  # MXNet's profiler knows no more
    from kfp_mnist_mxnet.model.layers import describe_layers
    from kfp_mnist_mxnet.runtime.engine import mx

    a, b = (mx.nd.random.normal(shape=(1024, 1024)) for _ in range(2))

    def gemm() -> float:
        mx.nd.waitall()
        started = time.perf_counter()
        for _ in range(10):
            mx.nd.FullyConnected(a, b, no_bias=True, num_hidden=1024)
        mx.nd.waitall()
        return 10 * 2 * 1024**3 / (time.perf_counter() - started)

    _, gemm_rate = best_of(TURNS, loop, gemm)
    mx.profiler.set_config(
        profile_symbolic=True,
        profile_imperative=True,
        aggregate_stats=True,
        filename=f"{directory}/profile.json",
    )
    mx.profiler.set_state("run")
    rate = loop()
    mx.profiler.set_state("stop")
    found = json.loads(mx.profiler.dumps(format="json"))["Time"]["operator"]
    layers = describe_layers(trainer.network, trainer.training.image_shape)
    flops = {
        kind: sum(layer.flops for layer in layers if layer.operator == kind)
        for kind in ("Convolution", "FullyConnected")
    }
    backward = {f"_backward_{kind}": 2 * count for kind, count in flops.items()}
    backward["_backward_Convolution"] -= layers[0].flops  # no gradient of the images
    return {
        "operators": {
            name: row["Total"] * 1000 / IMAGES
            for name, row in found.items()
            if name != "WaitForVar"
        },
        "image": cpus * 1e6 / rate,
        "flops": {**flops, **backward},
        "gemm": gemm_rate,
    }


def run_on(cpus: int, directory: pathlib.Path) -> dict[str, Any]:
    """Profile in a process with some of this one's CPUs."""
    own = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cpus]))
    command = ["taskset", "--cpu-list", own, sys.executable, __file__, str(directory)]
    apart = {**os.environ, "MXNET_EXEC_BULK_EXEC_TRAIN": "0"}  # else MXNet joins operators
    done = subprocess.run(command, env=apart, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_table(found: list[dict[str, Any]]) -> None:
    """Print a row for each operator, a pair of columns for each number of CPUs."""
    print("| operator | " + " | ".join(f"us an image, {cpus} CPU | GEMM" for cpus in CPUS) + " |")
    print("|---|" + "---|---|" * len(CPUS))
    operators = found[0]["operators"]
    rows = [
        name
        for name in sorted(operators, key=operators.get, reverse=True)
        if operators[name] > OTHERS
    ]
    for name in rows:
        cells = []
        for part in found:
            spent = part["operators"].get(name, 0.0)
            flops = part["flops"].get(name)
            share = f"{flops / (spent / 1e6) / part['gemm']:.2f}" if flops else ""
            cells.append(f"{spent:.1f} | {share}")
        print(f"| {name} | {' | '.join(cells)} |")
    for title, value in (
        (
            "other operators",
            lambda part: sum(t for n, t in part["operators"].items() if n not in rows),
        ),
        ("Python, engine, waiting", lambda part: part["image"] - sum(part["operators"].values())),
        ("all", lambda part: part["image"]),
    ):
        print(f"| {title} | {' | '.join(f'{value(part):.1f} |' for part in found)} |")


def main() -> None:
    """Run everything and print."""
    if len(sys.argv) > 1:
        print(json.dumps(profile(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as scratch:
        directory = ingest_data(pathlib.Path(scratch, "data"), 1.0)
        print_table([run_on(cpus, directory) for cpus in CPUS])


if __name__ == "__main__":
    main()
