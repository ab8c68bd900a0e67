"""One node of a training.

It reads from the environment ASSIGNMENT (JSON), JOB_COMPLETION_INDEX (the number of the node, from
0), FIRST_NODE (host:port of the first one) and ERROR_FILE, where it writes why it fails. Every node
does the same; what the first one writes is the result.
"""

import contextlib
import functools
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator

from kfp_mnist_mxnet.data.dataset import Split
from kfp_mnist_mxnet.data.remote import local_copy
from kfp_mnist_mxnet.distributed.nodes import Nodes
from kfp_mnist_mxnet.distributed.roles import PARAMETER_SERVER
from kfp_mnist_mxnet.distributed.trainer import DistributedTrainer, own_contexts
from kfp_mnist_mxnet.distributed.watchdog import Watchdog
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.storage.archive import pack
from kfp_mnist_mxnet.storage.store import open_store
from kfp_mnist_mxnet.training.assignment import RESULT, Assignment
from kfp_mnist_mxnet.training.request import Request
from kfp_mnist_mxnet.training.session import train_and_save

SERVER_LOST = 74  # exit status of a node whose process of the parameter server failed; EX_IOERR


def main() -> None:
    """Train as the environment says."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    assignment = Assignment.from_json(os.environ["ASSIGNMENT"])
    rank = int(os.environ["JOB_COMPLETION_INDEX"])
    with tempfile.TemporaryDirectory() as directory:
        work(assignment, rank, pathlib.Path(directory))


def work(assignment: Assignment, rank: int, directory: pathlib.Path) -> None:
    """Fetch the data, train together with the other nodes, hand over the result."""
    request = assignment.request
    fetched = functools.partial(local_copy, endpoint=request.s3_endpoint)
    train = fetched(assignment.train_data, directory / "train_data")
    validation = fetched(assignment.validation_data, directory / "validation_data")
    result = directory / "result"
    model = types.SimpleNamespace(path=str(result / "model"))
    report = types.SimpleNamespace(path=str(result / "training_report.html"))
    with joined(assignment, rank) as nodes:
        metrics = train_and_save(
            request, train, validation, model, report, functools.partial(make_trainer, nodes)
        )
    if rank == 0:
        (result / "metrics.json").write_text(json.dumps(metrics))
        store = open_store(assignment.working_uri, request.s3_endpoint, "the working directory")
        store.write(RESULT, pack(result))


def make_trainer(
    nodes: Nodes, data: Split, validation: Split, chosen: Hyperparameters, request: Request
) -> DistributedTrainer:
    """Return the trainer of this node."""
    contexts = own_contexts(request.device, chosen, nodes)
    return DistributedTrainer(data, validation, chosen, request.seed, contexts, nodes)


@contextlib.contextmanager
def joined(assignment: Assignment, rank: int) -> Iterator[Nodes]:
    """Join the other nodes once all are there: a with block in which they can talk.

    Each node has a server, which adds up its share of what the nodes push; the first one has the
    scheduler, by which they find each other.
    """
    first = os.environ["FIRST_NODE"]
    count = assignment.num_nodes
    with Watchdog(rank, count, first, assignment.attempt) as watchdog:
        own, root = watchdog.addresses
        os.environ.update(
            DMLC_ROLE="worker",
            DMLC_NUM_WORKER=str(count),
            DMLC_NUM_SERVER=str(count),
            DMLC_NODE_HOST=own,
            DMLC_PS_ROOT_URI=root,
            DMLC_PS_ROOT_PORT=str(watchdog.port + 1),
        )
        roles = ["server"] if rank else ["scheduler", "server"]
        processes = [start_parameter_server(role) for role in roles]
        nodes = Nodes(rank, count, mx.kv.create("dist_sync"))
        yield nodes
        nodes.close()
        for process in processes:
            process.wait()


def start_parameter_server(role: str) -> subprocess.Popen[bytes]:
    """Start a process of MXNet's parameter server; role: scheduler or server."""
    command = [sys.executable, *PARAMETER_SERVER]
    process = subprocess.Popen(command, env={**os.environ, "DMLC_ROLE": role})

    def watch() -> None:
        if status := process.wait():
            logging.error("The %s of the parameter server ended with %d", role, status)
            os._exit(SERVER_LOST)

    threading.Thread(target=watch, daemon=True).start()
    return process
