"""How a function becomes a step: `@step` makes a component of it."""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

from kfp_mnist_mxnet.shipping.install import Base
from kfp_mnist_mxnet.shipping.journey import Journey
from kfp_mnist_mxnet.shipping.step import Step

STEPS: dict[str, Step] = {}


def step(
    function: Callable[..., Any] | None = None, *, descriptions: Mapping[str, str] | None = None
) -> Any:
    """Make a function a component that runs on the public Python image, and note it as a step.

    In a step itself, where kfp has no compiler, it stays the function that it is.
    descriptions: of inputs that the docstring leaves out.
    """
    if function is None:
        return functools.partial(step, descriptions=descriptions)
    if function.__module__ == "__main__":
        sys.exit(f"run it by: python -m kfp_mnist_mxnet.components {function.__name__} --help")
    if not hasattr(dsl, "component"):
        return function
    noted = STEPS[function.__name__] = Step(function, descriptions or {})
    return Journey((noted,)).component(noted)


def step_of(component: Any) -> Step | None:
    """Return the step that a component was made of, None for one that was loaded from YAML."""
    function = getattr(component, "python_func", None)
    found = STEPS.get(function.__name__) if function else None
    return found if found and found.function is function else None


def alone(component: Any, base: Base) -> Any:
    """Return the component of a step that carries all of its code, for another image or index."""
    step = step_of(component)
    return Journey((step,)).component(step, base) if step else component
