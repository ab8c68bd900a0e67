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
from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

import kfp_mnist_mxnet
from kfp_mnist_mxnet.compiler import programs
from kfp_mnist_mxnet.compiler.bundle import Bundle, Imports, find_imports
from kfp_mnist_mxnet.compiler.install import PUBLIC, PYTHON_IMAGE, Base, install_script, step_pins

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
        program = programs.first_program(self.name, writes_output=False)
        return self.embedded(programs.with_bundle(program, bundle_of(self)), base)

    def first(self, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component that carries what all steps of a pipeline import.

        Its program is finished by finish_programs, as are those of the later steps.
        """
        component = self.embedded(programs.first_program(self.name, writes_output=True), base, cuda)
        library = dsl.structures.OutputSpec(ANY_ARTIFACT)
        outputs = {**(component.component_spec.outputs or {}), programs.ARTIFACT: library}
        return self.with_spec(component, outputs=outputs)

    def later(self, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component that takes what it imports from the pipeline's first step."""
        component = self.embedded(programs.later_program(self.name), base, cuda)
        library = dsl.structures.InputSpec(ANY_ARTIFACT)
        inputs = {**(component.component_spec.inputs or {}), programs.ARTIFACT: library}
        return self.with_spec(component, inputs=inputs)

    def embedded(self, program: str, base: Base, cuda: bool = False) -> Any:
        """Return the component that installs packages and then runs a program."""
        script = install_script(step_pins(self.imports.packages, cuda), index=base.index)
        return self.build_component(program, script, base.image)

    def installed(self, image: str) -> Any:
        """Return the component for an image that has the library, kfp and all packages."""
        return self.build_component(
            programs.installed(self.name, kfp_mnist_mxnet.__version__), image=image
        )

    def packaged(self, requirement: str, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component for which pip installs the library.

        requirement: name==version or the address of a wheel.
        """
        script = install_script(step_pins(self.imports.packages, cuda), requirement, base.index)
        program = programs.installed(self.name, kfp_mnist_mxnet.__version__)
        return self.build_component(program, script, base.image)

    def local(self) -> Any:
        """Return the component for kfp's local runner in the environment of this library."""
        return self.build_component(programs.local(self.name))

    def build_component(self, program: str, script: str = "", image: str = PYTHON_IMAGE) -> Any:
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

    def with_spec(self, component: Any, **ends: Any) -> Any:
        """Return a component with other inputs or outputs, which kfp notes once."""
        for name, value in ends.items():
            setattr(component.component_spec, name, value)
        return type(component)(component.component_spec, self.function)


def bundle_of(*steps: Step) -> Bundle:
    """Return the bundle of what some steps import."""
    files = sorted(set().union(*(step.imports.files for step in steps)))
    return Bundle.of({step.name: step.source for step in steps}, files)


def containers_of(spec: Any) -> list[tuple[str, Any]]:
    """Return the name of the step and the container of each executor of a pipeline.

    spec: kfp's protobuf message.
    """
    executors = spec.deployment_spec["executors"].values()
    containers = [executor["container"] for executor in executors if "container" in executor]
    return [(container["args"][-1], container) for container in containers]  # --function_to_execute


def finish_programs(spec: Any) -> None:
    """Put the bundle of a pipeline's steps into their programs.

    spec: kfp's protobuf message, which is changed.
    """
    unfinished = [
        (name, container["command"])
        for name, container in containers_of(spec)
        if programs.needs_bundle(container["command"][-1])
    ]
    bundle = bundle_of(*(STEPS[name] for name in sorted({name for name, _ in unfinished})))
    for _, command in unfinished:
        command[len(command) - 1] = programs.with_bundle(command[-1], bundle)
