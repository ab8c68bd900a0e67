"""The steps plan and compare, and the pipeline that they make with train."""

import inspect
import json
import pathlib
import re

import pytest
from conftest import as_options, command, write_idx_set
from kfp import dsl

from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.plan import plan
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.evaluation.comparison import Trial, ties_of, varied_names
from kfp_mnist_mxnet.model.hyperparameters import RULES, UNSET
from kfp_mnist_mxnet.model.recipes import choose_hyperparameters
from kfp_mnist_mxnet.reports.sweep import write_sweep_report


@pytest.fixture
def splits(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx", train=300))
    return {name: outputs[name] for name in ("train_data", "validation_data")}


def test_every_hyperparameter_can_be_left_open():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(train.python_func).parameters.items()
        if name in RULES
    }
    assert defaults == UNSET


def test_plan_gives_the_trials(splits):
    trials = [{"activation": "tanh"}, {"epochs": 2.0, "kernels": [3.0], "filters": [4.0]}]
    assert plan.python_func(**splits, trials=trials) == trials


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([], "trials is empty"),
        (["tanh"], "trial 1 must be a dictionary, got 'tanh'"),
        ([{"epochs": 1}, {"epochs": 1}], "trial 2 is the same as an earlier one"),
        ([{}, {"activations": "tanh"}], "trial 2.*'activations' is no hyperparameter: expected"),
        ([{"activation": 3}], "trial 1.*activation must be of type str, got 3"),
        ([{"epochs": True}], "trial 1.*epochs must be of type int, got True"),
        ([{"momentum": False}], "trial 1.*momentum must be of type float, got False"),
        ([{"epochs": -2}], "trial 1.*epochs must be at least 0, got -2"),
        ([{"recipe": "none"}], "trial 1.*recipe must be one of"),
        ([{"kernels": [13], "filters": [8]}], r"trial 1.*kernels\[0\] is 13"),
        ([{"hidden_units": [8, 9]}], "trial 1.*the last of hidden_units is 9, expected 3"),
    ],
)
def test_plan_refuses_what_training_would_refuse(splits, trials, message):
    with pytest.raises(ValueError, match=message):
        plan.python_func(**splits, trials=trials)


