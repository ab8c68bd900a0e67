"""Parameters as a user gives them after -p, and on the command line's own options."""

import click
import pytest
from click.testing import CliRunner

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli import cli
from kfp_mnist_mxnet.cli.parameters import KINDS, parse_parameters
from kfp_mnist_mxnet.cli.target import LOCAL, Target

DEEP = "[" * 100_000 + "]" * 100_000
REFUSED = {
    "train": [
        *('class_names="a"', "class_names=null", "class_names=[1]", "class_names=cat,dog"),
        *('class_names={"a": 1}', 'class_names=["\\ud800"]', "class_names=[null]", "class_names="),
        *('filters={"a": 1}', "filters=[1.5]", "filters=[true]", "filters=[1e999]", "filters=a,b"),
        *("filters=null", "filters=[[1]]", "filters=32,", "filters=[32", f"filters={DEEP}"),
        *("export_onnx=1", "export_onnx=yes", "export_onnx=null", 'export_onnx="true"'),
        *("learning_rate=nan", "learning_rate=-inf", "validation_fraction=inf", "dropout=null"),
        *("learning_rate=1e999", "learning_rate=[0.1]", "learning_rate=", "learning_rate=0,1"),
        *("epochs=1.5", "epochs=null", "epochs=true", "epochs=1e3", f"epochs={'9' * 5000}"),
        *("seed=9007199254740993", "seed=-9007199254740993", "data_uri=\udcff"),
    ],
    "sweep": [
        *('trials={"activation": "tanh"}', 'trials=["tanh"]', "trials=null", "trials=[null]"),
        *('trials=[{"learning_rate": NaN}]', 'trials=[{"learning_rate": 1e999}]'),
        *('trials=[{"\\ud800": 1}]', f"trials={DEEP}", "trials=", "trials=1"),
    ],
}
TAKEN = [
    *(("filters=32,64", [32, 64]), ("filters=[32, 64]", [32, 64]), ("filters=32", [32])),
    *(("filters=32, 64", [32, 64]), ("filters=[]", []), ("hidden_units=16,-1", [16, -1])),
    *(("export_onnx=True", True), ("export_onnx=FALSE", False), ("export_onnx=true", True)),
    *(("class_names=[]", []), ('class_names=["a=b", "ü"]', ["a=b", "ü"]), ("recipe=null", "null")),
    *(("learning_rate=1e-3", 0.001), ("learning_rate=1", 1.0), ("seed=9007199254740992", 2**53)),
]


@pytest.mark.parametrize(
    ("name", "assignment"),
    [(name, assignment) for name, all_of in REFUSED.items() for assignment in all_of],
    ids=lambda text: ascii(text[:30]),
)
def test_a_value_of_another_kind_is_a_usage_error_that_says_what_is_right(name, assignment):
    with pytest.raises(click.UsageError) as caught:
        parse_parameters(pipeline.PIPELINES[name](LOCAL), (assignment,))
    parameter = assignment.partition("=")[0]
    assert caught.value.message.startswith(f"{parameter} must be ")
    assert f"write for example -p '{parameter}=" in caught.value.message
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(("assignment", "value"), TAKEN)
def test_a_value_is_taken_as_people_write_it(assignment, value):
    parameters = parse_parameters(pipeline.train_pipeline(LOCAL), (assignment,))
    assert parameters == {assignment.partition("=")[0]: value}
    assert type(next(iter(parameters.values()))) is type(value)


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_what_is_said_to_be_right_is_right(name):
    made = pipeline.PIPELINES[name](Target(gpu=True))
    for parameter, spec in made.component_spec.inputs.items():
        parse_parameters(made, (f"{parameter}={KINDS[spec.type][1]}",))


@pytest.mark.parametrize("assignment", ["learning_rate=nan", "class_names=null", "export_onnx=1"])
def test_a_refused_value_leaves_no_run(tmp_path, monkeypatch, assignment):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.main, ["run", "-p", assignment])
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())
