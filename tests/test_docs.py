"""What the documents say is what the code does: tables, links, commands, the notebook."""

import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import nbformat
import pytest
import yaml
from conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
NOT_RUN = re.compile(r"<!-- not run: .*\S -->")


def blocks(document: str) -> list[tuple[str, str, str]]:
    """The fenced blocks of a document: the line before each, its language, its text."""
    fenced = re.compile(r"^([^\n]*)\n```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    return fenced.findall((ROOT / document).read_text())


def program(document: str) -> str:
    """The bash and Python of a document that is not marked, as one bash program."""
    parts = {"bash": "{}", "python": ".venv/bin/python - <<'PYTHON'\n{}PYTHON\n"}
    return "".join(
        parts[language].format(text)
        for before, language, text in blocks(document)
        if language in parts and not NOT_RUN.fullmatch(before)
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> pathlib.Path:
    """The project as it is checked out, with this Python environment in .venv, for all documents.

    What a document does not say is still there from another, as in a reader's clone.
    """
    without = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "runs", "build", "dist")
    place = tmp_path_factory.mktemp("documents") / "project"
    copied = shutil.copytree(ROOT, place, ignore=without)
    (copied / ".venv").symlink_to(sys.prefix)
    return copied


@pytest.mark.parametrize("document", [name for name in NAMES if program(name)])
def test_the_commands_of_a_document_work_as_they_are_printed(copy, document):
    command = ["bash", "-euo", "pipefail", "-c", program(document)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = re.findall(r"^accuracy +(\S+)$", done.stdout, flags=re.MULTILINE)
    assert all(float(value) > 0.8 for value in accuracy), accuracy


@pytest.mark.parametrize("document", NAMES)
def test_a_block_says_what_it_is(document):
    fences = (ROOT / document).read_text().count("\n```")
    assert len(blocks(document)) * 2 == fences
    assert all(language for _, language, _ in blocks(document))


def test_the_tables_are_fresh():
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    for name in tables["DOCUMENTS"]:
        text = (ROOT / name).read_text()
        assert "<!-- make docs: " in text
        assert tables["filled"](text) == text, "make docs"


def headings(document: pathlib.Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_file_and_heading_that_is_named_is_there():
    for document in DOCUMENTS:
        text = document.read_text()
        for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
            target = document.parent / link if link else document
            assert target.exists(), (document, link)
            assert not anchor or anchor in headings(target), (document, link, anchor)
        for path in re.findall(r"`((?:tests|benchmarks|scripts|docs)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), (document, path)


def test_every_picture_is_shown():
    shown = "".join(document.read_text() for document in DOCUMENTS)
    assert [path.name for path in (ROOT / "docs").glob("*.png") if path.name not in shown] == []


def workflow(name: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())


def test_the_workflow_runs_what_the_readme_prints():
    assert workflow("ci")["permissions"] == {"contents": "read"}
    jobs = workflow("ci")["jobs"]
    runs = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    assert runs == {
        "ci": [".ci/run"],
        "newest": [
            "make newest",
            "git diff -- kfp_mnist_mxnet/compiler",
            ".ci/run",
            "make test-all",
        ],
        "smoke-test-wheel": ["make smoke-test-wheel"],
    }


@pytest.mark.parametrize("name", ["ci", "release"])
def test_a_workflow_pins_what_it_uses_and_calls_what_is_here(name):
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in workflow(name)["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]), step
            for path in re.findall(r"(?:^|(?<= ))(?:\.ci|release)/[\w.]+", step.get("run", "")):
                assert (ROOT / path).is_file(), step
            assert set(re.findall(r"\bmake ([\w./-]+)", step.get("run", ""))) <= targets, step


def test_only_a_job_that_needs_it_may_write():
    release = workflow("release")
    assert release["permissions"] == {}
    writes = {
        name: {what for what, may in job["permissions"].items() if may == "write"}
        for name, job in release["jobs"].items()
    }
    signs = {"id-token", "attestations"}
    assert writes == {
        "test": set(),
        "images": {"packages", *signs},
        "files": signs,
        "attach": {"contents"},
        "publish": {"id-token"},
    }


def outputs(notebook) -> str:
    """What a notebook has printed, and the HTML that it has shown."""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/html", "") for output in shown
    )


def test_the_notebook_runs_from_top_to_bottom(copy):
    subprocess.run([sys.executable, "docs/digits.py", "digits"], cwd=copy, check=True)
    environment = {**os.environ, "DATA_URI": str(copy / "digits")}
    subprocess.run([sys.executable, "scripts/notebook.py"], cwd=copy, env=environment, check=True)
    printed = outputs(nbformat.read(copy / "docs" / "tutorial.ipynb", as_version=4))
    assert "train_data 1500 images [1, 8, 8]" in printed
    assert re.search(r"test image 24: \d with the probability [01]\.\d+", printed)
    assert re.search(r"Validation-accuracy=0\.\d+", printed)


def test_the_notebook_is_committed_with_what_it_gives_on_mnist():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = outputs(notebook)
    probability = re.search(r"test image 24: 4 with the probability (\S+)", printed)
    scores = dict(re.findall(r"^(tanh|relu) accuracy (\S+)$", printed, flags=re.MULTILINE))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "train_data 60000 images [1, 28, 28]" in printed
    assert probability
    assert float(probability[1]) > 0.99
    assert float(scores["relu"]) > float(scores["tanh"]) > 0.97
    assert NOTEBOOK.stat().st_size < 300_000
