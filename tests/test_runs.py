"""The commands runs and compare."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from kfp_mnist_mxnet.cli.local.paired import difference_interval, mcnemar
from kfp_mnist_mxnet.cli.local.runs import find_run, run_directories
from kfp_mnist_mxnet.cli.main import main


def command(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


@pytest.fixture
def two_runs(made_run) -> pathlib.Path:
    """An output directory with the runs a and b, of which b is the latest."""
    output_dir = made_run("a").parent
    made_run("b", accuracy=0.5, status="FAILED", error="train: no")
    (output_dir / "latest").symlink_to("b")
    return output_dir


def test_runs_are_listed_oldest_first(two_runs):
    status, output = command("runs", "--output-dir", two_runs)
    head, *rows = output.splitlines()
    assert status == 0
    assert head.split() == ["run", "pipeline", "status", "accuracy", "seconds", "parameters"]
    assert rows[0].split()[:6] == ["a", "mnist-train", "✓", "SUCCEEDED", "0.9600", "10.0"]
    assert rows[1].split()[:5] == ["b", "mnist-train", "✗", "FAILED", "0.5000"]
    assert rows[1].rstrip().endswith("data_uri=/a <b>, epochs=3")
    assert len(rows) == 2


def test_runs_tells_that_there_is_none(tmp_path):
    assert f"no run in {tmp_path}: make one with" in command("runs", "--output-dir", tmp_path)[1]


def compared(output_dir: pathlib.Path, *names: str) -> tuple[str, str]:
    """What compare prints, and its page without what is only for the eye."""
    status, output = command("compare", *names, "--output-dir", output_dir)
    assert status == 0
    page = pathlib.Path(output.splitlines()[-1].removeprefix("page  ")).read_text()
    return output, " ".join(re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL).split())


def record_of(output_dir: pathlib.Path, name: str) -> dict:
    return json.loads((output_dir / name / "run.json").read_text())


def change_record(output_dir: pathlib.Path, name: str, **changes) -> None:
    path, record = output_dir / name / "run.json", record_of(output_dir, name)
    record.update(changes, parameters={**record["parameters"], **changes.get("parameters", {})})
    path.write_text(json.dumps(record))


def artifact(output_dir: pathlib.Path, run: str, step: str, name: str) -> pathlib.Path:
    return output_dir / run / "artifacts" / "mnist-train" / step / name


def predict_wrongly(output_dir: pathlib.Path, run: str, wrong: int) -> None:
    """Let a run predict the true labels, but for the first images."""
    labels = np.load(artifact(output_dir, run, "ingest", "test_data") / "labels.npy")
    labels[:wrong] = (labels[:wrong] + 1) % 3
    np.save(artifact(output_dir, run, "predict", "predictions") / "labels.npy", labels)


def test_compare_prints_what_differs(two_runs):
    output, _ = compared(two_runs, "a", "latest")
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "A B change" in lines
    (accuracy,) = (line for line in lines if line.startswith("accuracy"))
    assert accuracy.startswith("accuracy 96.00 % 50.00 % -46.00 points")
    assert output.splitlines()[-1] == f"page  {two_runs / 'compare-a-b.html'}"


def test_compare_shows_parameters_that_differ_as_training_used_them(two_runs):
    model = artifact(two_runs, "b", "train", "model") / "model.json"
    about = json.loads(model.read_text())
    about["hyperparameters"]["activation"] = "tanh"
    model.write_text(json.dumps(about))
    output, page = compared(two_runs, "a", "b")
    assert ["activation", "relu", "tanh"] in [line.split() for line in output.splitlines()]
    differing, equal = page.split("Parameters that differ")[1].split("are equal")
    assert '<td data-run="A">relu</td><td data-run="B">tanh</td>' in differing
    assert "learning_rate" not in differing
    assert "<td>-1" not in equal.partition("</details>")[0]


def test_compare_shows_no_sign_for_unset_where_no_model_knows_better(two_runs):
    shutil.rmtree(artifact(two_runs, "b", "train", "model"))
    change_record(two_runs, "a", parameters={"momentum": 0.5})
    output, _ = compared(two_runs, "b", "a")
    assert "momentum recipe default 0.9" in " ".join(output.split())


def test_compare_tests_the_predictions_in_pairs(two_runs):
    predict_wrongly(two_runs, "a", 10)
    predict_wrongly(two_runs, "b", 0)
    output, page = compared(two_runs, "a", "b")
    assert "B against A: better: +40.00 points (95 % confidence interval " in output
    assert "of 25 images 10 fixed, 0 broken; McNemar's test: p = 0.002" in output
    assert 'B against A: <span class="better"><span aria-hidden="true">▲</span> better' in page
    assert "Fixed: B is right, A was wrong: 10" in page
    assert page.count("<figure>") == 10


def test_compare_says_that_a_small_difference_may_be_chance(two_runs):
    predict_wrongly(two_runs, "a", 2)
    predict_wrongly(two_runs, "b", 0)
    assert "no clear difference: +8.00 points" in compared(two_runs, "a", "b")[0]


def test_compare_does_not_judge_an_accuracy_without_predictions(two_runs):
    shutil.rmtree(artifact(two_runs, "b", "predict", "predictions"))
    output, _ = compared(two_runs, "a", "b")
    (accuracy,) = (line for line in output.splitlines() if line.startswith("accuracy"))
    assert accuracy.split()[-2:] == ["-46.00", "points"]
    assert "no paired test" in output


def test_compare_judges_no_score_that_no_test_was_made_of(two_runs):
    predict_wrongly(two_runs, "a", 10)
    for name, loss in (("a", 0.1), ("b", 0.4)):
        steps = record_of(two_runs, name)["steps"]
        steps[2]["metrics"] = {"log_loss": loss}
        change_record(two_runs, name, steps=steps)
    output, page = compared(two_runs, "a", "b")
    (loss_row,) = (line for line in output.splitlines() if line.startswith("evaluate.log"))
    assert loss_row.split() == ["evaluate.log_loss", "0.1000", "0.4000", "+0.3000"]
    assert "<small>+0.3000 </small>" in page


def test_compare_refuses_to_judge_scores_on_different_test_data(two_runs):
    about = artifact(two_runs, "b", "ingest", "test_data") / "dataset.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "sha256": "other"}))
    output, page = compared(two_runs, "a", "b")
    assert "B against A: different test data: the scores can't be compared" in output
    assert "B and A: different test data: the scores can&#39;t be compared" in page
    assert "-46.00 points" not in output + page


def test_compare_shows_the_error_of_a_failed_run(two_runs):
    change_record(two_runs, "b", error="train: \x1b[2Jno <b>")
    output, page = compared(two_runs, "a", "b")
    assert "   train: no <b>\n" in output
    assert "no &lt;b&gt;</p>" in page


def test_compare_folds_what_is_equal(two_runs):
    _, page = compared(two_runs, "a", "b")
    scores = page.partition("Scores</h2>")[2].partition("</section>")[0]
    main, _, folded = scores.partition("<details>")
    assert "evaluate.loss" in folded
    assert "evaluate.loss" not in main


def test_compare_has_a_column_for_each_of_many_runs(two_runs):
    output, page = compared(two_runs, "a", "b", "a")
    assert ["A", "B", "C"] in [line.split() for line in output.splitlines()]
    assert '<th scope="col">C</th>' in page
    assert (two_runs / "compare-a-b-a.html").is_file()


def test_compare_wants_two_runs(two_runs):
    status, output = command("compare", "a", "--output-dir", two_runs)
    assert (status, "give from 2 to 26 runs, not 1" in output) == (2, True)


def test_compare_shows_curves_and_both_confusion_matrices_of_copied_runs(two_runs, tmp_path):
    moved = pathlib.Path(shutil.move(two_runs, tmp_path / "moved"))
    command("compare", moved / "a", moved / "b", "--output-dir", moved)
    page = (moved / "compare-a-b.html").read_text()
    assert "Accuracy and loss of the runs after each epoch" in page
    assert page.count('<table class="matrix">') == 2


def test_a_confusion_matrix_of_many_classes_is_a_figure(two_runs):
    for name in ("a", "b"):
        path = artifact(two_runs, name, "evaluate", "executor_output.json")
        content = json.loads(path.read_text())
        matrix = content["artifacts"]["confusion_matrix"]["artifacts"][0]["metadata"]
        matrix["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": str(i)} for i in range(100)],
            "rows": [{"row": [1] * 100}] * 100,
        }
        path.write_text(json.dumps(content))
    command("compare", "a", "b", "--output-dir", two_runs)
    page = (two_runs / "compare-a-b.html").read_text()
    assert '<table class="matrix">' not in page
    assert 'aria-label="Confusion matrix of run B"' in page


@pytest.mark.parametrize("names", ["ab", "aba"])
def test_nothing_of_a_comparison_is_hidden_on_a_phone(two_runs, open_page, names):
    command("compare", *names, "--output-dir", two_runs)
    page = open_page(two_runs / f"compare-{'-'.join(names)}.html", 390)
    assert (
        page.evaluate(
            "[...document.querySelectorAll('*')].filter(e => !e.closest('svg')"
            " && e.getBoundingClientRect().right > 390).length"
        )
        == 0
    )


def test_mcnemars_test_is_that_of_the_books():
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar(10, 2) == pytest.approx(0.0385742, abs=1e-6)  # binomial, n 12
    assert mcnemar(560, 480) == pytest.approx(0.0143, abs=1e-4)  # chi-squared 6.001, 1 degree


def test_the_interval_of_a_difference_is_symmetric_and_holds_it():
    low, high = difference_interval(30, 10, 100)
    assert low < 0.2 < high
    assert difference_interval(10, 30, 100) == (-high, -low)


def test_compare_refuses_a_run_that_is_not_there(two_runs):
    status, output = command("compare", "a", "lates", "--output-dir", two_runs)
    assert status == 2
    assert f"no run 'lates' in {two_runs}: did you mean 'latest'?" in output


UNREADABLE = {
    "empty": b"",
    "cut short": b'{"status": "SUCC',
    "no UTF-8": b'{"status": "\xff"}',
    "nested too deep": b"[" * 100_000,
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e999",
    "of another tool": b'{"name": "exp", "status": "finished"}',
    "without steps": b'{"status": "FAILED", "accuracy": null, "seconds": 1, "parameters": {}}',
    "steps of another kind": (
        b'{"status": "FAILED", "accuracy": 1, "seconds": 1, "parameters": {}, "steps": [1]}'
    ),
    "seconds of another kind": (
        b'{"status": "FAILED", "accuracy": 1, "seconds": "1", "parameters": {}, "steps": []}'
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_record_that_cannot_be_read_is_named_and_the_others_are_listed(two_runs, case):
    (two_runs / "exp").mkdir()
    (two_runs / "exp" / "run.json").write_bytes(UNREADABLE[case])
    status, output = command("runs", "--output-dir", two_runs)
    assert status == 0
    (named,) = (line for line in output.splitlines() if line.startswith("left out: "))
    assert f"{two_runs}/exp/run.json " in named
    assert [line.split()[0] for line in output.splitlines() if "✓" in line or "✗" in line] == [
        *("a", "b")
    ]
    status, output = command("compare", "a", "exp", "--output-dir", two_runs)
    assert (status, f"{two_runs}/exp/run.json " in output) == (2, True)


def test_a_directory_in_place_of_a_record_is_named(two_runs):
    (two_runs / "exp" / "run.json").mkdir(parents=True)
    status, output = command("runs", "--output-dir", two_runs)
    assert (status, "exp/run.json can't be read: Is a directory" in output) == (0, True)


def test_latest_is_the_newest_run_where_there_is_no_link(two_runs):
    (two_runs / "latest").unlink()
    assert find_run(two_runs, "latest").name == "b"
    shutil.copytree(two_runs / "a", two_runs / "latest")  # as cp -rL leaves it
    assert find_run(two_runs, "latest").name == "b"
    assert [path.name for path in run_directories(two_runs)] == ["a", "b"]
