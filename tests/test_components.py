"""House rules that hold for every component."""

import builtins
import dis
import re
import subprocess
import sys
import types

import pytest

from components._step import on_image
from runner import suite

COMPONENTS = list(suite.COMPONENTS.values())


def shipped_source(component) -> str:
    return component.component_spec.implementation.container.command[-1]


def global_names(code: types.CodeType) -> set[str]:
    """The names that a code object, or one inside it, reads from its module."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= global_names(constant)
    return names


def missing_names(source: str) -> set[str]:
    namespace: dict = {"__name__": "shipped"}
    exec(source, namespace)
    read = {
        name
        for value in namespace.values()
        if isinstance(value, types.FunctionType) and value.__module__ == "shipped"
        for name in global_names(value.__code__)
    }
    return read - set(namespace) - set(vars(builtins))


@pytest.mark.parametrize("component", COMPONENTS)
def test_shipped_source_has_every_name(component):
    assert missing_names(shipped_source(component)) == set()


def test_a_missing_name_is_found():
    assert missing_names("def f():\n    return [g(x) for x in h]") == {"g", "h"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_input_and_output_has_a_description(component):
    spec = component.component_spec
    undescribed = [
        name
        for name, value in {**spec.inputs, **spec.outputs}.items()
        if not value.description and name != "Output"
    ]
    assert undescribed == []
    assert spec.description


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_package_is_pinned(component):
    pip = component.component_spec.implementation.container.command[2]
    packages = pip.split("--no-warn-script-location ")[1].split(" && ")[0].split()
    assert packages
    assert all("==" in package for package in packages)


def imported_packages(source: str, entry: str) -> set[str]:
    """The packages that a function imports, or one of the functions that it calls."""
    namespace: dict = {"__name__": "shipped"}
    exec(source, namespace)
    seen: set[str] = set()
    waiting, modules = [entry], set()
    while waiting:
        function = namespace.get(waiting.pop())
        if isinstance(function, types.FunctionType) and function.__name__ not in seen:
            seen.add(function.__name__)
            waiting += global_names(function.__code__)
            modules |= imported_modules(function.__code__)
    names = {"PIL": "pillow", "sklearn": "scikit-learn"}
    return {names.get(name, name) for name in modules - set(sys.stdlib_module_names)}


def imported_modules(code: types.CodeType) -> set[str]:
    """The top-level modules that a code object, or one inside it, imports."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= imported_modules(constant)
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_step_installs_just_what_it_imports(component):
    pip = component.component_spec.implementation.container.command[2]
    installed = {package.partition("==")[0] for package in re.findall(r"'([\w.-]+==[^']+)'", pip)}
    imported = imported_packages(shipped_source(component), component.python_func.__name__)
    assert installed - {"kfp"} == imported


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_own_image_has_no_pip_stage(component):
    container = on_image(component, "example.org/mxnet:1").component_spec.implementation.container
    assert container.image == "example.org/mxnet:1"
    assert "pip install" not in " ".join(container.command[:-1])
    assert container.command[-1] == shipped_source(component)


def test_importing_a_component_needs_only_kfp():
    program = (
        "import sys; sys.modules['mxnet'] = sys.modules['numpy'] = None; "
        "import components.train, components.ingest, components.evaluate, components.predict"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
