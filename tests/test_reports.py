"""Every report, opened in a browser. A new report is tested by adding it to `reports`."""

import pathlib
import re

import pytest
from kfp import dsl

from components.compare import compare
from components.evaluate import evaluate
from components.merge import merge
from components.predict import predict

REPORTS = [
    "data_report",
    "training_report",
    "evaluation_report",
    "preview",
    "merge_report",
    "sweep_report",
]


@pytest.fixture(scope="session")
def reports(trained, tmp_path_factory) -> dict:
    """Report name to artifact: the reports of all steps on a small data set."""
    root = tmp_path_factory.mktemp("reports")

    def new(kind: type, name: str):
        return kind(name=name, uri=str(root / name))

    judged = {"model": trained["model"], "data": trained["test_data"]}
    evaluated = {"evaluation_report": new(dsl.HTML, "evaluation_report")}
    evaluate.python_func(
        **judged,
        **evaluated,
        metrics=new(dsl.Metrics, "metrics"),
        confusion_matrix=new(dsl.ClassificationMetrics, "confusion_matrix"),
    )
    predicted = {"preview": new(dsl.HTML, "preview")}
    predictions = new(dsl.Dataset, "predictions")
    predict.python_func(
        **judged, **predicted, predictions=predictions, metrics=new(dsl.Metrics, "metrics")
    )
    merged = {"merge_report": new(dsl.HTML, "merge_report")}
    merge.python_func(
        shards=[predictions],
        labels=trained["test_data"],
        predictions=new(dsl.Dataset, "merged"),
        metrics=new(dsl.Metrics, "metrics"),
        **merged,
    )
    swept = {"sweep_report": new(dsl.HTML, "sweep_report")}
    compare.python_func(
        models=[trained["model"], trained["model"]],
        best_model=new(dsl.Model, "best_model"),
        metrics=new(dsl.Metrics, "metrics"),
        **swept,
    )
    return {**trained, **evaluated, **predicted, **merged, **swept}


@pytest.mark.parametrize("name", REPORTS)
def test_report_writes_nothing_to_the_console_and_asks_for_nothing(name, reports, open_in_browser):
    visit = open_in_browser(pathlib.Path(reports[name].path))
    assert visit.console == []
    assert visit.requests == []


@pytest.mark.parametrize("name", REPORTS)
def test_report_is_one_page_that_names_no_other(name, reports):
    page = pathlib.Path(reports[name].path).read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page) == []


def test_a_console_error_is_found(tmp_path, open_in_browser):
    page = tmp_path / "page.html"
    page.write_text("<script>localStorage.x = 1</script>")
    (line,) = open_in_browser(page).console
    assert "SecurityError" in line


def test_a_request_is_found(tmp_path, open_in_browser):
    page = tmp_path / "page.html"
    page.write_text("<img src='https://example.org/picture.png'>")
    assert open_in_browser(page).requests == ["https://example.org/picture.png"]
