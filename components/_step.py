"""How a function becomes a step: its image, its pinned packages, its helper functions.

Runs when a pipeline is compiled; nothing of it is shipped to the steps.
"""

import inspect
import pathlib
from types import ModuleType
from typing import Any, Callable

from kfp import dsl

PYTHON_IMAGE = "python:3.11"

_HELPERS: dict[Callable[..., Any], list[Callable[..., Any]]] = {}


def step(packages: list[str], helpers: list[ModuleType]) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a component that runs on the public Python image.

    packages: names from requirements.txt that the step installs before it starts.
    helpers: modules whose functions the step calls; they travel inside the component.
    """

    def decorate(func: Callable[..., Any]) -> Any:
        _HELPERS[func] = [helper for module in helpers for helper in functions(module)]
        return dsl.component(
            func,
            base_image=PYTHON_IMAGE,
            packages_to_install=pins(packages),
            additional_funcs=_HELPERS[func],
        )

    return decorate


def on_image(component: Any, image: str) -> Any:
    """Return the component for an image that already has kfp and the packages: no pip stage."""
    return dsl.component(
        component.python_func,
        base_image=image,
        install_kfp_package=False,
        additional_funcs=_HELPERS[component.python_func],
    )


def functions(module: ModuleType) -> list[Callable[..., Any]]:
    """Return the functions that a module defines, in the order of its source."""
    found = (value for value in vars(module).values() if inspect.isfunction(value))
    return [function for function in found if function.__module__ == module.__name__]


def pins(names: list[str]) -> list[str]:
    """Return `name==version` for each name, as requirements.txt pins it.

    Raises:
        KeyError: a name that is not pinned there.
    """
    lines = pathlib.Path(__file__).with_name("requirements.txt").read_text().splitlines()
    pinned = {line.partition("==")[0]: line for line in lines if "==" in line}
    return [pinned[name] for name in names]
