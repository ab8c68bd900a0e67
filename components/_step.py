"""How a function becomes a step: its image, its pinned packages, its helper functions.

Runs when a pipeline is compiled; nothing of it is shipped to the steps.
"""

import inspect
import pathlib
from types import ModuleType, SimpleNamespace
from typing import Any, Callable, Optional

from kfp import dsl

PYTHON_IMAGE = "python:3.11"

_STEPS: dict[Callable[..., Any], tuple[list[str], list[Callable[..., Any]]]] = {}


def step(packages: list[str], helpers: list[ModuleType]) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a component that runs on the public Python image.

    packages: names from requirements.txt that the step installs before it starts.
    helpers: modules whose functions the step calls; they travel inside the component.
    """

    def decorate(func: Callable[..., Any]) -> Any:
        if not hasattr(dsl, "component"):  # kfp without its compiler, as in the images
            return SimpleNamespace(python_func=func)
        shipped = [helper for module in helpers for helper in functions(module)]
        _STEPS[func] = (pins("requirements.txt", packages), shipped)
        return dsl.component(
            func,
            base_image=PYTHON_IMAGE,
            packages_to_install=_STEPS[func][0],
            additional_funcs=shipped,
        )

    return decorate


def on_image(component: Any, image: str) -> Any:
    """Return the component for an image that already has kfp and the packages: no pip stage."""
    _, shipped = _STEPS[component.python_func]
    return dsl.component(
        component.python_func,
        base_image=image,
        install_kfp_package=False,
        additional_funcs=shipped,
    )


def with_cuda(component: Any) -> Any:
    """Return the component with the CUDA build of MXNet in its pip stage instead of the CPU's."""
    packages, shipped = _STEPS[component.python_func]
    others = [package for package in packages if not package.startswith("mxnet==")]
    return dsl.component(
        component.python_func,
        base_image=PYTHON_IMAGE,
        packages_to_install=sorted(others + pins("requirements-gpu.txt")),
        additional_funcs=shipped,
    )


def functions(module: ModuleType) -> list[Callable[..., Any]]:
    """Return the functions that a module defines, in the order of its source."""
    found = (value for value in vars(module).values() if inspect.isfunction(value))
    return [function for function in found if function.__module__ == module.__name__]


def pins(file: str, names: Optional[list[str]] = None) -> list[str]:
    """Return the `name==version` lines of a requirements file, all or those of some names.

    Raises:
        KeyError: a name that is not pinned there.
    """
    lines = pathlib.Path(__file__).with_name(file).read_text().splitlines()
    pinned = {line.partition("==")[0]: line.partition(";")[0] for line in lines if "==" in line}
    return [pinned[name] for name in (pinned if names is None else names)]
