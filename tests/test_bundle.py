"""How code travels: what a step's program carries, and that it is the same bytes everywhere."""

import ast
import base64
import bz2
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize

import pytest
import yaml
from conftest import COMPILED, ROOT
from google.protobuf import json_format
from workflow_size import LIMIT, SAFE_SHARE, estimate_size

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.compiler.bundle import (
    SAFE,
    UNSAFE,
    Bundle,
    as_literal,
    find_imports,
    strip_source,
)
from kfp_mnist_mxnet.compiler.programs import needs_bundle
from kfp_mnist_mxnet.compiler.step import STEPS, containers_of, step_of
from kfp_mnist_mxnet.compiler.target import LOCAL, Target
from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.components.plan import plan
from kfp_mnist_mxnet.limits import check_iterations
from kfp_mnist_mxnet.pipeline import MAX_SHARDS, MAX_TRIALS

LIBRARY = sorted((ROOT / "kfp_mnist_mxnet").rglob("*.py"))
COMMITTED = ["pipeline.yaml", "pipeline-cpu.yaml", "sweep.yaml", "sweep-cpu.yaml"]
COMMITTED += ["batch_predict.yaml"]
# Those with a step that starts pods.
LAUNCHERS = ["train_distributed.yaml", "train_distributed-cpu.yaml", "tune.yaml", "tune-cpu.yaml"]
COMMITTED += LAUNCHERS


def programs(name: str) -> dict[str, str]:
    """Executor to program, of a committed pipeline."""
    spec = next(yaml.safe_load_all((COMPILED / name).read_text()))
    executors = spec["deploymentSpec"]["executors"]
    return {
        key: value["container"]["command"][2]
        for key, value in executors.items()
        if "container" in value
    }


def test_imports_are_found():
    found = find_imports("from kfp_mnist_mxnet.errors import InvalidInput\nimport numpy, PIL")
    assert found.files == {"kfp_mnist_mxnet/__init__.py", "kfp_mnist_mxnet/errors.py"}
    assert found.packages == {"numpy", "pillow"}


def test_imports_are_followed_and_templates_come_with_them():
    found = find_imports("from kfp_mnist_mxnet.reports import page")
    assert "kfp_mnist_mxnet/reports/report.html" in found.files
    assert "jinja2" in found.packages


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"no module kfp_mnist_mxnet\.nothing"):
        find_imports("import kfp_mnist_mxnet.nothing")


@pytest.mark.parametrize("name", STEPS)
def test_a_step_carries_no_module_of_another_subject(name):
    others = {
        "ingest": ["runtime", "model", "training", "prediction", "evaluation"],
        "ingest_images": ["runtime", "training", "prediction", "evaluation", "reports"],
        "train": ["prediction/shards.py", "evaluation", "model/loading.py", "export/t"],
        "evaluate": ["training", "data/idx.py", "data/sources.py", "storage/s3.py"],
        "predict": ["training", "evaluation", "reports/figures.py", "data/idx.py"],
        "plan": ["runtime", "reports", "training", "model/operators.py"],
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
    carried = [file.removeprefix("kfp_mnist_mxnet/") for file in STEPS[name].imports.files]
    assert [file for file in carried if file.startswith(tuple(others.get(name, [])))] == []


def test_only_steps_that_compute_install_mxnet():
    installing = {name for name, step in STEPS.items() if "mxnet" in step.imports.packages}
    engine = "kfp_mnist_mxnet/runtime/engine.py"
    assert installing == {name for name, step in STEPS.items() if engine in step.imports.files}
    assert installing >= {"train", "evaluate", "predict", "export"}
    assert installing.isdisjoint(
        {"ingest", "ingest_images", "plan", "compare", "merge", "upload", "register"}
    )


class Bare(ast.NodeTransformer):
    """Takes texts out of a tree, and annotations that are not of fields."""

    def __init__(self) -> None:
        self.fields: list[ast.stmt] = []

    def visit(self, node):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.ClassDef):
            self.fields += node.body
        if isinstance(node, ast.AnnAssign) and node not in self.fields:
            node = ast.Assign([node.target], node.value) if node.value else node
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            kept = [part for part in node.body if not isinstance(part, ast.Expr) or not text(part)]
            node.body = kept or ([] if isinstance(node, ast.Module) else [ast.Pass()])
        return super().visit(node)


