"""How the nodes of a training run on a cluster."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kfp_mnist_mxnet.cluster.pod import resources
from kfp_mnist_mxnet.errors import InvalidInput

ENGINES = ("job", "trainer")


@dataclasses.dataclass(frozen=True)
class Options:
    """How the nodes of a training run on a cluster: the parameters of train_distributed.

    Raises:
        InvalidInput: a value is out of range or unknown.
    """

    num_nodes: int
    engine: str
    runtime: str
    cpu: str
    memory: str
    gpus: int
    selector: Mapping[str, str]
    tolerations: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        if not 1 <= self.num_nodes <= 64:
            raise InvalidInput(f"num_nodes must be 1 to 64, got {self.num_nodes}")
        if self.engine not in ENGINES:
            raise InvalidInput(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.engine == "trainer" and not self.runtime:
            raise InvalidInput("runtime must name a TrainingRuntime, as engine is trainer")
        _ = self.resources

    @property
    def resources(self) -> dict[str, Any]:
        """What a node requests, and may use at most, as Kubernetes writes it."""
        return resources("node", self.cpu, self.memory, self.gpus)
