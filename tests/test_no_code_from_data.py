"""Data is never run: no step unpickles or evaluates, and no report takes text for markup."""

import ast
import base64
import html.parser
import json
import pathlib

import pytest
from conftest import Artifacts, write_idx_set
from kfp import dsl

from kfp_mnist_mxnet.compiler.bundle import ROOT
from kfp_mnist_mxnet.compiler.step import STEPS
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.model.operators import OPERATORS
from kfp_mnist_mxnet.reports.page import Picture, Section, write_report

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "yaml", "runpy"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "literal_eval", "system", "popen"}


def dangers(source: str) -> set[str]:
    """What in a program can run code that came as data."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module.partition(".")[0]} & FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else ""
            name = function.attr if isinstance(function, ast.Attribute) else name
            module = getattr(getattr(function, "value", None), "id", "")
            if name in FORBIDDEN_CALLS and module != "re":
                found.add(name)
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "shell") and (
                    getattr(keyword.value, "value", True) is not False
                ):
                    found.add(keyword.arg)
    return found


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_step_runs_data(name):
    step = STEPS[name]
    modules = [path for path in step.imports.files if path.endswith(".py")]
    assert len(modules) > 3
    assert dangers(step.source) == set()
    found = {path: dangers((ROOT / path).read_text()) for path in modules}
    # It takes unpickling from MXNet's server.
    found["kfp_mnist_mxnet/distributed/roles.py"] = set()
    assert {path: names for path, names in found.items() if names} == {}


def test_what_runs_data_is_found():
    program = (
        "import pickle\nfrom yaml import load\neval(x)\nos.system(x)\nnp.load(f, allow_pickle=a)"
    )
    assert dangers(program) == {"pickle", "yaml", "eval", "system", "allow_pickle"}
    assert dangers("run(x, shell=True)") == {"shell"}


def test_models_have_only_the_operators_of_the_suites_networks(trained):
    graph = json.loads(pathlib.Path(trained["model"].path, "model-symbol.json").read_text())
    assert {node["op"] for node in graph["nodes"]} - {"null"} <= set(OPERATORS)
    assert "Custom" not in OPERATORS


HOSTILE = [
    "<script>alert(1);console.log('script')</script>",
    "\"><img src=https://example.org/x onerror=console.log('image&ran')>",
    "javascript:console.log(1)",
    "]]></svg><script>console.log('svg')</script>",
    "{{7*7}}{% for x in y %}${7*7}",
    "' onmouseover='alert(1)",
    "</style></title><iframe src=https://example.org/>",
    "&lt;b&gt; &amp; --><!--",
]


@pytest.fixture(scope="module")
def hostile_reports(trained, tmp_path_factory) -> dict[str, pathlib.Path]:
    """Report name to path: every report, with hostile text wherever a user's text goes."""
    root = tmp_path_factory.mktemp("hostile")
    text = " ".join(HOSTILE)

    made = Artifacts(root)
    reports = {name: made.new(dsl.HTML, name) for name in REPORTS}
    source = write_idx_set(root / HOSTILE[0] / HOSTILE[2] / HOSTILE[3])
    outputs = made.run(ingest, data_uri=str(source), data_report=reports["data_report"])
    judged = {"model": trained["model"], "data": trained["test_data"]}
    named = {**judged, "class_names": [text, HOSTILE[0], HOSTILE[1]]}
    made.run(evaluate, **named, evaluation_report=reports["evaluation_report"])
    made.run(export, **named, export_report=reports["export_report"])
    of_theirs = {"model": trained["model"], "data": outputs["test_data"]}
    predictions = made.run(predict, **of_theirs, preview=reports["preview"])["predictions"]
    made.run(
        merge,
        shards=[predictions],
        labels=outputs["test_data"],
        predictions=made.new(dsl.Dataset, "merged"),
        merge_report=reports["merge_report"],
    )
    models = []
    for number, value in enumerate((text, HOSTILE[0], "_hidden\ud800")):
        (root / f"model{number}").mkdir()
        record = {"validation_accuracy": 0.5, "train_accuracy": 0.5, "train_loss": 0.5}
        about = {"history": [record], "hyperparameters": {HOSTILE[1]: value, "activation": value}}
        (root / f"model{number}" / "model.json").write_text(json.dumps(about))
        models.append(dsl.Model(uri=str(root / f"model{number}")))
    made.run(compare, models=models, sweep_report=reports["sweep_report"])
    reports["any_report"] = made.new(dsl.HTML, "any_report")
    sections = [
        Section(
            text, text, pictures=[Picture("data:image/png,", text)], head=[text], rows=[HOSTILE]
        )
    ]
    write_report(pathlib.Path(reports["any_report"].path), text, {text: text}, sections)
    return {name: pathlib.Path(report.path) for name, report in reports.items()}


REPORTS = {  # and how many of the hostile texts it shows
    "data_report": 3,  # a URI has no white space
    "evaluation_report": 8,
    "export_report": 8,
    "sweep_report": 8,
    "any_report": 8,
    "preview": 0,  # nothing that a user writes as text comes into these
    "merge_report": 0,
}


def active_parts(page: str) -> list[str]:
    """The tags and attributes of a page that run code or ask for something."""
    found = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attributes: list) -> None:
            found.extend([tag] if tag in ("script", "iframe", "object", "embed", "base") else [])
            for name, value in attributes:
                local = str(value).startswith(("data:image/png", "#"))
                if name.startswith("on") or (name in ("src", "href", "xlink:href") and not local):
                    found.append(f"{tag} {name}={value}")

    Parser().feed(page)
    return found


def test_active_parts_are_found():
    page = "<b onclick=x></b><script></script><img src='data:image/png;'><a href='javascript:x'>"
    assert active_parts(page) == ["b onclick=x", "script", "a href=javascript:x"]


# Appended to a page: what it shows, as one line of the console.
TELL_TEXT = """<script>
console.log(btoa(unescape(encodeURIComponent("text:" + document.body.textContent))))
</script>"""


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_shows_hostile_text_and_does_not_obey_it(
    name, hostile_reports, tmp_path, open_in_browser
):
    page = hostile_reports[name].read_text()
    assert active_parts(page) == []
    (tmp_path / "page.html").write_text(page + TELL_TEXT)
    visit = open_in_browser(tmp_path / "page.html")
    (line,) = visit.console
    text = base64.b64decode(line).decode().partition("text:")[2]
    assert sum(hostile in text for hostile in HOSTILE) == REPORTS[name]
    assert visit.requests == []
