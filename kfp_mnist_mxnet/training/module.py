"""A Module that updates all parameters at once."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kfp_mnist_mxnet.runtime.engine import mx

ALIGNMENT = 16  # numbers: 64 bytes, as wide as AVX-512 reads
DECAYED = ("_weight", "_gamma")  # MXNet's optimizers spare the other parameters weight decay


class Packing:
    """Where arrays lie in a single one, float32 (size,), one after the other.

    arrays: by name, for their shapes; ends: where each of them ends.
    """

    def __init__(self, arrays: Mapping[str, mx.nd.NDArray]) -> None:
        self.shapes = {name: array.shape for name, array in arrays.items()}
        self.size = 0
        self.ends = {}
        for name, shape in self.shapes.items():
            self.size += -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
            self.ends[name] = self.size

    def new(self, contexts: Sequence[mx.Context]) -> list[mx.nd.NDArray]:
        """Return an array of zeros for each context: MXNet has no empty ones."""
        return [mx.nd.zeros(self.size or 1, ctx=context) for context in contexts]

    def views(self, array: mx.nd.NDArray) -> dict[str, mx.nd.NDArray]:
        """Return the parts of an array, float32 (size,), by their names."""
        found, start = {}, 0
        for name, shape in self.shapes.items():
            found[name] = array[start : start + math.prod(shape)].reshape(shape)
            start = self.ends[name]
        return found


class TrainingModule(mx.mod.Module):
    """A Module whose contexts share each batch, and that updates its parameters in one array.

    Each context has all its parameters in one array, the decayed ones first, their gradients in
    another, and its moving averages in a third. So an update is a dozen operators for all
    parameters; MXNet's key-value store needs ten for each, 8 % of the time of training.
    """

    def bind(self, *arguments: Any, **options: Any) -> None:
        """Bind as MXNet does, to arrays of its own."""
        super().bind(*arguments, **options)
        group = self._exec_group
        inputs, averages = group.execs[0].arg_dict, group.execs[0].aux_dict
        names = sorted(group.param_names, key=lambda name: not name.endswith(DECAYED))
        self.packing = Packing({name: inputs[name] for name in names})
        self.averages_packing = Packing(averages)
        self.parameters, self.gradients = (self.packing.new(self._context) for _ in range(2))
        self.averages = self.averages_packing.new(self._context)
        for i, context in enumerate(self._context):
            group.execs[i] = self.symbol.bind(
                context,
                group.execs[i].arg_dict | self.packing.views(self.parameters[i]),
                self.packing.views(self.gradients[i]),
                {name: "write" if name in names else "null" for name in inputs},
                self.averages_packing.views(self.averages[i]),
            )
        group._collect_arrays()

    def start_optimizer(self, name: str, settings: dict[str, Any]) -> None:
        """Start one of MXNet's optimizers; settings: its parameters.

        states: what it keeps of the parameters, none to two arrays, float32 (size,).
        """
        halves = {0: "decayed_weight", 1: "spared_bias"}  # MXNet goes by the end of a name
        self.optimizer = mx.optimizer.create(name, param_idx2name=halves, **settings)
        state = self.optimizer.create_state(0, self.parameters[0])
        states = state if isinstance(state, tuple) else (state,)
        self.states = [array for array in states if array is not None]

    def update(self) -> None:
        """Update the parameters with the gradients of the last batch."""
        self.apply(self.gather(self.gradients))

    def gather(self, rows: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """Return what all contexts have; rows: theirs, float32 (K,), in their order."""
        return [row.as_in_context(self._context[0]) for row in rows]

    def apply(self, gradients: Sequence[mx.nd.NDArray]) -> None:
        """Update the parameters; gradients: of all contexts, float32 (size,), on the first."""
        self._params_dirty = True
        first, *others = self.parameters
        arrays = [first, mx.nd.add_n(*gradients), *self.states]
        end = max(end for name, end in self.packing.ends.items() if name.endswith(DECAYED))
        for index, half in enumerate((slice(end), slice(end, None))):
            parameters, gradient, *states = (array[half] for array in arrays)
            state = tuple(states) if len(states) > 1 else states[0] if states else None
            self.optimizer.update(index, parameters, gradient, state)
        for copy in others:
            first.copyto(copy)

    def _sync_params_from_devices(self) -> None:
        """Take the parameters, which all contexts have, and the mean of their moving averages."""
        rows = self.gather(self.averages)
        for packing, array, targets in (
            (self.packing, self.parameters[0], self._arg_params),
            (self.averages_packing, mx.nd.add_n(*rows) / len(rows), self._aux_params),
        ):
            for name, view in packing.views(array).items():
                view.copyto(targets[name])
        self._params_dirty = False
