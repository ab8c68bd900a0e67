"""A Module whose contexts are spread over nodes."""

import functools
import itertools
import json
import math
import operator
from collections.abc import Sequence
from typing import Any

from kfp_mnist_mxnet.distributed.nodes import Nodes
from kfp_mnist_mxnet.runtime.engine import mx


class DistributedModule(mx.mod.Module):
    """A Module that trains on one node's part of each batch, and updates with all nodes' gradients.

    Sums are made in the order in which one node with all contexts makes them, so that the
    parameters are the same. nodes: of the training; the others are MXNet's.
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
        """Update the parameters with the gradients of all nodes."""
        self._params_dirty = True
        group = self._exec_group
        own = super().get_outputs(merge_multi_context=False)[0]
        rows = self.nodes.gather(
            [
                flat([*(arrays[i] for arrays in group.grad_arrays), output])
                for i, output in enumerate(own)
            ]
        )
        last = [row[-own[0].size :].reshape(own[0].shape) for row in rows]
        self.outputs = mx.nd.concat(*last, dim=0)
        gradients = parts(sum_like_kvstore(rows), [arrays[0].shape for arrays in group.grad_arrays])
        for name, gradient, arrays in zip(
            group.param_names, gradients, group.param_arrays, strict=True
        ):
            self._kvstore.push(name, gradient)
            self._kvstore.pull(name, out=arrays)

    def get_outputs(self, merge_multi_context: bool = True) -> list[mx.nd.NDArray]:
        """Return the outputs of all nodes for the last batch, in its order."""
        return [self.outputs]

    def _sync_params_from_devices(self) -> None:
        """Take the parameters from the contexts as MXNet does: the mean of those of all."""
        group = self._exec_group
        copies = len(self._context) * self.nodes.count
        for name, arrays in zip(group.param_names, group.param_arrays, strict=True):
            self._arg_params[name][:] = mean([arrays[0]] * copies)
        if group.aux_names:
            own = [[arrays[i] for arrays in group.aux_arrays] for i in range(len(self._context))]
            shapes = [array.shape for array in own[0]]
            rows = [parts(row, shapes) for row in self.nodes.gather([flat(of) for of in own])]
            for i, name in enumerate(group.aux_names):
                self._aux_params[name][:] = mean([row[i] for row in rows])
        self._params_dirty = False


def flat(arrays: Sequence[mx.nd.NDArray]) -> mx.nd.NDArray:
    """Return arrays of one context as one, float32 (K,)."""
    return mx.nd.concat(*(array.reshape((-1,)) for array in arrays), dim=0)


def parts(row: mx.nd.NDArray, shapes: Sequence[tuple[int, ...]]) -> list[mx.nd.NDArray]:
    """Return the arrays of these shapes that a row, float32 (K,), begins with."""
    ends = list(itertools.accumulate(map(math.prod, shapes)))
    return [
        row[start:end].reshape(shape)
        for start, end, shape in zip([0, *ends], ends, shapes, strict=False)
    ]


def sum_like_kvstore(rows: Sequence[mx.nd.NDArray]) -> mx.nd.NDArray:
    """Return the sum of up to four arrays in the order of MXNet's local key-value store.

    Source: CommCPU::ReduceSumCPU in src/kvstore/comm.h, which adds the sum of the others to the
    first.
    """
    first, *others = rows
    return first + functools.reduce(operator.add, others) if others else first


def mean(arrays: Sequence[mx.nd.NDArray]) -> mx.nd.NDArray:
    """Return the mean of arrays, added in the order in which Module.get_params adds them."""
    return functools.reduce(operator.add, (array.copyto(mx.cpu()) for array in arrays)) / len(
        arrays
    )
