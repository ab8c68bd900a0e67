import pathlib

import numpy as np
import pytest
from kfp import dsl

from components._dataset import write_dataset
from components.evaluate import evaluate


def score(artifacts, model, data):
    outputs = {
        "metrics": artifacts.new(dsl.Metrics, "metrics"),
        "confusion_matrix": artifacts.new(dsl.ClassificationMetrics, "confusion_matrix"),
        "evaluation_report": artifacts.new(dsl.HTML, "evaluation_report"),
    }
    return evaluate.python_func(model=model, data=data, **outputs), outputs


def test_returns_the_accuracy_and_logs_it(artifacts, trained):
    accuracy, outputs = score(artifacts, trained["model"], trained["test_data"])
    assert accuracy == outputs["metrics"].metadata["accuracy"] > 0.9
    assert type(accuracy) is float


def test_counts_every_image_once(artifacts, trained):
    _, outputs = score(artifacts, trained["model"], trained["test_data"])
    rows = outputs["confusion_matrix"].metadata["confusionMatrix"]["rows"]
    assert [sum(row["row"]) for row in rows] == [9, 8, 8]
    assert outputs["metrics"].metadata["images"] == 25


def test_report_is_written(artifacts, trained):
    _, outputs = score(artifacts, trained["model"], trained["test_data"])
    page = pathlib.Path(outputs["evaluation_report"].path).read_text()
    assert "Confusion matrix" in page


def data_set(artifacts, images, labels):
    data = artifacts.new(dsl.Dataset, "data")
    artifacts.root.mkdir()
    write_dataset(pathlib.Path(data.path), images, labels, 9, "made up")
    return data


@pytest.mark.parametrize(
    ("shape", "label", "message"),
    [
        ((2, 1, 5, 5), 0, r"the shape \[1, 5, 5\], but the model takes \[1, 12, 12\]"),
        ((2, 1, 12, 12), 8, "has the label 8, but the model knows only 3 classes"),
        ((0, 1, 12, 12), 0, "has no images"),
    ],
)
def test_refuses_data_that_does_not_fit(artifacts, trained, shape, label, message):
    data = data_set(artifacts, np.zeros(shape, np.uint8), np.full(shape[0], label, np.uint8))
    with pytest.raises(ValueError, match=message):
        score(artifacts, trained["model"], data)
    assert not pathlib.Path(artifacts.root, "evaluation_report").exists()


def test_refuses_a_directory_that_is_no_model(artifacts, trained, tmp_path):
    model = dsl.Model(uri=str(tmp_path))
    with pytest.raises(ValueError, match=r"is not a model: it has no file model\.json"):
        score(artifacts, model, trained["test_data"])
