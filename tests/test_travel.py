"""Every embedded program as its step runs it: without the checkout, with its own packages only."""

import bz2
import dataclasses
import json
import pathlib
import re
from typing import Any

import pytest
from conftest import SMALL, write_idx_set
from kfp import dsl
from step_process import Step, sentence

from kfp_mnist_mxnet.compiler import programs
from kfp_mnist_mxnet.compiler.programs import ARTIFACT
from kfp_mnist_mxnet.compiler.step import STEPS, bundle_of
from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.components.ingest_images import ingest_images
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.plan import plan
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.components.upload import upload


@dataclasses.dataclass(frozen=True)
class Pods:
    """Runs steps one after the other, each with its outputs in a directory of its name."""

    root: pathlib.Path

    def run(self, component, artifacts=None, name: str = "", **parameters: Any) -> pathlib.Path:
        """Run a step; return the directory of its outputs."""
        name = name or component.python_func.__name__
        out, scratch = self.root / name, self.root / "scratch" / name
        out.mkdir(parents=True)
        scratch.mkdir(parents=True)
        done = Step(component, artifacts or {}, parameters).run(out, scratch)
        assert done.returncode == 0, done.stdout
        return out

    def artifact(self, kind: type, step: str, output: str):
        return kind(name=output, uri=str(self.root / step / output))


@pytest.fixture(scope="module")
def pods(tmp_path_factory) -> Pods:
    """The outputs of ingest and train, each from its own program."""
    made = Pods(tmp_path_factory.mktemp("pods"))
    source = write_idx_set(made.root / "idx", train=120)
    made.run(ingest, data_uri=str(source))
    made.run(train, splits(made), **SMALL)
    return made


def splits(pods: Pods) -> dict:
    names = ("train_data", "validation_data")
    return {name: pods.artifact(dsl.Dataset, "ingest", name) for name in names}


def judged(pods: Pods) -> dict:
    return {
        "model": pods.artifact(dsl.Model, "train", "model"),
        "data": pods.artifact(dsl.Dataset, "ingest", "test_data"),
    }


def output(directory: pathlib.Path):
    return json.loads((directory / "executor_output.json").read_text())["parameterValues"]["Output"]


def test_ingest_and_train_need_nothing_else(pods):
    assert (pods.root / "ingest" / "data_report").is_file()
    assert (pods.root / "train" / "model" / "model.json").is_file()


def test_evaluate_needs_nothing_else(pods):
    assert 0 <= output(pods.run(evaluate, judged(pods))) <= 1


def test_predict_and_merge_need_nothing_else(pods):
    pods.run(predict, judged(pods))
    shard = pods.artifact(dsl.Dataset, "predict", "predictions")
    out = pods.run(merge, {"shards": [shard], "labels": judged(pods)["data"]})
    assert (out / "predictions" / "labels.npy").is_file()


@pytest.mark.parametrize("inputs", [("model", "data"), ("model",)])
def test_export_needs_nothing_else(pods, inputs):
    given = {name: judged(pods)[name] for name in inputs}
    out = pods.run(export, given, name=f"export by {len(inputs)}", class_names=["a", "b", "c"])
    assert (out / "onnx_model" / "mnist" / "1" / "model.onnx").is_file()
    assert (out / "model_card").read_text().startswith("---\nlibrary_name: onnx\n")


def test_plan_and_compare_need_nothing_else(pods):
    trials = [{"activation": "tanh"}, {"learning_rate": 1}]
    assert output(pods.run(plan, splits(pods), trials=trials)) == trials
    pods.run(compare, {"models": [judged(pods)["model"]]})


def test_ingest_images_needs_nothing_else(pods):
    out = pods.run(ingest_images, data_uri=str(pods.root / "idx"), shards=2)
    assert output(out) == [0, 1]


def test_upload_needs_nothing_else(pods, tmp_path):
    source = dsl.Dataset(name="p", uri=str(tmp_path))
    step = Step(upload, {"predictions": source}, {"destination_uri": "ftp://x/y"})
    done = step.run(tmp_path / "out", tmp_path / "scratch")
    assert "destination_uri must be s3://bucket/prefix" in sentence(done)


@pytest.fixture(scope="module")
def pipeline_steps() -> dict[str, Any]:
    """The components of a pipeline by name: the first carries the bundle of all."""
    names = ("ingest", "train", "evaluate", "predict", "export")
    bundle = bundle_of({name: " ".join(STEPS[name].pins()) for name in names})
    made = {
        name: STEPS[name].first() if name == "ingest" else STEPS[name].later() for name in names
    }
    for component in made.values():
        container = component.component_spec.implementation.container
        container.command = programs.with_bundle(container.command, bundle)
    return made


def test_steps_that_take_the_bundle_compute_as_those_that_carry_it(pods, pipeline_steps):
    first, *others = pipeline_steps.items()
    pods.run(first[1], name="first", data_uri=str(pods.root / "idx"))
    library = {ARTIFACT: pods.artifact(dsl.Artifact, "first", ARTIFACT)}
    for name, component in others:
        inputs = splits(pods) if name == "train" else judged(pods)
        parameters = SMALL if name == "train" else {}
        out = pods.run(component, {**inputs, **library}, name=f"{name} later", **parameters)
        assert any(out.iterdir())
    for file in (pods.root / "train" / "model").iterdir():
        assert (pods.root / "train later" / "model" / file.name).read_bytes() == file.read_bytes()


def test_a_bundle_that_was_changed_in_the_store_does_not_run(pods, pipeline_steps, tmp_path):
    changed = tmp_path / "library"
    changed.write_bytes(bz2.compress(b"print('this ran')"))
    artifact = {ARTIFACT: dsl.Artifact(name=ARTIFACT, uri=str(changed))}
    step = Step(pipeline_steps["train"], {**splits(pods), **artifact}, SMALL)
    done = step.run(tmp_path / "out", tmp_path / "scratch")
    assert "the library artifact is not what was compiled" in sentence(done)
    assert "this ran" not in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_traceback_names_the_files_and_functions_of_the_library(pods, tmp_path):
    bad = Step(train, splits(pods), {"epochs": -2})
    done = bad.run(tmp_path / "out", tmp_path / "scratch")
    assert sentence(done).endswith("epochs must be at least 0, got -2")
    named = r'kfp_mnist_mxnet/model/rules\.py", line \d+, in checked\n'
    assert re.search(named, done.stdout)


def test_another_version_than_the_one_it_was_compiled_for_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kfp_mnist_mxnet.__version__", "9.9.9")
    made = STEPS["plan"].installed("example.org/cpu:1")
    source = made.component_spec.implementation.container.command[-1]
    with pytest.raises(SystemExit, match=r"compiled for kfp-mnist-mxnet 9\.9\.9, but .* is ins"):
        exec(compile(source, "program", "exec"), {})
