"""How code travels: what a step's program carries, and that it is the same bytes everywhere."""

import ast
import base64
import bz2
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from conftest import COMPILED, ROOT

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.cli import main
from kfp_mnist_mxnet.cli.target import Target
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.shipping import archive, closure, source, weight
from kfp_mnist_mxnet.shipping.decorator import STEPS, step_of
from kfp_mnist_mxnet.shipping.journey import Journey
from kfp_mnist_mxnet.shipping.loops import MOST, check_iterations

LIBRARY = sorted((ROOT / "kfp_mnist_mxnet").rglob("*.py"))
COMMITTED = ["pipeline.yaml", "pipeline-cpu.yaml", "sweep.yaml", "sweep-cpu.yaml"]
COMMITTED += ["batch_predict.yaml"]


def programs(name: str) -> dict[str, str]:
    """Executor to program, of a committed pipeline."""
    spec = next(yaml.safe_load_all((COMPILED / name).read_text()))
    executors = spec["deploymentSpec"]["executors"]
    return {
        key: value["container"]["command"][-1]
        for key, value in executors.items()
        if "container" in value
    }


def test_a_closure_is_found_from_the_imports():
    found = closure.closure_of("from kfp_mnist_mxnet.errors import InvalidInput\nimport numpy, PIL")
    assert found.files == {"kfp_mnist_mxnet/__init__.py", "kfp_mnist_mxnet/errors.py"}
    assert found.packages == {"numpy", "pillow"}


def test_a_closure_follows_imports_and_takes_the_templates():
    found = closure.closure_of("from kfp_mnist_mxnet.reports import page")
    assert "kfp_mnist_mxnet/reports/report.html" in found.files
    assert "jinja2" in found.packages


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"no module kfp_mnist_mxnet\.nothing"):
        closure.closure_of("import kfp_mnist_mxnet.nothing")


@pytest.mark.parametrize("name", STEPS)
def test_a_step_carries_no_module_of_another_subject(name):
    others = {
        "ingest": ["runtime", "model", "training", "prediction", "evaluation"],
        "ingest_images": ["runtime", "training", "prediction", "evaluation", "reports"],
        "train": ["prediction/shards.py", "evaluation", "model/loading.py", "model/symbol.py"],
        "evaluate": ["training", "data/idx.py", "data/sources.py", "storage/s3.py"],
        "predict": ["training", "evaluation", "reports/figures.py", "data/idx.py"],
        "plan": ["runtime", "reports", "training"],
        "export": ["training", "data/idx.py", "data/sources.py", "storage/s3.py"],
        "compare": ["runtime", "training", "prediction"],
        "merge": ["runtime", "training", "model", "reports/figures.py"],
        "upload": ["runtime", "training", "model", "data", "reports"],
        "register": [
            "runtime",
            "training",
            "model",
            "data",
            "reports",
            "prediction",
            "storage/s3.py",
        ],
    }
    carried = [file.removeprefix("kfp_mnist_mxnet/") for file in STEPS[name].closure.files]
    assert [file for file in carried if file.startswith(tuple(others.get(name, [])))] == []


def test_only_steps_that_compute_install_mxnet():
    installing = {name for name, step in STEPS.items() if "mxnet" in step.closure.packages}
    engine = "kfp_mnist_mxnet/runtime/engine.py"
    assert installing == {name for name, step in STEPS.items() if engine in step.closure.files}
    assert installing >= {"train", "evaluate", "predict", "export"}
    assert installing.isdisjoint(
        {"ingest", "ingest_images", "plan", "compare", "merge", "upload", "register"}
    )


