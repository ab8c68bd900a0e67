import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "images"))

from audit import ACCEPTED, judge, read_accepted, run_audit  # noqa: E402

IMAGES = sorted(path.parent for path in ROOT.glob("images/*/Dockerfile"))


def requirements(image: pathlib.Path) -> list[str]:
    """The lines of an image's requirements, each with its continuations."""
    text = (image / "requirements.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_requirement_of_an_image_has_a_version_and_a_hash(image):
    assert len(requirements(image)) > 20
    for line in requirements(image):
        assert re.fullmatch(r"[\w.-]+==[\w.]+(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), line


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_an_image_installs_only_what_is_hashed(image):
    dockerfile = (image / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install[^\n]*", dockerfile)
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[0]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_an_image_does_not_run_as_root(image):
    assert re.findall(r"^USER (\d+)", (image / "Dockerfile").read_text(), re.MULTILINE) == ["65532"]


# As pip-audit 2.9.0 writes it.
VULNERABLE = {
    "dependencies": [
        {"name": "click", "version": "8.1.8", "vulns": []},
        {
            "name": "jinja2",
            "version": "2.4.1",
            "vulns": [
                {
                    "id": "PYSEC-2014-8",
                    "fix_versions": ["2.7.2"],
                    "aliases": ["CVE-2014-1402", "GHSA-8r7q-cvjq-x353"],
                    "description": "The default configuration of FileSystemBytecodeCache",
                }
            ],
        },
        {"name": "isal", "skip_reason": "Dependency not found on PyPI"},
    ],
    "fixes": [],
}


def test_a_new_vulnerability_fails():
    fine, lines = judge(VULNERABLE, {})
    assert not fine
    assert lines[0] == "NEW: PYSEC-2014-8 in jinja2 2.4.1, fixed in 2.7.2"
    assert lines[-1] == "checked: 2 pins, 1 new"


@pytest.mark.parametrize("name", ["PYSEC-2014-8", "CVE-2014-1402"])
def test_an_accepted_vulnerability_does_not_fail(name):
    fine, lines = judge(VULNERABLE, {name: "jinja2: not used so"})
    assert fine
    assert lines[0].startswith("accepted: PYSEC-2014-8")
    assert "jinja2: not used so" in lines[0]


def test_what_was_not_looked_up_is_said():
    assert "not checked: the database does not know isal" in judge(VULNERABLE, {})[1]


def test_a_database_that_is_not_there_does_not_fail():
    assert judge(None, {}) == (
        True,
        ["not checked: the database of vulnerabilities can't be reached"],
    )
    none = {"dependencies": [{"name": "isal", "skip_reason": "Dependency not found on PyPI"}]}
    assert judge(none, {}) == (
        True,
        ["not checked: the database of vulnerabilities knows none of the pins"],
    )


def test_a_failed_audit_is_no_report(tmp_path):
    assert run_audit(tmp_path / "missing.txt") is None


def test_every_accepted_vulnerability_has_a_reason():
    assert all(len(why) > 20 for why in read_accepted(ACCEPTED.read_text()).values())
    with pytest.raises(ValueError, match="without a reason"):
        read_accepted("CVE-2014-1402 jinja2")


def test_the_workflow_audits():
    assert "make audit" in (ROOT / ".ci" / "run").read_text()
