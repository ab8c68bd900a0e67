"""A trainer on one of several nodes."""

import functools
from collections.abc import Callable

from kfp_mnist_mxnet.data.dataset import Split
from kfp_mnist_mxnet.distributed.module import DistributedModule
from kfp_mnist_mxnet.distributed.nodes import Nodes
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.runtime.devices import LEAST_IMAGES, contexts, count_gpus
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training.checkpoint import Checkpoint
from kfp_mnist_mxnet.training.trainer import Trainer


class DistributedTrainer(Trainer):
    """Trains on this node's part of every batch; all nodes end with the same parameters.

    nodes: of the training. The others are those of Trainer.
    """

    def __init__(
        self,
        training: Split,
        validation: Split,
        chosen: Hyperparameters,
        seed: int,
        contexts: list[mx.Context],
        nodes: Nodes,
    ) -> None:
        self.nodes = nodes
        super().__init__(training, validation, chosen, seed, contexts)

    @property
    def num_contexts(self) -> int:
        """How many contexts share a batch, on all nodes together."""
        return len(self.contexts) * self.nodes.count

    @property
    def part(self) -> slice:
        """The part of each batch that is trained on here."""
        size = self.chosen.batch_size // self.nodes.count
        return slice(size * self.nodes.rank, size * (self.nodes.rank + 1))

    @property
    def module_class(self) -> Callable[..., DistributedModule]:
        """What makes the Module that trains."""
        return functools.partial(DistributedModule, self.nodes)

    def dropout_seed(self, epoch: int) -> int:
        """Return the seed of what an epoch drops out: on GPUs another one for each node."""
        own = self.nodes.rank if self.contexts[0].device_type == "gpu" else 0
        return (super().dropout_seed(epoch) + own) % 2**31

    def agreed(self, stop: bool) -> bool:
        """Return what the first node found: other CPUs may round another way."""
        return bool(self.nodes.gather([mx.nd.array([stop])])[0].asscalar())

    def save(self, checkpoint: Checkpoint) -> None:
        """Save the training after an epoch: the first node does so for all."""
        if not self.nodes.rank:
            super().save(checkpoint)


def own_contexts(device: str, chosen: Hyperparameters, nodes: Nodes) -> list[mx.Context]:
    """Return the contexts of a node: its part of those that one node alone would have, or its GPUs.

    Raises:
        InvalidInput: the nodes can't share the threads or a batch evenly; the message says what
            they can.
    """
    batch_size, threads = chosen.batch_size, chosen.cpu_threads
    found = contexts(device, count_gpus(), batch_size, threads)
    if found[0].device_type == "gpu":
        everywhere = len(found) * nodes.count
    else:
        if threads % nodes.count:
            raise InvalidInput(
                f"cpu_threads is {threads}, which {nodes.count} nodes can't share evenly: choose a "
                f"multiple of {nodes.count}"
            )
        everywhere = len(found)
        size = everywhere // nodes.count
        found = found[size * nodes.rank : size * (nodes.rank + 1)]
    if everywhere % nodes.count or batch_size % everywhere:
        raise InvalidInput(
            f"batch_size is {batch_size}, which {nodes.count} nodes can't share evenly: choose a "
            f"multiple of {max(threads, everywhere)} that is at least "
            f"{LEAST_IMAGES * max(threads, everywhere)}"
        )
    return found
