"""Steps: `@step` makes a component of a function, in each form in which its code gets to a step.

What a step runs is the function's own source. Its body begins with the imports of the library, from
which follow the files that are in its bundle and the packages that it installs.
"""

import ast
import dataclasses
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp import dsl

import kfp_mnist_mxnet
from kfp_mnist_mxnet.compiler import programs
from kfp_mnist_mxnet.compiler.bundle import Bundle, Imports, find_imports
from kfp_mnist_mxnet.compiler.install import (
    PUBLIC,
    PYTHON_IMAGE,
    Base,
    install_command,
    install_script,
    step_pins,
)

ANY_ARTIFACT = "system.Artifact@0.0.1"
STEPS: dict[str, "Step"] = {}


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
    return noted.alone()


def step_of(component: Any) -> "Step | None":
    """Return the step that a component was made of, None for one that was loaded from YAML."""
    function = getattr(component, "python_func", None)
    found = STEPS.get(function.__name__) if function else None
    return found if found and found.function is function else None


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A function that runs as a step, and how it becomes a component.

    descriptions: name of an input to its text, for those that the docstring leaves out.
    """

    function: Callable[..., Any]
    descriptions: Mapping[str, str]

    @functools.cached_property
    def source(self) -> str:
        """The function's source without its decorator."""
        text = textwrap.dedent(inspect.getsource(self.function))
        (node,) = ast.parse(text).body
        return "".join(text.splitlines(keepends=True)[node.lineno - 1 :])

    @functools.cached_property
    def imports(self) -> Imports:
        """What the function imports, transitively."""
        return find_imports(self.source)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    def alone(self, base: Base = PUBLIC) -> Any:
        """Return the component that carries all that it imports."""
        command = programs.first_command(self.name, self.pins(), writes_output=False)
        bundle = bundle_of(programs.packages_of(command), base.index)
        return self.embedded(programs.with_bundle(command, bundle), base)

    def first(self, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component that carries what all steps of a pipeline import.

        Its command is finished by finish_commands, as are those of the later steps.
        """
        command = programs.first_command(self.name, self.pins(cuda), writes_output=True)
        component = self.embedded(command, base)
        library = dsl.structures.OutputSpec(ANY_ARTIFACT)
        outputs = {**(component.component_spec.outputs or {}), programs.ARTIFACT: library}
        return self.with_spec(component, outputs=outputs)

    def later(self, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component that takes what it imports from the pipeline's first step."""
        command = programs.later_command(self.name, self.pins(cuda))
        component = self.embedded(command, base)
        library = dsl.structures.InputSpec(ANY_ARTIFACT)
        inputs = {**(component.component_spec.inputs or {}), programs.ARTIFACT: library}
        return self.with_spec(component, inputs=inputs)

    def installed(self, image: str) -> Any:
        """Return the component for an image that has the library, kfp and all packages."""
        return self.module(programs.installed(self.name, kfp_mnist_mxnet.__version__), image)

    def packaged(self, requirement: str, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component for which pip installs the library.

        requirement: name==version or the address of a wheel.
        """
        install = install_command([*self.pins(cuda), requirement], base.index)
        program = programs.installed(self.name, kfp_mnist_mxnet.__version__)
        return self.module(program, base.image, install)

    def local(self) -> Any:
        """Return the component for kfp's local runner in the environment of this library."""
        return self.module(programs.local(self.name))

    def pins(self, cuda: bool = False) -> list[str]:
        """Return the pins of the packages that the step installs."""
        return step_pins(self.imports.packages, cuda)

    def embedded(self, command: list[str], base: Base) -> Any:
        """Return the component that runs a command."""
        component = self.build_component(base.image)
        component.component_spec.implementation.container.command = command
        return component

    def module(self, module: str, image: str = PYTHON_IMAGE, install: Sequence[str] = ()) -> Any:
        """Return the component for which kfp's executor loads the source of a module.

        install: a command that runs before it, with the executor as its arguments.
        """
        component = self.build_component(image)
        container = component.component_spec.implementation.container
        container.command = [*install, *container.command[:-1], module]
        return component

    def build_component(self, image: str) -> Any:
        """Return the component as kfp makes it, with a description of every input."""
        component = dsl.component(self.function, base_image=image, install_kfp_package=False)
        spec = component.component_spec
        for name, text in self.descriptions.items():
            if name in spec.inputs and not spec.inputs[name].description:
                spec.inputs[name].description = text
        return component

    def with_spec(self, component: Any, **ends: Any) -> Any:
        """Return a component with other inputs or outputs, which kfp notes once."""
        for name, value in ends.items():
            setattr(component.component_spec, name, value)
        return type(component)(component.component_spec, self.function)


def bundle_of(packages: Mapping[str, str], index: str = "") -> Bundle:
    """Return the bundle of what steps import.

    packages: name of each step to what it installs; index: as for install_script.
    """
    steps = [STEPS[name] for name in sorted(packages)]
    files = sorted(set().union(*(step.imports.files for step in steps)))
    sources = {step.name: step.source for step in steps}
    return Bundle.of(sources, packages, files, install_script(index))


def containers_of(spec: Any) -> list[tuple[str, Any]]:
    """Return the name of the step and the container of each executor of a pipeline.

    spec: kfp's protobuf message.
    """
    executors = spec.deployment_spec["executors"].values()
    containers = [executor["container"] for executor in executors if "container" in executor]
    return [(container["args"][-1], container) for container in containers]  # --function_to_execute


def finish_commands(spec: Any, index: str) -> None:
    """Put the bundle of a pipeline's steps into their commands.

    spec: kfp's protobuf message, which is changed; index: as for install_script.
    """
    containers = [container for _, container in containers_of(spec)]
    unfinished = [each for each in containers if programs.needs_bundle(each["command"])]
    if not unfinished:
        return
    packages: dict[str, str] = {}
    for container in unfinished:
        packages |= programs.packages_of(container["command"])
    bundle = bundle_of(packages, index)
    for container in unfinished:
        container["command"] = programs.with_bundle(container["command"], bundle)
