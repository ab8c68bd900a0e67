"""How a search runs."""

import dataclasses
from typing import Any

from kfp_mnist_mxnet.cluster.pod import resources
from kfp_mnist_mxnet.errors import InvalidInput

GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


@dataclasses.dataclass(frozen=True)
class Options:
    """How a search runs on a cluster: parameters of tune.

    Raises:
        InvalidInput: a value is out of range.
    """

    algorithm: str
    max_trials: int
    parallel_trials: int
    max_failed_trials: int
    cpu: str
    memory: str
    gpus: int

    def __post_init__(self) -> None:
        if not self.algorithm:
            raise InvalidInput("algorithm must name one that Katib has, such as tpe or random")
        if not 1 <= self.max_trials <= 1000:
            raise InvalidInput(f"max_trials must be 1 to 1,000, got {self.max_trials}")
        for name, least in (("parallel_trials", 1), ("max_failed_trials", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} must be at least {least}, got {getattr(self, name)}")
        _ = self.resources

    @property
    def resources(self) -> dict[str, Any]:
        """What a trial requests, and may use at most, as Kubernetes writes it."""
        return resources("trial", self.cpu, self.memory, self.gpus)

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """The taint that machines with GPUs usually have, if a trial has any."""
        return [GPU_TOLERATION] if self.gpus else []
