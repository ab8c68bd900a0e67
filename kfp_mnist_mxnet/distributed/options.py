"""How the nodes of a training run on a cluster."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kfp_mnist_mxnet.errors import InvalidInput

ENGINES = ("job", "trainer")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?)?")


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
        if self.gpus < 0:
            raise InvalidInput(f"node_gpus must be at least 0, got {self.gpus}")
        for name in ("cpu", "memory"):
            if not QUANTITY.fullmatch(getattr(self, name)):
                raise InvalidInput(
                    f"node_{name} must be a quantity such as 2, 500m or 4Gi, "
                    f"got {getattr(self, name)!r}"
                )

    @property
    def resources(self) -> dict[str, Any]:
        """What a node requests, and may use at most, as Kubernetes writes it."""
        amounts = {"cpu": self.cpu, "memory": self.memory}
        if self.gpus:
            amounts["nvidia.com/gpu"] = str(self.gpus)
        return {"requests": amounts, "limits": amounts}
