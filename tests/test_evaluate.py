import json
import math
import pathlib
import re

import numpy as np
import pytest
import scipy.special
from conftest import damage_model, new_data, unknown_operator
from kfp import dsl
from sklearn import metrics as sklearn_metrics

from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.evaluation.calibration import calibrate, coverage, thresholds
from kfp_mnist_mxnet.evaluation.classes import class_metrics, count_confusions, top_confusions
from kfp_mnist_mxnet.evaluation.scores import roc_points, scores
from kfp_mnist_mxnet.notation import DASH, percent
from kfp_mnist_mxnet.reports.evaluation import write_evaluation_report

SPACE = "\N{NO-BREAK SPACE}"


def score(artifacts, model, data, **parameters):
    outputs = artifacts.run(evaluate, model=model, data=data, **parameters)
    return outputs["Output"], outputs


def counts(outputs) -> list[list[int]]:
    return [row["row"] for row in outputs["confusion_matrix"].metadata["confusionMatrix"]["rows"]]


@pytest.fixture
def hard_data(artifacts):
    """2,500 images, no multiple of the batch, a good part of which the model gets wrong."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 120, (2500, 1, 12, 12), dtype=np.uint8)
    labels = (np.arange(2500) % 3).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, label * 4 : label * 4 + 4] += 30
    return new_data(artifacts, images, labels, 3)


@pytest.fixture
def probabilities(artifacts, trained, hard_data) -> np.ndarray:
    outputs = artifacts.run(predict, model=trained["model"], data=hard_data)
    return np.load(pathlib.Path(outputs["predictions"].path, "probabilities.npy"))


def test_returns_the_accuracy_and_logs_it(artifacts, trained):
    accuracy, outputs = score(artifacts, trained["model"], trained["test_data"])
    assert accuracy == outputs["metrics"].metadata["accuracy"] > 0.9
    assert type(accuracy) is float


def test_every_metric_is_a_finite_python_number(artifacts, trained, hard_data):
    _, outputs = score(artifacts, trained["model"], hard_data)
    values = outputs["metrics"].metadata
    assert sorted(values) == [
        "accuracy",
        "baseline_accuracy",
        "errors",
        "expected_calibration_error",
        "images",
        "images_per_second",
        "log_loss",
        "macro_f1",
        "macro_precision",
        "macro_recall",
        "top_2_accuracy",
    ]
    assert {type(value) for value in values.values()} <= {int, float}
    assert all(map(math.isfinite, values.values()))


def test_agrees_with_predict_and_with_scikit_learn(artifacts, trained, hard_data, probabilities):
    accuracy, outputs = score(artifacts, trained["model"], hard_data)
    labels, predicted = np.arange(2500) % 3, probabilities.argmax(1)
    assert 0.4 < accuracy < 0.99
    assert accuracy == sklearn_metrics.accuracy_score(labels, predicted)
    assert counts(outputs) == sklearn_metrics.confusion_matrix(labels, predicted).tolist()
    values = outputs["metrics"].metadata
    assert values["errors"] == (labels != predicted).sum()
    assert values["baseline_accuracy"] == 834 / 2500
    assert values["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, probabilities))
    assert values["macro_f1"] == sklearn_metrics.f1_score(labels, predicted, average="macro")
    own = probabilities[np.arange(2500), labels]
    assert values["top_2_accuracy"] == np.mean((probabilities > own[:, None]).sum(1) < 2)


@pytest.mark.parametrize("num_classes", [2, 3, 40])
def test_every_score_is_that_of_scikit_learn(num_classes):
    generator = np.random.default_rng(num_classes)
    labels = generator.integers(0, num_classes, 500, np.uint8)
    labels[labels == 1] = 0  # a class that no image is of
    logits = generator.normal(size=(500, num_classes)).round(1)  # so that some are equal
    logits[:, 0] -= 9  # and one that is seldom found
    probabilities = scipy.special.softmax(4 * logits, axis=1).astype(np.float32)
    classes, predicted = np.arange(num_classes), probabilities.argmax(1)
    macro = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )
    found = scores(labels, probabilities)
    assert found["accuracy"] == sklearn_metrics.accuracy_score(labels, predicted)
    assert found["log_loss"] == pytest.approx(
        sklearn_metrics.log_loss(labels, probabilities, labels=classes)
    )
    for name, value in zip(("precision", "recall", "f1"), macro, strict=False):
        assert found[f"macro_{name}"] == pytest.approx(value)
    rows = np.array(
        sklearn_metrics.precision_recall_fscore_support(
            labels, predicted, labels=classes, zero_division=0
        )
    )
    figures = class_metrics(labels, predicted, ["a class"] * num_classes)
    assert np.allclose([row[2:] + row[1:2] for row in figures], rows.T)
    expected = sklearn_metrics.confusion_matrix(labels, predicted, labels=classes)
    assert (count_confusions(labels, predicted, num_classes) == expected).all()


@pytest.mark.parametrize("num_classes", [3, 40])
def test_the_second_likeliest_counts_as_in_scikit_learn(num_classes):
    generator = np.random.default_rng(num_classes)
    labels = generator.integers(0, num_classes, 500, np.uint8)
    probabilities = generator.dirichlet(np.ones(num_classes), 500).astype(np.float32)
    classes = np.arange(num_classes)
    expected = sklearn_metrics.top_k_accuracy_score(labels, probabilities, k=2, labels=classes)
    assert scores(labels, probabilities)["top_2_accuracy"] == expected


def test_counts_every_image_once(artifacts, trained, hard_data):
    _, outputs = score(artifacts, trained["model"], hard_data)
    assert [sum(row) for row in counts(outputs)] == [834, 833, 833]
    assert outputs["metrics"].metadata["images"] == 2500


def test_roc_is_short_finite_and_close_to_the_whole_curve(hard_data, probabilities):
    labels = (np.arange(2500) % 3).astype(np.uint8)
    false, true, thresholds = map(np.array, roc_points(labels, probabilities))
    assert len(false) == len(true) == len(thresholds) <= 200
    assert np.isfinite(thresholds).all()
    assert (np.diff(thresholds) < 0).all()
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    belongs = labels[:, None] == np.arange(3)
    area = sklearn_metrics.roc_auc_score(belongs.ravel(), probabilities.ravel())
    assert sklearn_metrics.auc(false, true) == pytest.approx(area, abs=1e-3)


def test_a_roc_of_few_images_is_the_whole_curve():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 20, np.uint8)
    probabilities = generator.integers(0, 30, (20, 3)).astype(np.float32) / 30  # some are equal
    belongs = (labels[:, None] == np.arange(3)).ravel()
    false, true, thresholds = sklearn_metrics.roc_curve(
        belongs, probabilities.ravel(), drop_intermediate=False
    )
    assert roc_points(labels, probabilities) == (
        false.tolist(),
        true.tolist(),
        [1 + thresholds[1], *thresholds[1:].tolist()],
    )


def test_calibration_error_of_an_example_by_hand():
    labels = np.array([0, 0, 0, 1], np.uint8)
    sure = np.array([[0.95, 0.05]] * 3 + [[0.55, 0.45]], np.float32)
    assert calibrate(labels, sure).count.tolist() == [0] * 8 + [1] + [0] * 5 + [3]
    assert calibrate(labels, sure).error == pytest.approx(3 / 4 * 0.05 + 1 / 4 * 0.55)


@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_in_the_report_is_the_published_one(tmp_path, correct, images, low, high):
    labels = (np.arange(images) >= correct).astype(np.uint8)
    probabilities = np.tile(
        np.array([0.9, 0.1], np.float32), (images, 1)
    )  # correct are those of the label 0
    pixels = np.zeros((images, 1, 2, 2), np.uint8)
    write_evaluation_report(tmp_path / "page.html", pixels, labels, probabilities, ["a", "b"])
    shown = f"{100 * low:.2f} to {100 * high:.2f}".replace(" ", SPACE)
    assert f"<dd>{shown}</dd>" in (tmp_path / "page.html").read_text()


def test_the_figures_of_a_class_count_its_images_and_its_predictions():
    labels, predicted = np.array([0, 0, 0, 1], np.uint8), np.array([0, 0, 1, 3])
    assert class_metrics(labels, predicted, ["a", "b", "never", "only predicted"]) == [
        ("a", 3, 1.0, 2 / 3, 0.8),
        ("b", 1, 0.0, 0.0, 0.0),
        ("never", 0, 0.0, 0.0, 0.0),
        ("only predicted", 0, 0.0, 0.0, 0.0),
    ]


def judged(tmp_path, labels, right) -> str:
    """The report on made-up labels, of which all but those at the end of `right` are predicted."""
    labels = np.array(labels, np.uint8)
    predicted = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % 3)
    probabilities = np.full((len(labels), 3), 0.1, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.8
    pixels = np.zeros((len(labels), 1, 2, 2), np.uint8)
    write_evaluation_report(
        tmp_path / "page.html", pixels, labels, probabilities, ["cat", "dog", "never"]
    )
    return (tmp_path / "page.html").read_text().replace(SPACE, " ")


def test_the_report_begins_with_the_accuracy_and_the_baseline(tmp_path):
    page = judged(tmp_path, [0] * 600 + [1] * 400, 990)
    assert "Accuracy 99.00 % (95 % interval 98.17 to 99.46), 10 of 1,000 wrong; " in page
    assert "always predicting the most common class: 60.00 %." in page
    assert "Warning" not in page


def test_a_model_no_better_than_the_most_common_class_is_called_so(tmp_path):
    page = judged(tmp_path, [0] * 30 + [1] * 10, 31)
    assert "the model is no better than always predicting the most common class, cat" in page


def test_confusions_and_classes_are_shown_worst_first_and_undefined_as_a_dash(tmp_path):
    page = judged(tmp_path, [0] * 600 + [1] * 400, 990)
    assert "<span>dog as never: 10, 2.5 %</span>" in page
    assert 'title="true dog, predicted never: 10 of 400, 2.5 %"' in page
    rows = re.findall(r"<tr><td>(\w+)</td><td>[\d,]+</td><td>(.*?)</td><td>(.*?)</td>", page)
    assert [name for name, *_ in rows] == ["never", "dog", "cat"]
    assert rows[0][1:] == ("0.00 % (0.00 to 27.75)", DASH)
    assert rows[1][2] == "97.50 % (95.46 to 98.64)"


def test_confusions_are_counted_without_what_is_right():
    matrix = np.array([[9, 0, 2], [5, 0, 0], [0, 1, 3]])
    assert top_confusions(matrix, 2) == [(1, 0, 5), (0, 2, 2)]
    assert len(top_confusions(matrix, 9)) == 3


def test_coverage_of_an_example_by_hand():
    confidence = np.array([0.5, 0.9, 0.9, 0.7])
    kept, accuracy, least = coverage(confidence, np.array([False, True, False, True]))
    assert kept.tolist() == [0.5, 0.75, 1]
    assert accuracy.tolist() == [0.5, pytest.approx(2 / 3), 0.5]
    assert least.tolist() == [0.9, 0.7, 0.5]


def test_thresholds_begin_with_all_and_name_none_twice():
    rows = thresholds(np.array([0.9, 0.9, 0.8]), np.array([True, True, False]))
    assert [row[0] for row in rows] == [1, pytest.approx(2 / 3)]


def test_class_names_stand_in_matrix_and_report(artifacts, trained):
    names = ["top", "<b>middle</b>", "bottom"]
    _, outputs = score(artifacts, trained["model"], trained["test_data"], class_names=names)
    specs = outputs["confusion_matrix"].metadata["confusionMatrix"]["annotationSpecs"]
    page = pathlib.Path(outputs["evaluation_report"].path).read_text()
    assert [spec["displayName"] for spec in specs] == names
    assert "&lt;b&gt;middle&lt;/b&gt;" in page
    assert "<b>" not in page


def test_refuses_another_number_of_class_names(artifacts, trained):
    with pytest.raises(ValueError, match="one name for each of the 3 classes, got 2"):
        score(artifacts, trained["model"], trained["test_data"], class_names=["a", "b"])


@pytest.mark.parametrize("names", [["a", "b", "a"], ["a", "b", ""]])
def test_refuses_class_names_that_name_nothing(artifacts, trained, names):
    with pytest.raises(ValueError, match="class_names must all differ, and none be empty"):
        score(artifacts, trained["model"], trained["test_data"], class_names=names)


def test_report_shows_what_it_promises(artifacts, trained, hard_data):
    accuracy, outputs = score(artifacts, trained["model"], hard_data)
    page = pathlib.Path(outputs["evaluation_report"].path).read_text()
    assert percent(accuracy) in page
    assert re.findall("<h2>(.*)</h2>", page) == [
        "Confusion matrix",
        "Most frequent confusions",
        "The most confident mistakes",
        "Per-class metrics",
        "Reliability",
        "Accuracy and coverage",
    ]
    assert page.count("<figure>") == 24
    assert 'aria-label="Accuracy against the share kept"' in page


def test_more_classes_than_a_table_can_show_are_drawn(artifacts, trained):
    images, labels = np.zeros((3, 1, 12, 12), np.uint8), np.zeros(3, np.uint8)
    data = new_data(artifacts, images, labels, 40)
    names = [f"class {i:02}" for i in range(40)]
    _, outputs = score(artifacts, trained["model"], data, class_names=names)
    page = pathlib.Path(outputs["evaluation_report"].path).read_text()
    figure = page[page.index('aria-label="Confusion matrix"') : page.index("</svg>")]
    assert set(re.findall(">(class ..)<", figure)) == set(names)


def test_classes_that_the_model_does_not_know_are_reported(artifacts, trained, caplog):
    images, labels = np.zeros((4, 1, 12, 12), np.uint8), np.full(4, 4, np.uint8)
    accuracy, outputs = score(artifacts, trained["model"], new_data(artifacts, images, labels, 5))
    page = pathlib.Path(outputs["evaluation_report"].path).read_text()
    told = "The data has 5 classes, but the model knows only 3"
    assert accuracy == 0
    assert sum(counts(outputs)[4]) == 4
    assert told in page
    assert told in caplog.text


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 5, 5), r"the shape \[1, 5, 5\], but the model takes \[1, 12, 12\]"),
        ((0, 1, 12, 12), "has no images"),
    ],
)
def test_refuses_data_that_does_not_fit(artifacts, trained, shape, message):
    data = new_data(artifacts, np.zeros(shape, np.uint8), np.zeros(shape[0], np.uint8), 3)
    with pytest.raises(ValueError, match=message):
        score(artifacts, trained["model"], data)
    assert not pathlib.Path(artifacts.root, "evaluation_report").exists()


def test_refuses_a_directory_that_is_no_model(artifacts, trained, tmp_path):
    model = dsl.Model(uri=str(tmp_path))
    with pytest.raises(ValueError, match=r"is not a model: it has no file model\.json"):
        score(artifacts, model, trained["test_data"])


@pytest.mark.parametrize("name", ["model.json", "model-symbol.json", "model-0000.params"])
def test_refuses_a_model_that_lacks_a_file(artifacts, trained, name):
    model = damage_model(artifacts, trained["model"], name, lambda content: None)
    with pytest.raises(ValueError, match=f"is not a model: it has no file {re.escape(name)}"):
        score(artifacts, model, trained["test_data"])


@pytest.mark.parametrize("name", ["model.json", "model-symbol.json", "model-0000.params"])
def test_refuses_a_model_that_was_cut_short(artifacts, trained, name):
    model = damage_model(artifacts, trained["model"], name, lambda content: content[:-100])
    with pytest.raises(ValueError, match=f"{re.escape(name)} (is damaged|was cut short)"):
        score(artifacts, model, trained["test_data"])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 2}, "has the format 2, expected 1"),
        ({"num_classes": 4}, r"says 4 classes, but the symbol's output has the shape \[\(1, 3\)\]"),
        ({"num_classes": "3"}, "num_classes must be a whole number from 2 to 256, got '3'"),
        ({"input_shape": [1, 12]}, r"input_shape must be three positive whole numbers, got \[1, 1"),
        ({"input_shape": [1, 30, 30]}, "can't be used"),
        ({"sha256": None}, "sha256 must map the checkpoint files to digests, got None"),
    ],
)
def test_refuses_a_model_json_that_is_not_the_models(artifacts, trained, entries, message):
    model = damage_model(
        artifacts,
        trained["model"],
        "model.json",
        lambda content: json.dumps({**json.loads(content), **entries}).encode(),
    )
    with pytest.raises(ValueError, match=message):
        score(artifacts, model, trained["test_data"])


def test_refuses_an_operator_that_no_network_has(artifacts, trained):
    model = unknown_operator(artifacts, trained["model"])
    with pytest.raises(ValueError, match="is of the operator Custom, which no network may"):
        score(artifacts, model, trained["test_data"])


def test_refuses_parameters_that_are_not_finite(artifacts, trained):
    import mxnet as mx

    def with_nan(content: bytes) -> bytes:
        arrays = mx.nd.load_frombuffer(content)
        arrays["arg:conv0_bias"][0] = math.nan
        path = artifacts.root / "nan.params"
        mx.nd.save(str(path), arrays)
        return path.read_bytes()

    model = damage_model(artifacts, trained["model"], "model-0000.params", with_nan, forge=True)
    with pytest.raises(ValueError, match="NaN or infinite in conv0_bias"):
        score(artifacts, model, trained["test_data"])
