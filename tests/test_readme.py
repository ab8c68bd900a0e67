"""What the README says of the code is what the code says."""

import pathlib
import re

import pytest

import pipeline
from components._hyperparameters import recipe_hyperparameters

ROOT = pathlib.Path(pipeline.__file__).parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", recipe_hyperparameters("default"))
def test_the_table_of_recipes_is_fresh(name):
    values = [recipe_hyperparameters(recipe)[name] for recipe in ("default", "best", "tutorial")]
    assert f"| `{name}` | {' | '.join(str(value) for value in values)} |" in README


def test_every_file_that_is_named_is_there():
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for document in documents:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), (document, link)


def test_every_step_is_in_the_table():
    modules = [path.stem for path in (ROOT / "components").glob("[a-z]*.py")]
    assert [name for name in modules if f"| `{name}` |" not in README] == []
