"""The step that has nodes train, and takes over what they made. It needs no MXNet."""

import contextlib
import dataclasses
import json
import logging
import pathlib
import shutil
import tempfile
import uuid
from typing import Protocol

from kfp_mnist_mxnet.cluster.api import Cluster, in_cluster
from kfp_mnist_mxnet.cluster.job import poll
from kfp_mnist_mxnet.data.remote import Data, address_of
from kfp_mnist_mxnet.distributed.options import Options
from kfp_mnist_mxnet.distributed.pods import Pods
from kfp_mnist_mxnet.distributed.processes import Processes
from kfp_mnist_mxnet.errors import InvalidInput, NodeLost, Unavailable
from kfp_mnist_mxnet.storage.address import OBJECT_STORES, Address
from kfp_mnist_mxnet.storage.archive import unpack
from kfp_mnist_mxnet.storage.staging import Artifact, staged
from kfp_mnist_mxnet.storage.store import open_store
from kfp_mnist_mxnet.training.assignment import RESULT, Assignment
from kfp_mnist_mxnet.training.request import CHECKPOINT, Request

RESTARTS = 3  # of all nodes after one was lost


class Engine(Protocol):
    """What runs the nodes of a training."""

    def run(self, assignment: Assignment) -> None:
        """Run the nodes to their end.

        Raises:
            NodeLost: one ended without saying why.
            ValueError, ...: a node's error, as errors.py lists them.
        """


def train_on_nodes(
    engine: Engine,
    assignment: Assignment,
    model: Artifact,
    training_report: Artifact,
) -> dict[str, float]:
    """Train on nodes, write the model and the report, and return the metrics.

    After the loss of a node, or of the store, all start again from the checkpoint: from the one
    that the request names, else from one beside the result.

    Raises:
        InvalidInput: a parameter, the data or the checkpoint is refused.
        Diverged: the loss, a parameter or an output became NaN or infinite.
        NodeLost: a node was lost, again after RESTARTS restarts.
    """
    request, working_uri = assignment.request, assignment.working_uri
    store = open_store(working_uri, request.s3_endpoint, "the artifact store's address")
    if not request.checkpoint_uri:
        request = dataclasses.replace(request, checkpoint_uri=working_uri)
    for restart in range(RESTARTS + 1):
        attempt = dataclasses.replace(assignment, request=request, attempt=uuid.uuid4().hex)
        try:
            engine.run(attempt)
            break
        except (NodeLost, Unavailable) as error:
            if restart == RESTARTS:
                raise
            logging.warning("%s: all nodes start again from the last checkpoint", error)
    content = next(poll(lambda: store.read(RESULT)))
    if content is None:
        raise NodeLost(f"the nodes ended, but {store.locate(RESULT)} is not there")
    with tempfile.TemporaryDirectory() as name, staged(model, training_report) as places:
        unpack(content, pathlib.Path(name))
        for made, place in zip(("model", "training_report.html"), places, strict=True):
            shutil.move(pathlib.Path(name, made), place)
        metrics = json.loads(pathlib.Path(name, "metrics.json").read_text())
    for file in (RESULT, CHECKPOINT):
        with contextlib.suppress(OSError, ValueError):  # what is left over does no harm
            store.remove(file)
    return dict(metrics)


def choose_engine(options: Options, output_uri: str) -> Engine:
    """Return what runs the nodes: pods, or processes where this step runs in no cluster.

    output_uri: of the step, which is a path where a notebook in a cluster runs it locally.
    """
    if in_cluster() and Address.parse(output_uri).scheme not in ("", "file"):
        return Pods(Cluster(), options, output_uri)
    logging.info("This is no step on a cluster: the nodes are processes of this machine")
    return Processes()


def launch(
    request: Request,
    options: Options,
    train_data: Data,
    validation_data: Data,
    model: Data,
    training_report: Artifact,
) -> dict[str, float]:
    """Train on nodes, write the model and the report, and return the metrics.

    Raises:
        InvalidInput: a parameter, the data or the checkpoint is refused.
        Diverged: the loss, a parameter or an output became NaN or infinite.
        NodeLost: a node was lost, again after RESTARTS restarts.
    """
    request.check()
    engine = choose_engine(options, model.uri)
    near = isinstance(engine, Processes)
    given = Address.parse(request.checkpoint_uri)
    if not near and options.engine == "job" and given.text and given.scheme not in OBJECT_STORES:
        raise InvalidInput(
            f"checkpoint_uri is {given.shown!r}, which the pods that train do not share: choose "
            "s3:// or minio://, or leave it empty"
        )
    with tempfile.TemporaryDirectory() as directory:
        assignment = Assignment(
            request,
            train_data=train_data.path if near else address_of(train_data),
            validation_data=validation_data.path if near else address_of(validation_data),
            working_uri=directory if near else f"{model.uri.rpartition('/')[0]}/nodes",
            num_nodes=options.num_nodes,
        )
        return train_on_nodes(engine, assignment, model, training_report)