def test_plan_refuses_a_sweep_without_validation_images(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx"), validation_fraction=0)
    splits = {name: outputs[name] for name in ("train_data", "validation_data")}
    with pytest.raises(ValueError, match="no validation images"):
        plan.python_func(**splits, trials=[{}])


def made_up_model(root: pathlib.Path, name: str, *accuracies: float) -> dsl.Model:
    """A model directory that says only what compare reads."""
    directory = root / name.strip("<>")
    directory.mkdir()
    history = [
        {"train_loss": 0.1, "train_accuracy": 0.9, "validation_accuracy": accuracy}
        for accuracy in accuracies
    ]
    about = {"history": history, "hyperparameters": {"activation": name, "epochs": 2}}
    (directory / "model.json").write_text(json.dumps(about))
    return dsl.Model(name="model", uri=str(directory))


def compared(artifacts, models):
    return artifacts.run(compare, models=models)


def test_compare_takes_the_best_last_epoch(tmp_path, artifacts):
    models = [
        made_up_model(tmp_path, "tanh", 0.99, 0.5),
        made_up_model(tmp_path, "relu", 0.6, 0.8),
        made_up_model(tmp_path, "sigmoid", 0.7, 0.8),
    ]
    outputs = compared(artifacts, models)
    chosen = pathlib.Path(outputs["best_model"].path, "model.json").read_text()
    assert chosen == (tmp_path / "relu" / "model.json").read_text()
    assert outputs["metrics"].metadata["best_trial"] == 2
    assert outputs["metrics"].metadata["trial_1_validation_accuracy"] == 0.5


def shown(artifacts, models) -> str:
    page = pathlib.Path(compared(artifacts, models)["sweep_report"].path).read_text()
    return page.replace("\N{NO-BREAK SPACE}", " ")


def test_compare_shows_the_trials_by_number_and_what_differs(tmp_path, artifacts):
    models = [made_up_model(tmp_path, "tanh", 0.5), made_up_model(tmp_path, "<relu>", 0.8)]
    page = shown(artifacts, models)
    first, second = "<td>#2 (chosen)</td><td>&lt;relu&gt;</td>", "<td>#1</td><td>tanh</td>"
    assert page.index(first) < page.index(second)
    assert re.findall("<th scope=.col.>(.*?)</th>", page)[:2] == ["trial", "activation"]
    assert "<relu>" not in page


def test_the_sweep_report_has_the_seconds_of_each_trial_where_they_are_known(tmp_path, artifacts):
    models = [made_up_model(tmp_path, "tanh", 0.5), made_up_model(tmp_path, "relu", 0.8)]
    models[1].metadata["seconds"] = 1234.56
    page = shown(artifacts, models)
    rows = re.findall("<tr><td>(#.*?)</td>.*<td>1</td><td>(.*?)</td></tr>", page)
    assert rows == [("#2 (chosen)", "1,234.6"), ("#1", "\N{EN DASH}")]


def trial_of(recipe: str, accuracy: float = 0.9, images: int = 0, **own) -> Trial:
    settings = {"recipe": recipe, **choose_hyperparameters(recipe, own).to_dict()}
    settings["hidden_units"] = [*settings["hidden_units"][:-1], 10]
    record = {"train_loss": 0.1, "train_accuracy": 0.9, "validation_accuracy": accuracy}
    return Trial("", settings, [record], images=images)


def test_what_follows_from_the_recipe_is_one_column():
    assert varied_names([trial_of("default"), trial_of("best"), trial_of("tutorial")]) == ["recipe"]
    own = [trial_of("default"), trial_of("best", learning_rate=0.05)]
    assert varied_names(own) == ["recipe", "learning_rate"]
    assert varied_names([trial_of("best"), trial_of("best", activation="tanh")]) == ["activation"]


def test_trials_within_each_others_interval_are_called_equal(tmp_path):
    scores = (0.97, 0.991, 0.99, 0.9895)
    trials = [
        trial_of("default", score, 1000, learning_rate=(i + 1) / 10)
        for i, score in enumerate(scores)
    ]
    assert ties_of(trials, 1) == [2, 3]
    write_sweep_report(tmp_path / "page.html", trials, 1)
    page = (tmp_path / "page.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "#3 and #4 are as good as the chosen #2" in page
    assert "Validation accuracy 99.10 % (95 % interval 98.30 to 99.53)" in page
    assert "<td>99.10 % (98.30 to 99.53)</td>" in page


def test_without_the_number_of_images_no_trials_are_called_equal(tmp_path):
    trials = [trial_of("default", 0.99), trial_of("best", 0.9899)]
    assert ties_of(trials, 0) == []


def test_every_named_curve_has_its_number_and_a_plot_of_what_was_varied(tmp_path):
    trials = [trial_of("default", 0.9 + i / 1000, learning_rate=10.0**-i) for i in range(12)]
    write_sweep_report(tmp_path / "page.html", trials, 11)
    page = (tmp_path / "page.html").read_text()
    curves, panels = re.findall("<svg.*?</svg>", page, flags=re.DOTALL)
    assert set(re.findall(r">(#\d+)<", curves)) == {f"#{i}" for i in range(1, 13)}
    assert ">learning_rate<" in panels
    assert curves.count("#1f77b4") > 0


def test_compare_knows_the_number_of_validation_images(trained):
    assert Trial.read(trained["model"].path).images == 60


def test_compare_refuses_a_model_without_validation_accuracy(tmp_path, artifacts):
    with pytest.raises(ValueError, match=r"model\.json has no validation accuracy"):
        compared(artifacts, [made_up_model(tmp_path, "tanh")])
    assert not pathlib.Path(artifacts.root, "best_model").exists()


def diverged_model(root: pathlib.Path, name: str) -> dsl.Model:
    """A model directory as a training that diverged writes it."""
    model = made_up_model(root, name)
    about = {
        "hyperparameters": {"activation": name, "epochs": 2},
        "diverged": "the loss became nan",
    }
    pathlib.Path(model.path, "model.json").write_text(json.dumps(about))
    return model


def test_a_trial_that_diverged_is_the_worst(tmp_path, artifacts):
    models = [
        diverged_model(tmp_path, "tanh"),
        made_up_model(tmp_path, "relu", 0.0),
        diverged_model(tmp_path, "sigmoid"),
    ]
    outputs = compared(artifacts, models)
    assert outputs["metrics"].metadata["best_trial"] == 2
    assert outputs["metrics"].metadata["trial_1_validation_accuracy"] == 0
    page = pathlib.Path(outputs["sweep_report"].path).read_text()
    assert page.index("<td>#2 (chosen)</td><td>relu") < page.index("<td>#1</td><td>tanh")
    assert page.count("<td>diverged") == 2


def test_a_sweep_whose_trials_all_diverged_is_refused(tmp_path, artifacts):
    models = [diverged_model(tmp_path, "tanh"), diverged_model(tmp_path, "relu")]
    with pytest.raises(ValueError, match="no trial has a model; the first diverged: the loss"):
        compared(artifacts, models)


def test_a_sweep_picks_the_best_of_its_trials(tmp_path):
    small = {"kernels": [3], "filters": [8], "batch_size": 20}
    trials = [
        {**small, "learning_rate": 1e-6},
        {**small, "activation": "tanh"},
        {**small, "filters": [16], "learning_rate": 1e30},  # it diverges
    ]
    source = write_idx_set(tmp_path / "idx", train=2000, test=100)
    options = as_options({"epochs": 1, "trials": trials})
    options += ["--data-uri", str(source), "--output-dir", str(tmp_path / "runs")]
    done = command("run", "--pipeline", "sweep", *options)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "runs" / "latest" / "run.json").read_text())
    (comparison,) = (step for step in record["steps"] if step["name"] == "compare")
    about = json.loads(pathlib.Path(comparison["outputs"]["best_model"], "model.json").read_text())
    assert about["hyperparameters"]["activation"] == "tanh"
    page = pathlib.Path(comparison["outputs"]["sweep_report"]).read_text()
    assert len(re.findall(r"<td>1</td><td>\d[\d.,]*</td></tr>", page)) == 2  # one diverged
    names = [step["name"] for step in record["steps"]]
    assert names[:6] == ["ingest", "plan", "train-1", "train-2", "train-3", "compare"]
    assert {step["status"] for step in record["steps"]} == {"SUCCEEDED"}
    assert record["accuracy"] > 0.9
    (export,) = (step for step in record["steps"] if step["name"] == "export")
    exported = pathlib.Path(export["outputs"]["onnx_model"], "mnist", "1", "model.onnx")
    assert about["sha256"]["model-0000.params"] in exported.read_bytes().decode(errors="replace")
