"""A Module whose contexts are spread over nodes."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from kfp_mnist_mxnet.distributed.nodes import Nodes
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training.module import TrainingModule


class DistributedModule(TrainingModule):
    """A Module that trains on one node's part of each batch, and updates with all nodes' gradients.

    Every node adds up what all contexts have, in their order, as one node with all contexts does:
    so the parameters are the same. nodes: of the training; the others are MXNet's.
    """

    def __init__(self, nodes: Nodes, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.nodes = nodes

    def forward(self, data_batch: mx.io.DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of this node's part of a batch.

        All contexts of the CPU draw what dropout drops from one generator, one after the other. So
        it also draws, in turn, what the contexts of other nodes do.
        """
        own = len(self._context)
        self.draw(own * self.nodes.rank)
        super().forward(data_batch, is_train)
        self.draw(own * (self.nodes.count - self.nodes.rank - 1))

    def draw(self, contexts: int) -> None:
        """Draw the random numbers of a number of contexts, and do nothing with them."""
        if self._context[0].device_type == "cpu":
            for shape in self.dropout_shapes * contexts:
                mx.nd.Dropout(mx.nd.zeros(shape), mode="always")

    @functools.cached_property
    def dropout_shapes(self) -> list[tuple[int, ...]]:
        """The shape of what each dropout of the network gets in one context."""
        internals = self.symbol.get_internals()
        names = [
            node["name"]
            for node in json.loads(self.symbol.tojson())["nodes"]
            if node["op"] == "Dropout"
        ]
        shape = self.data_shapes[0].shape
        _, shapes, _ = internals.infer_shape(data=(shape[0] // len(self._context), *shape[1:]))
        found = dict(zip(internals.list_outputs(), shapes, strict=True))
        return [found[f"{name}_output"] for name in names]

    def update(self) -> None:
        """Update the parameters with the gradients of all nodes, and learn their outputs."""
        own = super().get_outputs(merge_multi_context=False)[0]
        rows = self.gather(
            [
                mx.nd.concat(gradients, output.reshape((-1,)), dim=0)
                for gradients, output in zip(self.gradients, own, strict=True)
            ]
        )
        outputs = [row[self.packing.size :].reshape(own[0].shape) for row in rows]
        self.outputs = mx.nd.concat(*outputs, dim=0)
        self.apply([row[: self.packing.size] for row in rows])

    def gather(self, rows: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """Return what the contexts of all nodes have; rows: of this node's, float32 (K,)."""
        return super().gather(self.nodes.gather(rows))

    def get_outputs(self, merge_multi_context: bool = True) -> list[mx.nd.NDArray]:
        """Return the outputs of all nodes for the last batch, in its order."""
        return [self.outputs]
