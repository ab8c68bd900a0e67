"""What nodes cost and gain: train_distributed on one node and on two, with a CPU each.

    .venv/bin/python benchmarks/distributed.py [--rounds N] [--picture FILE]

Each network trains for one epoch on the test images of MNIST, on one node and on two, whose
processes speak over this machine's loopback. From the seconds an update follows what the nodes
spend besides their own share of the work: the copies, the sums and the parameter server. With the
bytes that an update sends, the model says what a network link would add:

    seconds on N nodes = seconds on one / N + overhead + 32 P (N - 1) / N / bandwidth

P: parameters. A node pushes and pulls rows of float32 for four contexts, 2 x 16 P bytes, of which
the share (N - 1) / N goes to other nodes; links are taken to send and receive at once. --picture
draws the ratio for two and four nodes over the batch size.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
from collections.abc import Mapping
from typing import Any

from train import ingest_data

from kfp_mnist_mxnet.distributed import launch
from kfp_mnist_mxnet.distributed.processes import Process, Processes
from kfp_mnist_mxnet.model.hyperparameters import UNSET
from kfp_mnist_mxnet.training.assignment import Assignment
from kfp_mnist_mxnet.training.request import Request

NETWORKS: dict[str, dict[str, Any]] = {
    "default, batch 128": {"batch_size": 128},
    "default, batch 512": {"batch_size": 512},
    "best, batch 128": {"recipe": "best", "batch_size": 128},
    "wide, batch 512": {"filters": [64, 128, 256], "kernels": [5, 3, 3], "batch_size": 512},
}
LINKS = {"1 Gb/s": 1e9 / 8, "10 Gb/s": 10e9 / 8, "100 Gb/s": 100e9 / 8}  # bytes a second


class Pinned(Processes):
    """Nodes as processes with a CPU each."""

    def start(self, assignment: Assignment, rank: int, *rest: Any) -> Process:
        """Start a node on a CPU of its own."""
        process = super().start(assignment, rank, *rest)
        os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[rank]})
        return process


def measure(directory: pathlib.Path, chosen: Mapping[str, Any], nodes: int) -> dict[str, float]:
    """Return seconds an update, and the number of parameters."""
    values = {**UNSET, "epochs": 1, **chosen}
    recipe = values.pop("recipe", "default")
    request = Request(recipe, values, {}, 0, "cpu", False, "", "")
    data = str(directory / "test_data")
    with tempfile.TemporaryDirectory() as scratch:
        model, report = (Artifact(f"{scratch}/{name}") for name in ("model", "report"))
        assignment = Assignment(request, data, "", f"{scratch}/work", nodes)
        metrics = launch.train_on_nodes(Pinned(), assignment, model, report)
    updates = -(-10_000 // values["batch_size"])
    return {"seconds": metrics["seconds"] / updates, "parameters": metrics["parameters"]}


class Artifact:
    """An output."""

    def __init__(self, path: str) -> None:
        self.path = path


def seconds_on(nodes: int, one: float, overhead: float, parameters: float, link: float) -> float:
    """Return the seconds of an update on nodes, as the model has it; link: bytes a second."""
    return one / nodes + overhead + 32 * parameters * (nodes - 1) / nodes / link


def draw(found: Mapping[str, Mapping[str, float]], path: str) -> None:
    """Draw how many times as fast nodes are as one, over the batch size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    batches = [2**i for i in range(7, 14)]
    for panel, nodes in zip(panels, (2, 4), strict=True):
        for (name, link), style in zip(LINKS.items(), ("-", "--", ":"), strict=True):
            for network, colour in (("default, batch 128", "C0"), ("best, batch 128", "C1")):
                values = found[network]
                ratios = [
                    values["one"]
                    * batch
                    / 128
                    / seconds_on(
                        nodes,
                        values["one"] * batch / 128,
                        values["overhead"],
                        values["parameters"],
                        link,
                    )
                    for batch in batches
                ]
                label = f"{network.partition(',')[0]}, {name}"
                panel.plot(batches, ratios, style, color=colour, label=label)
        panel.axhline(1, color="0.6", linewidth=0.8)
        panel.set(title=f"{nodes} nodes", xlabel="batch size", xscale="log")
        panel.set_xticks(batches, [f"{batch:,}" for batch in batches], minor=False)
        panel.minorticks_off()
    panels[0].set_ylabel("times as fast as one node")
    panels[1].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def show(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print what was measured, and what the model says of links."""
    head = ("parameters", "ms, 1 node", "2 nodes", "ratio", "overhead", *LINKS)
    print(f"{'':20}" + "".join(f"{word:>11}" for word in head))
    for name, values in found.items():
        one, overhead, parameters = (values[key] for key in ("one", "overhead", "parameters"))
        over = [one / seconds_on(2, one, overhead, parameters, link) for link in LINKS.values()]
        print(
            f"{name:20}{parameters:11,.0f}{1e3 * one:11.1f}{1e3 * values['two']:11.1f}"
            f"{one / values['two']:11.2f}{1e3 * overhead:11.1f}"
            + "".join(f"{ratio:11.2f}" for ratio in over)
        )


def main() -> None:
    """Measure, print a table and what the model says, draw the picture."""
    parser = argparse.ArgumentParser(description="Measure training on one node and on two.")
    parser.add_argument("--rounds", type=int, default=3, help="times each; default 3")
    parser.add_argument("--picture", help="file that the picture goes to")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("two CPUs are needed, one for each node")
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        directory = ingest_data(pathlib.Path(scratch, "data"), 1)
        for name, chosen in NETWORKS.items():
            rounds = [
                [measure(directory, chosen, nodes) for nodes in (1, 2)]
                for _ in range(options.rounds)
            ]
            one, two = (statistics.median(each[i]["seconds"] for each in rounds) for i in (0, 1))
            parameters = rounds[0][0]["parameters"]
            overhead = max(0.0, two - one / 2)
            found[name] = {"one": one, "two": two, "overhead": overhead, "parameters": parameters}
    show(found)
    if options.picture:
        draw(found, options.picture)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
