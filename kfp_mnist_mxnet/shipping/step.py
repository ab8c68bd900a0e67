"""A step: a function, what it imports, and the component that it becomes.

What is shipped is the function's own source. Its body begins with the imports of the library, from
which follow the modules that travel with it and the packages that it installs.
"""

import ast
import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

import kfp_mnist_mxnet
from kfp_mnist_mxnet.shipping import programs
from kfp_mnist_mxnet.shipping.closure import Closure, closure_of
from kfp_mnist_mxnet.shipping.install import PUBLIC, PYTHON_IMAGE, Base, install_script, step_pins

ANY_ARTIFACT = "system.Artifact@0.0.1"


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A function that runs as a step, and how it becomes a component.

    descriptions: name of an input to its text, for those that the docstring leaves out.
    """

    function: Callable[..., Any]
    descriptions: Mapping[str, str]

    @functools.cached_property
    def source(self) -> str:
        """The function's source without decorator and docstring, which the YAML has elsewhere."""
        lines = textwrap.dedent(inspect.getsource(self.function)).splitlines(keepends=True)
        (node,) = ast.parse("".join(lines)).body
        assert isinstance(node, ast.FunctionDef)  # noqa: S101 (what @step decorates)
        first, *rest = node.body
        body = rest[0].lineno if ast.get_docstring(node) else first.lineno
        head = lines[node.lineno - 1 : first.lineno - 1]
        return "".join([*head, *lines[body - 1 :]])

    @functools.cached_property
    def closure(self) -> Closure:
        """What the function imports, transitively."""
        return closure_of(self.source)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    def embedded(
        self,
        program: str,
        base: Base = PUBLIC,
        cuda: bool = False,
        takes: bool = False,
        hands_on: bool = False,
    ) -> Any:
        """Return the component whose program brings what it imports.

        takes, hands_on: whether files of the library are an input, or an output.
        """
        script = install_script(step_pins(self.closure.packages, cuda), index=base.index)
        made = self.made(program, script, base.image)
        spec = made.component_spec
        if takes:
            library = dsl.structures.InputSpec(ANY_ARTIFACT)
            spec.inputs = {**(spec.inputs or {}), programs.ARTIFACT: library}
        if hands_on:
            library = dsl.structures.OutputSpec(ANY_ARTIFACT)
            spec.outputs = {**(spec.outputs or {}), programs.ARTIFACT: library}
        return type(made)(spec, self.function)  # which notes the inputs once

    def installed(self, image: str) -> Any:
        """Return the component for an image that has the library, kfp and all packages."""
        return self.made(programs.installed(self.name, kfp_mnist_mxnet.__version__), image=image)

    def packaged(self, requirement: str, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component for which pip installs the library.

        requirement: name==version or the address of a wheel.
        """
        script = install_script(step_pins(self.closure.packages, cuda), requirement, base.index)
        program = programs.installed(self.name, kfp_mnist_mxnet.__version__)
        return self.made(program, script, base.image)

    def local(self) -> Any:
        """Return the component for kfp's local runner in the environment of this library."""
        return self.made(programs.local(self.name))

    def made(self, program: str, script: str = "", image: str = PYTHON_IMAGE) -> Any:
        """Return the component with a program, and a script that runs before it, if any."""
        component = dsl.component(self.function, base_image=image, install_kfp_package=False)
        spec = component.component_spec
        for name, text in self.descriptions.items():
            if name in spec.inputs and not spec.inputs[name].description:
                spec.inputs[name].description = text
        container = spec.implementation.container
        start = ["sh", "-c", script] if script else []
        container.command = [*start, *container.command[:-1], program]
        return component
