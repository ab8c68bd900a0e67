"""What CONTRIBUTING.md promises: how few files a new component or hyperparameter takes."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

STEP = '''
from kfp.dsl import Dataset, Input, Metrics, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def count(data: Input[Dataset], metrics: Output[Metrics]):
    """Count images.

    Args:
        data: Images, as ingest writes them.

    Returns:
        metrics: Their number.
    """
    from kfp_mnist_mxnet.data.dataset import read_images

    metrics.log_metric("images", len(read_images(data.path)))
'''


@pytest.fixture
def checkout(tmp_path) -> pathlib.Path:
    """A copy of the code, to be changed."""
    for name in ("components", "compiled", "kfp_mnist_mxnet", "scripts", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
    for name in ("pipeline.py", "README.md"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: pathlib.Path, before: str, added: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, added + before))


def python(checkout: pathlib.Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_component_takes_its_own_file_and_its_place_in_a_pipeline(checkout):
    (checkout / "components" / "count.py").write_text(STEP)
    pipeline = checkout / "pipeline.py"
    added = "from kfp_mnist_mxnet.components.count import count\n"
    for file in (pipeline, checkout / "components" / "__init__.py"):
        edit(file, "from kfp_mnist_mxnet.components.evaluate", added)
    edit(checkout / "components" / "__init__.py", '    "evaluate",\n', '    "count",\n')
    edit(
        pipeline,
        "        training = steps.add(\n            train,\n            TRAIN,\n",
        '        steps.add(count, JUDGE, data=data.outputs["test_data"])\n',
    )
    python(checkout, "scripts/compile.py")
    assert (checkout / "compiled" / "components" / "count.yaml").is_file()
    python(checkout, "docs/tables.py")
    assert "| `count` | Count images. |" in (checkout / "README.md").read_text()
    python(checkout, "pipeline.py", "compile")
    assert "exec-count" in (checkout / "pipeline.yaml").read_text()


def test_a_hyperparameter_takes_its_rule_and_a_parameter_of_component_and_pipeline(checkout):
    library = checkout / "kfp_mnist_mxnet" / "model" / "hyperparameters.py"
    added = '    clip: float = tunable(1.5, Number(positive=True), "Highest norm of a gradient.")\n'
    edit(library, "    dropout: float = tunable(", added)
    component = checkout / "components" / "train.py"
    edit(component, "    dropout: float = -1.0,\n", "    clip: float = -1.0,\n")
    pipeline = checkout / "pipeline.py"
    edit(pipeline, "        dropout: float = -1.0,\n", "        clip: float = -1.0,\n")
    edit(pipeline, "            dropout=dropout,\n", "            clip=clip,\n")
    python(checkout, "docs/tables.py")
    for document in ("README.md", "docs/components.md"):
        assert "Highest norm of a gradient." in (checkout / document).read_text()
    python(checkout, "pipeline.py", "compile")
    assert "clip: float [Default: -1.0]" in (checkout / "pipeline.yaml").read_text()
    program = (
        "import json\n"
        "from kfp_mnist_mxnet.model.hyperparameters import *\n"
        "overrides = {**UNSET, 'clip': -1}\n"
        "recipe, own = apply_trial('tutorial', overrides, {'clip': 2})\n"
        "print(json.dumps(choose_hyperparameters(recipe, own).to_dict()))\n"
        "try:\n    choose_hyperparameters('default', {'clip': 0})\n"
        "except InvalidInput as error:\n    print(error)\n"
    )
    chosen, refused = python(checkout, "-c", program).splitlines()
    assert json.loads(chosen)["clip"] == 2
    assert refused == "clip must be a positive number, got 0"
