import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

import kfp_mnist_mxnet.components  # noqa: F401 (each notes its step)
from kfp_mnist_mxnet.compiler.install import CPU_PINS, LOCK, pins, step_pins, with_dependencies
from kfp_mnist_mxnet.compiler.step import STEPS

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
    packages, library = installs
    assert "--require-hashes" in packages
    assert "--no-index" in library
    assert all("--no-deps" in install for install in installs)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_an_image_does_not_run_as_root(image):
    assert re.findall(r"^USER (\d+)", (image / "Dockerfile").read_text(), re.MULTILINE) == ["65532"]


def test_every_accepted_vulnerability_has_a_reason():
    lines = (ROOT / ".ci" / "accepted-vulnerabilities").read_text().splitlines()
    accepted = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z][\w-]+ [\w-]+: .{20,}", line) for line in accepted), accepted


def test_an_audit_leaves_out_what_is_accepted(tmp_path):
    """make audit, with a pip-audit that shows what it is told."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "ready").touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    for name in ("images/mxnet-cpu/requirements.txt", "kfp_mnist_mxnet/cli/serve/model_server.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    accepted = tmp_path / ".ci" / "accepted-vulnerabilities"
    accepted.parent.mkdir()
    accepted.write_text("# why\nCVE-2024-1 it: is not used\n")
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/ready", "--silent", "audit"]
    said = subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    assert said.stdout.splitlines() == [
        "-m pip_audit --progress-spinner off --disable-pip --no-deps "
        f"--requirement {pins} --ignore-vuln CVE-2024-1"
        for pins in (
            "images/mxnet-cpu/requirements.txt",
            "kfp_mnist_mxnet/cli/serve/model_server.txt",
        )
    ]


def test_what_a_step_installs_is_pinned_whole():
    for name, step in STEPS.items():
        installed = {pin.partition("==")[0] for pin in step_pins(step.imports.packages)}
        assert step.imports.packages <= installed, name
    assert {"certifi", "requests", "graphviz"} <= with_dependencies(["mxnet"])
    assert not with_dependencies(["jinja2"]) - {"jinja2", "markupsafe"}


def test_the_lock_is_that_of_the_pins():
    locked = set(pins(LOCK))
    wanted = {pin for pin in pins(CPU_PINS) if not pin.startswith("kfp==")}
    assert wanted <= locked, "make locks"
    image = (ROOT / "images" / "mxnet-cpu" / "requirements.txt").read_text()
    assert not [pin for pin in locked if f"{pin} " not in image], "make locks"
