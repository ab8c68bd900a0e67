"""What CONTRIBUTING.md promises: how few files a component, hyperparameter or network takes."""

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


CONVOLUTION = """            x = mx.sym.Convolution(x, **size, name=f"conv{i}")
"""
RESIDUAL = """            x = mx.sym.Convolution(x, **size, stride=(2, 2), name=f"conv{i}")
            same = {"kernel": (3, 3), "pad": (1, 1), "num_filter": num_filter}
            x = x + mx.sym.Convolution(x, **same, name=f"same{i}")
            x = mx.sym.LeakyReLU(x, act_type="elu", name=f"elu{i}")
"""
USE = """
import pathlib
from conftest import Artifacts, write_idx_set
from kfp_mnist_mxnet.components import evaluate, export, predict

made = Artifacts(pathlib.Path("made"))
data = made.ingest(write_idx_set(pathlib.Path("idx"), train=300))
use = {"model": made.train(data)["model"], "data": data["test_data"]}
made.run(predict, **use)
print(made.run(evaluate, **use)["metrics"].metadata["accuracy"])
print(made.run(export, **use)["metrics"].metadata["largest_difference"])
"""


@pytest.fixture
def checkout(tmp_path) -> pathlib.Path:
    """A copy of the code, to be changed."""
    for name in ("components", "compiled", "kfp_mnist_mxnet", "scripts", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
    for name in ("pipeline.py", "README.md"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: pathlib.Path, before: str, added: str) -> None:
    replace(path, before, added + before)


def replace(path: pathlib.Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after))


def edited(checkout: pathlib.Path) -> set[str]:
    """The files of code that are not as they were."""
    names = {path.resolve().relative_to(checkout) for path in checkout.rglob("*.py")}
    return {
        str(name)
        for name in names
        if not (ROOT / name).exists()
        or (ROOT / name).read_bytes() != (checkout / name).read_bytes()
    }


def python(checkout: pathlib.Path, *arguments: object) -> str:
    path = os.pathsep.join([str(checkout), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
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
        '        steps.add(count, EVALUATION, data=data.outputs["test_data"])\n',
    )
    assert edited(checkout) == {"components/count.py", "components/__init__.py", "pipeline.py"}
    python(checkout, "scripts/compile.py")
    assert (checkout / "compiled" / "components" / "count.yaml").is_file()
    python(checkout, "scripts/tables.py")
    assert "| `count` | Count images. |" in (checkout / "README.md").read_text()
    assert "exec-count" in (checkout / "compiled" / "pipeline.yaml").read_text()


LIBRARY = "kfp_mnist_mxnet"
CLIP = '''    clip_gradient: float = tunable(0.0, Number())
    """Largest value of a gradient; 0 for any."""

'''


def test_a_hyperparameter_takes_a_field_and_a_parameter_of_component_and_pipeline(checkout):
    fields = checkout / LIBRARY / "model" / "hyperparameters.py"
    edit(fields, "    dropout: float = tunable(", CLIP)
    component, pipeline = checkout / "components" / "train.py", checkout / "pipeline.py"
    edit(component, "    dropout: float = -1.0,\n", "    clip_gradient: float = -1.0,\n")
    edit(pipeline, "        dropout: float = -1.0,\n", "        clip_gradient: float = -1.0,\n")
    edit(pipeline, "            dropout=dropout,\n", "            clip_gradient=clip_gradient,\n")
    places = {f"{LIBRARY}/model/hyperparameters.py", "components/train.py", "pipeline.py"}
    assert edited(checkout) == places
    use = '            "clip_gradient": chosen.clip_gradient or None,\n'
    edit(checkout / LIBRARY / "training/trainer.py", '            "wd": chosen.weight', use)
    python(checkout, "scripts/tables.py")
    for document in ("docs/components.md",):
        assert "Largest value of a gradient; 0 for any." in (checkout / document).read_text()
    python(checkout, "pipeline.py", "compile")
    assert "clip_gradient: float [Default: -1.0]" in (checkout / "pipeline.yaml").read_text()
    program = USE.replace("made.train(data)", "made.train(data, clip_gradient=1e-9)")
    accuracy, _ = python(checkout, "-c", program).splitlines()
    assert float(accuracy) < 0.8  # as nothing is learned
    # Checkpoints of releases without it go on, as they were.
    upgrade = ROOT / "tests" / "test_upgrade.py"
    done = python(checkout, "-m", "pytest", "-q", "-k", "train_on and True", upgrade)
    assert "2 passed" in done


def test_a_network_with_a_residual_and_strides_takes_one_file(checkout):
    network = checkout / LIBRARY / "model" / "network.py"
    replace(network, CONVOLUTION, RESIDUAL)
    assert edited(checkout) == {f"{LIBRARY}/model/network.py"}
    accuracy, difference = map(float, python(checkout, "-c", USE).splitlines())
    assert accuracy > 0.8
    assert difference < 1e-5