def text(part: ast.Expr) -> bool:
    return isinstance(getattr(part.value, "value", None), str)


def without_unused_imports(tree: ast.Module) -> ast.Module:
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in names]
    tree.body = [node for node in tree.body if getattr(node, "names", True)]
    return tree


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_stripped_source_computes_the_same(path):
    source = path.read_text()
    stripped = strip_source(source)
    expected = without_unused_imports(Bare().visit(ast.parse(source)))
    assert ast.dump(ast.parse(stripped)) == ast.dump(expected)
    assert len(stripped) < len(source)
    assert not any(token.type == tokenize.COMMENT for token in tokens(stripped))


def tokens(source: str):
    return tokenize.generate_tokens(io.StringIO(source).readline)


def test_stripped_source_is_the_same_by_every_version_of_python():
    """Each writes f-strings in its own way, so they stay what they are."""
    source = """x = f'{a["b"]}' f"{', '.join(c)}"\ny = (\n    f"{a!r:>{width}}"\n    "'s"\n)\n"""
    stripped = strip_source(source)
    assert stripped.splitlines() == [
        """x = f'{a["b"]}' f"{', '.join(c)}\"""",
        """y = f"{a!r:>{width}}"     "'s\"""",
    ]


def test_a_bundle_has_what_a_step_imports_and_its_function():
    step = STEPS["merge"]
    packages = {"merge": "numpy==2.4.6"}
    bundle = Bundle.of({"merge": step.source}, packages, step.imports.files, "script")
    program = bz2.decompress(bundle.packed).decode()
    (installed,) = (node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Dict))
    assert ast.literal_eval(installed) == packages
    assert "'-c', 'script', 'sh', packages" in ast.unparse(ast.parse(program))
    contents = dict(file.split("\n", 1) for file in program.split("'''")[1].split("\x1e"))
    assert contents.keys() == step.imports.files | {"step_merge.py"}
    assert "shards: Input[list[Dataset]]" in contents["step_merge.py"]  # kfp reads it
    assert '"""' not in contents["step_merge.py"]


@pytest.mark.parametrize("text", ["x = '''a'''", "\x1e"])
def test_a_text_that_would_end_a_file_of_a_bundle_is_refused(text):
    with pytest.raises(ValueError, match="no file of a bundle may have"):
        as_literal({"a.css": text})


def test_text_of_a_bundle_has_no_character_that_is_expanded_on_the_way():
    bundle = Bundle(os.urandom(100_000))
    assert bundle.text.isascii()
    assert bundle.text.isprintable()
    assert not set(bundle.text) & set("${}<>&\"'\\ ")
    text = bundle.text.translate(str.maketrans(SAFE, UNSAFE))
    assert base64.b85decode(text) == bundle.packed


def test_words_of_the_program_may_stand_in_an_address():
    script = "pip install --index-url https://nexus/FILES/PACKAGES/simple"
    packed = Bundle.of({}, {}, ["kfp_mnist_mxnet/limits.py"], script).packed
    assert f"'-c', '{script}'" in ast.unparse(ast.parse(bz2.decompress(packed)))


def test_a_bundle_does_not_depend_on_the_order_of_its_files():
    files = ["kfp_mnist_mxnet/errors.py", "kfp_mnist_mxnet/limits.py"]
    assert Bundle.of({}, {}, files, "") == Bundle.of({}, {}, reversed(files), "")


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


