"""Nodes as processes of this machine."""

import contextlib
import logging
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cluster.outcome import node_error
from kfp_mnist_mxnet.distributed.roles import NODE
from kfp_mnist_mxnet.distributed.watchdog import PEER_LOST
from kfp_mnist_mxnet.training.assignment import Assignment

ROOT = str(pathlib.Path(kfp_mnist_mxnet.__file__).parents[1])
Process = subprocess.Popen[bytes]


class Processes:
    """Runs each node as a process; what the first one logs goes where this process logs."""

    def run(self, assignment: Assignment) -> None:
        """Run the nodes to their end.

        Raises:
            NodeLost: one was killed.
            ValueError, ...: a node's error, as errors.py lists them.
        """
        with tempfile.TemporaryDirectory() as name:
            directory, port = pathlib.Path(name), free_ports()
            processes = [
                self.start(assignment, rank, port, directory)
                for rank in range(assignment.num_nodes)
            ]
            try:
                statuses = wait(processes)
            finally:
                end(processes)
            check(statuses, directory)

    def start(
        self, assignment: Assignment, rank: int, port: int, directory: pathlib.Path
    ) -> Process:
        """Start a node; directory: for its error and, but for the first, its log."""
        variables = {
            "ASSIGNMENT": assignment.to_json(),
            "JOB_COMPLETION_INDEX": str(rank),
            "FIRST_NODE": f"localhost:{port}",
            "ERROR_FILE": str(directory / f"error-{rank}.json"),
            "PYTHONPATH": os.pathsep.join([ROOT, *sys.path]),
        }
        command = [sys.executable, *NODE[1:]]
        with open(directory / f"node-{rank}.log", "wb") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **variables},
                stdout=log if rank else None,
                stderr=subprocess.STDOUT if rank else None,
            )


def wait(processes: list[Process]) -> list[int | None]:
    """Wait until all ended, or one failed; return their statuses, None for one at work."""
    while True:
        statuses = [process.poll() for process in processes]
        if any(statuses) or None not in statuses:
            return statuses
        time.sleep(0.1)


def check(statuses: list[int | None], directory: pathlib.Path) -> None:
    """Check how nodes ended; directory: where one that failed wrote why.

    Raises:
        NodeLost: one was killed.
        ValueError, ...: a node's error, as errors.py lists them.
    """
    failed = [rank for rank, status in enumerate(statuses) if status]
    if not failed:
        return
    # Others end because one did: what that one says counts.
    rank = min(failed, key=lambda rank: statuses[rank] == PEER_LOST)
    said = ""
    with contextlib.suppress(OSError):
        said = (directory / f"error-{rank}.json").read_text(encoding="utf-8")
    log = directory / f"node-{rank}.log"
    if not said and log.is_file():
        lines = log.read_text(errors="replace").splitlines()[-20:]
        logging.info("The log of node %d ends:\n%s", rank + 1, "\n".join(lines))
    raise node_error(said, f"node {rank + 1} of {len(statuses)} ended with {statuses[rank]}")


def end(processes: list[Process]) -> None:
    """End the processes that still run."""
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()


def free_ports() -> int:
    """Return a port of this machine that is free, with the next one.

    Both are below those that systems give to outgoing connections (Linux: from 32768), one of which
    could take a port before the node does.
    """
    while True:
        port = 16384 + secrets.randbelow(16383)
        with contextlib.suppress(OSError):
            for each in (port, port + 1):
                socket.create_server(("", each)).close()
            return port
