"""What a training is asked for."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import RULES, Hyperparameters
from kfp_mnist_mxnet.model.recipes import check_seed, choose_hyperparameters
from kfp_mnist_mxnet.model.trials import apply_trial

CHECKPOINT = "checkpoint.npz"  # at checkpoint_uri


@dataclasses.dataclass(frozen=True)
class Request:
    """The parameters of the train component.

    overrides: hyperparameters by name; trial: more of them, which take their place.
    """

    recipe: str
    overrides: Mapping[str, Any]
    trial: Mapping[str, Any]
    seed: int
    device: str
    allow_divergence: bool
    checkpoint_uri: str
    s3_endpoint: str

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """Return the request of all parameters by name, as a component has them; there may be more.

        The component's hyperparameters are the trial.
        """
        overrides = {name: parameters[name] for name in RULES if name in parameters}
        own = {**parameters, "overrides": overrides, "trial": parameters["hyperparameters"]}
        return cls(**{field.name: own[field.name] for field in dataclasses.fields(cls)})

    def check(self) -> tuple[str, dict[str, Any], Hyperparameters]:
        """Return the recipe, what overrides it, and the hyperparameters that follow.

        Raises:
            InvalidInput: a parameter is out of range or unknown.
        """
        recipe, overrides = apply_trial(self.recipe, self.overrides, self.trial)
        chosen = choose_hyperparameters(recipe, overrides)
        check_seed(self.seed)
        if self.device not in ("auto", "cpu", "gpu"):
            raise InvalidInput(f"device must be auto, cpu or gpu, got {self.device!r}")
        return recipe, overrides, chosen
