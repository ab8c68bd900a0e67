"""Parameters as a user gives them after -p, and on the command line's own options."""

import pathlib

import click
import pytest
from click.testing import CliRunner

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.main import main
from kfp_mnist_mxnet.cli.parameters import KINDS, local_parameters, parse_parameters
from kfp_mnist_mxnet.compiler.target import LOCAL, Target

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
    done = CliRunner().invoke(main, ["run", "-p", assignment])
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())


def local(given: dict, output_dir: pathlib.Path = pathlib.Path("runs")) -> dict:
    return local_parameters(given, output_dir)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("~/idx", "{home}/idx"),
        ("~", "{home}"),
        ("https://a.example/x ~/idx", "https://a.example/x {home}/idx"),
        ("/a/~/b~", "/a/~/b~"),
        ("~other/idx", "~other/idx"),
        ("mnist", "mnist"),
    ],
)
def test_a_tilde_stands_for_the_home_directory(monkeypatch, tmp_path, given, taken):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local({"data_uri": given}) == {"data_uri": taken.format(home=tmp_path)}


def test_a_local_checkpoint_is_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given in ("here", "~/here", f"file://{tmp_path}/here"):
        assert local({"checkpoint_uri": given}) == {"checkpoint_uri": f"{tmp_path}/here"}
    for given in ("", "s3://bucket/prefix"):
        assert local({"checkpoint_uri": given}) == {"checkpoint_uri": given}


def test_a_tilde_in_an_option_stands_for_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    written = ["compile", "--component", "merge", "--output=~/merge.yaml"]
    assert CliRunner().invoke(main, written).exit_code == 0
    assert (tmp_path / "merge.yaml").is_file()
    listed = CliRunner().invoke(main, ["runs", "--output-dir=~/runs"])
    assert f"no run in {tmp_path}/runs" in listed.output


def test_a_model_is_a_directory_or_a_run(monkeypatch, made_run, tmp_path):
    run = made_run("a")
    (model,) = run.glob("artifacts/*/train/model")
    (run.parent / "latest").symlink_to("a")
    monkeypatch.chdir(model.parent)
    for given in ("a", "latest", str(run), str(model), "model", model.as_uri()):
        assert local({"model_uri": given}, run.parent) == {"model_uri": str(model)}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        *(("s3://bucket/model", "on this machine"), ("https://host/model", "on this machine")),
        *(("", "got ''"), ("/nowhere", "no run '/nowhere' in"), ("lates", "did you mean 'latest'")),
    ],
)
def test_a_model_that_is_not_on_this_machine_is_refused_before_a_run(
    monkeypatch, tmp_path, uri, message
):
    monkeypatch.chdir(tmp_path)
    run = ["run", "--pipeline", "batch_predict", "-p", f"model_uri={uri}"]
    done = CliRunner().invoke(main, run)
    assert (done.exit_code, message in done.output) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_help_lists_the_parameters_of_the_pipeline_that_is_chosen(name):
    text = CliRunner().invoke(main, ["run", "--pipeline", name, "--help"]).output
    listed = text.partition(f"Parameters of {name} ")[2].partition("Examples:")[0]
    for parameter, spec in pipeline.PIPELINES[name](LOCAL).component_spec.inputs.items():
        assert f"\n  {parameter} " in listed
        assert spec.type in listed
