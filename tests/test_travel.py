"""Every embedded program as its step runs it: without the checkout, with its own packages only."""

import dataclasses
import json
import pathlib
import re
from typing import Any

import pytest
from conftest import write_idx_set
from kfp import dsl
from step_process import Step, sentence

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
from kfp_mnist_mxnet.shipping.decorator import STEPS
from kfp_mnist_mxnet.shipping.journey import Journey
from kfp_mnist_mxnet.shipping.programs import ARTIFACT

SMALL: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 8,
    "kernels": [3],
    "filters": [8],
    "hidden_units": [16, -1],
}


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


def test_a_library_that_is_handed_on_trains_as_one_that_is_carried(pods):
    steps = [STEPS[name] for name in ("ingest", "plan", "train")]
    journey = Journey(tuple(steps), frozenset({"train"}))
    first, second, third = [journey.component(step) for step in steps]
    pods.run(first, name="first", data_uri=str(pods.root / "idx"))
    taken = {**splits(pods), ARTIFACT: pods.artifact(dsl.Artifact, "first", ARTIFACT)}
    pods.run(second, taken, name="second", trials=[{}])
    taken = {**splits(pods), ARTIFACT: pods.artifact(dsl.Artifact, "second", ARTIFACT)}
    out = pods.run(third, taken, name="in a loop", **SMALL)
    for file in (pods.root / "train" / "model").iterdir():
        assert (out / "model" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_library_that_was_changed_in_the_store_does_not_run(pods, tmp_path, in_loop):
    steps = (STEPS["ingest"], STEPS["train"])
    journey = Journey(steps, frozenset({"train"} if in_loop else ()))
    taken = tmp_path / "library"
    for name, text in journey.takes(steps[1]).items():
        (taken / name).parent.mkdir(parents=True, exist_ok=True)
        (taken / name).write_text(text)
    artifact = {ARTIFACT: dsl.Artifact(name=ARTIFACT, uri=str(taken))}
    again = Step(journey.component(steps[1]), {**splits(pods), **artifact}, SMALL)
    whole = again.run(tmp_path / "whole", tmp_path / "scratch-whole")
    assert whole.returncode == 0, whole.stdout
    (taken / "numpy.py").write_text("print('this ran')\n")
    done = again.run(tmp_path / "out", tmp_path / "scratch")
    assert "the code that an earlier step handed on is another: run" in sentence(done)
    assert "this ran" not in done.stdout
    assert not (tmp_path / "out").exists()


def test_evaluate_carries_the_code_of_predict_and_of_export(pods):
    names = ("ingest", "train", "evaluate", "predict", "export")
    journey = Journey(tuple(STEPS[name] for name in names), frozenset({"predict", "export"}))
    made = {name: journey.component(STEPS[name]) for name in names}
    pods.run(made["ingest"], name="1", data_uri=str(pods.root / "idx"))
    for number, name, given, parameters in (
        (2, "train", splits(pods), SMALL),
        (3, "evaluate", judged(pods), {}),
    ):
        given[ARTIFACT] = pods.artifact(dsl.Artifact, str(number - 1), ARTIFACT)
        pods.run(made[name], given, str(number), **parameters)
    given = {**judged(pods), ARTIFACT: pods.artifact(dsl.Artifact, "3", ARTIFACT)}
    predicted = pods.run(made["predict"], given, "4")
    exported = pods.run(made["export"], given, "5")
    assert (predicted / "predictions" / "labels.npy").is_file()
    assert (exported / "onnx_model" / "mnist" / "1" / "model.onnx").is_file()


def test_a_traceback_names_the_files_and_functions_of_the_library(pods, tmp_path):
    bad = Step(train, splits(pods), {"epochs": -2})
    done = bad.run(tmp_path / "out", tmp_path / "scratch")
    assert sentence(done).endswith("epochs must be at least 0, got -2")
    named = r'kfp_mnist_mxnet/model/hyperparameters\.py", line \d+, in checked\n'
    assert re.search(named, done.stdout)


def test_another_version_than_the_one_it_was_compiled_for_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kfp_mnist_mxnet.__version__", "9.9.9")
    made = STEPS["plan"].installed("example.org/cpu:1")
    source = made.component_spec.implementation.container.command[-1]
    with pytest.raises(SystemExit, match=r"compiled for kfp-mnist-mxnet 9\.9\.9, but .* is ins"):
        exec(compile(source, "program", "exec"), {})