def places(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and content of what runs; an annotation beside a value does not."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Call, ast.Raise, ast.Return)):
            found.append((node.lineno, ast.dump(node)))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
            found.append((node.lineno, ast.dump(node.value)))
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [(target.lineno, ast.dump(target)) for target in targets]
    return sorted(found)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_bare_source_computes_the_same_on_the_same_lines(path):
    whole = path.read_text()
    bare = source.bare(whole)
    assert places(ast.parse(bare)) == places(ast.parse(whole))
    assert len(bare) < len(whole)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    documented = [node for node in ast.walk(ast.parse(bare)) if isinstance(node, kinds)]
    assert not any(map(ast.get_docstring, documented))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_joined_source_computes_the_same_with_a_line_for_each_statement(path):
    bare = source.bare(path.read_text())
    joined = source.joined(bare)
    assert ast.dump(ast.parse(joined)) == ast.dump(ast.parse(bare))
    rows = source.rows_in_strings(joined)
    lines = enumerate(joined.splitlines(), start=1)
    assert all(line.strip() for row, line in lines if row not in rows)


def test_what_nothing_reaches_is_left_out():
    modules = {
        "a.py": "import json\nimport math\n\n\ndef used():\n    return math.pi\n\n\n"
        "def unused():\n    return json.loads(helper())\n\n\ndef helper():\n    return ''\n",
        "b.py": "class Thing:\n    size = 1\n\n    def get(self):\n        return used()\n\n"
        "    def other(self):\n        return 2\n",
    }
    found = source.shake(modules, "from b import Thing\nThing().get()")
    assert "import json" not in found["a.py"]
    assert [line for line in found["a.py"].splitlines() if line.strip()] == [
        "import math",
        "def used():",
        "    return math.pi",
    ]
    assert "def other" not in found["b.py"]
    for name, text in modules.items():
        assert set(places(ast.parse(found[name]))) <= set(places(ast.parse(text)))


def test_text_of_an_archive_has_no_character_that_is_expanded_on_the_way():
    files = {"a/b.py": "x = '\u20ac'\n", "c.html": "".join(map(chr, range(1, 3000)))}
    text = archive.pack(files)
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set("${}<>&\"'\\ ")
    text = text.translate(str.maketrans(archive.SAFE, archive.UNSAFE))
    parts = bz2.decompress(base64.b85decode(text)).decode().split(archive.BETWEEN)
    assert parts == [part for item in sorted(files.items()) for part in item]


def test_an_archive_does_not_depend_on_the_order_of_its_files():
    assert archive.pack({"a": "1", "b": "2"}) == archive.pack({"b": "2", "a": "1"})


def test_every_file_travels_once_before_it_is_needed():
    names = ["ingest", "plan", "train", "compare", "evaluate", "predict", "export"]
    carried = frozenset({"train", "predict", "export"})
    journey = Journey(tuple(STEPS[name] for name in names), carried)
    brought: dict[str, str] = {}
    for step in journey.steps:
        new = journey.brings(step)
        assert not new.keys() & brought.keys()
        brought |= new
        assert step.closure.files <= brought.keys(), step.name
    assert {f"step_{name}.py" for name in carried} <= brought.keys()
    assert not any(journey.hands_on(STEPS[name]) for name in carried)
    assert journey.before(STEPS["export"]) == STEPS["evaluate"]


def test_two_checkouts_compile_to_the_same_bytes(tmp_path):
    other = tmp_path / "another checkout"
    for name in ("components", "kfp_mnist_mxnet"):
        shutil.copytree(ROOT / name, other / name, symlinks=True, copy_function=shutil.copyfile)
    shutil.copyfile(ROOT / "pipeline.py", other / "pipeline.py")
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    command = [sys.executable, "pipeline.py", "compile", "--output", tmp_path / "other.yaml"]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(other)}
    subprocess.run(command, cwd=other, check=True, env=environment)
    assert (tmp_path / "other.yaml").read_bytes() == (COMPILED / "pipeline.yaml").read_bytes()


def test_programs_are_small():
    sizes = {name: len(program) for name, program in programs("pipeline-cpu.yaml").items()}
    assert max(sizes.values()) <= 25_400, sizes
    assert sum(sizes.values()) <= 76_000, sizes
    assert (COMPILED / "pipeline.yaml").stat().st_size < 130_000


def test_the_program_of_an_export_is_small():
    container = COMPONENTS["export"].component_spec.implementation.container
    assert len(container.command[-1]) <= 25_400


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        ("sweep.yaml", "exec-train"),
        ("batch_predict.yaml", "exec-predict"),
        ("pipeline.yaml", "exec-export"),
    ],
)
def test_a_step_that_an_earlier_one_carries_has_a_program_of_a_few_lines(name, executor):
    assert len(programs(name)[executor]) <= 1000


@pytest.mark.parametrize("name", STEPS)
def test_an_installed_step_has_a_program_of_a_few_lines(name):
    made = STEPS[name].installed("example.org/mxnet:1").component_spec.implementation.container
    assert made.image == "example.org/mxnet:1"
    assert "pip install" not in " ".join(made.command)
    assert len(made.command[-1]) <= 4000


@pytest.mark.parametrize("name", COMMITTED)
def test_what_is_committed_fits_into_a_workflow(name):
    spec = next(yaml.safe_load_all((COMPILED / name).read_text()))
    iterations, share = {"pipeline": (1, 0.78), "sweep": (30, 0.91), "batch": (100, 0.9)}[
        re.split("[-_.]", name)[0]
    ]
    assert weight.weigh(spec, iterations).compressed < share * weight.LIMIT


def told(made, executor: str) -> dict[str, str]:
    """The environment of a step of a pipeline."""
    container = made.pipeline_spec.deployment_spec["executors"][executor]["container"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


@pytest.mark.parametrize(("name", "least"), [("sweep", 30), ("batch_predict", 100)])
def test_the_step_before_a_loop_knows_how_many_iterations_fit(name, least):
    maker = {"sweep": "exec-plan", "batch_predict": "exec-ingest-images"}[name]
    embedded, own = (
        int(told(pipeline.PIPELINES[name](target), maker)[MOST])
        for target in (Target(), Target(image="example.org/cpu:1"))
    )
    assert least <= embedded < own


def test_more_iterations_than_fit_are_refused(monkeypatch):
    check_iterations("trials", 10**6)  # on a laptop nothing limits them
    monkeypatch.setenv(MOST, "60")
    check_iterations("trials", 60)
    with pytest.raises(ValueError, match=r"^trials has 61 entries, .* at most 60 .*own"):
        check_iterations("trials", 61)


def test_a_pipeline_that_can_not_run_is_refused_when_it_is_compiled():
    spec = next(yaml.safe_load_all((COMPILED / "pipeline-cpu.yaml").read_text()))
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["command"][-1] = os.urandom(60_000).hex()
    with pytest.raises(InvalidInput, match=r"mnist-train would weigh about [\d,]+ bytes.*--image"):
        weight.check_weight(spec)


@pytest.mark.parametrize("command", [["compile"], ["submit", "--host", "http://127.0.0.1:1"]])
def test_what_can_not_run_is_neither_written_nor_sent(monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weight, "LIMIT", 100_000)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "mnist-train would weigh about" in done.output
    assert not list(tmp_path.iterdir())


def test_a_component_from_yaml_is_no_step_of_ours():
    assert step_of(object()) is None
