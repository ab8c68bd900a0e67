"""House rules that hold for every component."""

import builtins
import dis
import re
import subprocess
import sys
import types
from typing import Any

import pytest

from kfp_mnist_mxnet.compiler.bundle import HEADER
from kfp_mnist_mxnet.compiler.step import STEPS
from kfp_mnist_mxnet.components import COMPONENTS as SUITE
from kfp_mnist_mxnet.components.plan import plan
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.model.descriptions import DESCRIPTIONS
from kfp_mnist_mxnet.model.hyperparameters import RULES
from kfp_mnist_mxnet.model.recipes import choose_hyperparameters
from kfp_mnist_mxnet.model.trials import apply_trial

COMPONENTS = list(SUITE.values())


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


@pytest.mark.parametrize("name", SUITE)
def test_a_function_takes_nothing_from_its_own_module(name):
    assert missing_names(HEADER + STEPS[name].source) == set()


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


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_every_package_is_pinned(step):
    assert step.pins()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in step.pins())


def test_importing_a_component_needs_only_kfp():
    program = (
        "import sys; sys.modules['mxnet'] = sys.modules['numpy'] = None; "
        "import kfp_mnist_mxnet.components"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_train_takes_every_hyperparameter_as_it_is_declared():
    taken = {
        name: spec.default
        for name, spec in train.component_spec.inputs.items()
        if name in DESCRIPTIONS
    }
    assert taken == {name: rule.unset for name, rule in RULES.items()}
    for name, spec in train.component_spec.inputs.items():
        if name in RULES:
            assert spec.description == DESCRIPTIONS[name]
            kinds = {int: "Integer", float: "Float", str: "String", list: "List[Integer]"}
            assert spec.type == kinds[RULES[name].kind]


def through_json(value: Any) -> Any:
    """A parameter as the back end hands it to a step: Go's JSON writes whole floats as integers."""
    if isinstance(value, dict):
        return {name: through_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [through_json(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def test_a_sweep_takes_numbers_as_the_back_end_hands_them_over(trained):
    splits = {name: trained[name] for name in ("train_data", "validation_data")}
    trials = [
        {"learning_rate": 0.05},
        {"learning_rate": 1.0},
        {"epochs": 2.0, "dropout": 0.0, "kernels": [3.0], "filters": [4.0]},
        {"momentum": 0, "optimizer": "sgd"},
    ]
    for form in (trials, through_json(trials)):
        assert plan.python_func(**splits, trials=form, epochs=through_json(-1.0)) == form
    defaults = {name: through_json(rule.unset) for name, rule in RULES.items()}
    for trial in trials:
        recipe, own = apply_trial("default", defaults, through_json(trial))
        chosen = choose_hyperparameters(recipe, own)
        for name, value in chosen.to_dict().items():
            kind = RULES[name].kind if name in RULES else object
            assert isinstance(value, kind), (trial, name)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_default_survives_the_back_end(component):
    for name, spec in component.component_spec.inputs.items():
        if spec.optional and spec.default is not None:
            assert through_json(spec.default) == spec.default, name