@pytest.mark.parametrize("name", COMMITTED)
def test_the_first_step_carries_the_bundle_and_the_others_a_few_lines(name):
    sizes = sorted((len(program), step) for step, program in programs(name).items())
    *others, (largest, first) = sizes
    assert first in ("exec-ingest", "exec-ingest-images")
    most = {"sweep": 67_900, "train_distributed": 78_600, "tune": 77_200}
    assert largest <= most.get(re.split("[-.]", name)[0], 66_400)
    assert max(size for size, _ in others) <= 400
    assert sum(size for size, _ in sizes) <= largest + 2_500
    assert (COMPILED / name).stat().st_size < 130_000


@pytest.mark.parametrize("name", STEPS)
def test_an_installed_step_has_a_program_of_a_few_lines(name):
    made = STEPS[name].installed("example.org/mxnet:1").component_spec.implementation.container
    assert made.image == "example.org/mxnet:1"
    assert "pip install" not in " ".join(made.command)
    assert len(made.command[-1]) <= 4000


@pytest.mark.parametrize("name", COMMITTED)
def test_what_is_committed_fits_into_a_workflow(name):
    spec = next(yaml.safe_load_all((COMPILED / name).read_text()))
    iterations = {"sweep": MAX_TRIALS[0], "batch": MAX_SHARDS[0]}.get(re.split("[-_.]", name)[0], 1)
    # Measured on a real back end: 0.95 of the limit, where a launcher is among the steps.
    share = 0.97 if name in LAUNCHERS else 0.91 if "sweep" in name else SAFE_SHARE
    assert estimate_size(spec, iterations).is_below(share)


@pytest.mark.parametrize("name", ["pipeline.yaml", "pipeline-cpu.yaml"])
def test_a_run_of_train_is_not_compressed_so_that_its_steps_are_listed_to_the_end(name):
    spec = next(yaml.safe_load_all((COMPILED / name).read_text()))
    # What was measured is 1.06 of the estimate: docs/cluster.md.
    assert 1.06 * estimate_size(spec).plain < LIMIT


def test_a_component_may_be_in_a_pipeline_twice():
    target = Target()

    @target.pipeline(name="twice")
    def twice():
        steps = target.steps()
        data = steps.add(ingest, pipeline.INGEST)
        splits = {name: data.outputs[name] for name in ("train_data", "validation_data")}
        for needs in (pipeline.LIGHTWEIGHT, pipeline.EVALUATION):
            steps.add(plan, needs, **splits, trials=[{}])

    containers = containers_of(twice.pipeline_spec)
    assert sorted(name for name, _ in containers) == ["ingest", "plan", "plan"]
    assert not any(needs_bundle(container["command"]) for _, container in containers)


@pytest.mark.parametrize(("name", "most"), [("sweep", MAX_TRIALS), ("batch_predict", MAX_SHARDS)])
def test_what_steps_with_an_image_of_their_own_can_hold(name, most):
    made = pipeline.PIPELINES[name](Target(image="example.org/cpu:1"))
    size = estimate_size(json_format.MessageToDict(made.pipeline_spec), most[1])
    assert size.is_below(SAFE_SHARE)


@pytest.mark.parametrize(
    ("name", "parameter", "most"),
    [("sweep", "max_trials", MAX_TRIALS), ("batch_predict", "max_shards", MAX_SHARDS)],
)
def test_the_step_before_a_loop_knows_how_many_iterations_fit(name, parameter, most):
    targets = (Target(), Target(image="example.org/cpu:1"), LOCAL)
    for target, expected in zip(targets, (*most, 0), strict=True):
        tasks = pipeline.PIPELINES[name](target).pipeline_spec.root.dag.tasks
        task = tasks["plan" if name == "sweep" else "ingest-images"]
        told = task.inputs.parameters[parameter].runtime_value.constant.number_value
        assert told == expected


def test_more_iterations_than_fit_are_refused():
    check_iterations("trials", 10**6, 0)  # on a laptop nothing limits them
    check_iterations("trials", 60, 60)
    with pytest.raises(ValueError, match=r"^trials has 61 entries, .* at most 60 .*own"):
        check_iterations("trials", 61, 60)


def test_a_component_from_yaml_is_no_step_of_ours():
    assert step_of(object()) is None
