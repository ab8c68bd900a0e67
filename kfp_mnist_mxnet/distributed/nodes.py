"""The nodes of a training, and what they tell each other."""

import dataclasses
from collections.abc import Sequence

from kfp_mnist_mxnet.runtime.engine import mx


@dataclasses.dataclass
class Nodes:
    """The nodes of a training as one of them sees them.

    rank: of this node, from 0; count: of all; store: MXNet's key-value store, whose servers add up
    what the nodes push; keys: of what they pushed so far.
    """

    rank: int
    count: int
    store: mx.kv.KVStore
    keys: set[str] = dataclasses.field(default_factory=set)

    def gather(self, rows: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """Return the rows of all nodes, in the order of the nodes.

        rows: of this node, float32, as many and of one shape (K,) on each. Every other row of what
        a node pushes is 0, and x + 0 is x exactly, so that the sum does not depend on its order.
        """
        own, shape = len(rows), rows[0].shape
        pushed = mx.nd.zeros((own * self.count, *shape))
        for i, row in enumerate(rows, own * self.rank):
            pushed[i] = row.as_in_context(pushed.context)
        key = str(pushed.shape)
        if key not in self.keys:
            self.keys.add(key)
            self.store.init(key, mx.nd.zeros(pushed.shape))
        self.store.push(key, pushed)
        gathered = mx.nd.zeros(pushed.shape)
        self.store.pull(key, gathered)
        return [gathered[i] for i in range(len(pushed))]

    def close(self) -> None:
        """Part from the other nodes, which must do so too."""
        mx.nd.waitall()
        del self.store  # its end waits for theirs, and stops the servers
