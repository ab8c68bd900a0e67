"""The components as other pipelines load them: from YAML."""

import pytest
import yaml
from conftest import COMPILED, ROOT
from kfp.components import load_component_from_file

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.compiler.install import PYTHON_IMAGE
from kfp_mnist_mxnet.compiler.target import Target, write_yaml
from kfp_mnist_mxnet.components import COMPONENTS

YAML = COMPILED / "components"


def test_every_component_is_in_the_suite():
    modules = {path.stem for path in (ROOT / "components").glob("[a-z]*.py")}
    assert set(COMPONENTS) == modules == {path.stem for path in YAML.iterdir()}


@pytest.mark.parametrize("name", COMPONENTS)
def test_committed_yaml_is_fresh(tmp_path, name):
    write_yaml(COMPONENTS[name], tmp_path / "component.yaml")
    committed = (YAML / f"{name}.yaml").read_text()
    assert committed == (tmp_path / "component.yaml").read_text(), "make yaml"


@pytest.fixture
def loaded(monkeypatch) -> dict:
    """Every component from its YAML, in the place of the one that pipeline.py imports."""
    components = {name: load_component_from_file(str(YAML / f"{name}.yaml")) for name in COMPONENTS}
    for name, component in components.items():
        monkeypatch.setattr(pipeline, name, component)
    return components


def test_a_loaded_component_takes_and_gives_the_same(loaded):
    for name, component in loaded.items():
        spec, imported = component.component_spec, COMPONENTS[name].component_spec
        assert {**spec.inputs, **spec.outputs} == {**imported.inputs, **imported.outputs}


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_pipelines_of_loaded_components_compile(tmp_path, loaded, name):
    path = tmp_path / "theirs.yaml"
    write_yaml(pipeline.PIPELINES[name](Target(place="containers")), path)
    executors = yaml.safe_load(path.read_text())["deploymentSpec"]["executors"].values()
    containers = [executor["container"] for executor in executors if "container" in executor]
    assert {container["image"] for container in containers} == {PYTHON_IMAGE}
