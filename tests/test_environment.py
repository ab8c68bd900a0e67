"""What `make run` says on a machine that lacks something, before it makes an environment."""

import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from kfp_mnist_mxnet import __version__


@pytest.fixture
def checkout(tmp_path) -> pathlib.Path:
    """What of a checkout an environment is made of."""
    files = ("Makefile", "setup.cfg", "requirements.lock", "scripts/environment")
    for name in (*files, "kfp_mnist_mxnet/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def fake_python(directory: pathlib.Path, name: str, fits: bool, lacks: str = "") -> pathlib.Path:
    """A Python that notes what it is called for, and whether it fits and what it lacks."""
    path = directory / name
    path.write_text(
        f'#!/bin/sh\necho "$@" >>{directory}/calls\n'
        f'case $1 in -c) exit {int(not fits)} ;; -) printf "{lacks}" ;; *) exit 3 ;; esac\n'
    )
    path.chmod(0o755)
    return path


def said(checkout: pathlib.Path, python: pathlib.Path, distribution: str) -> str:
    """What make says on a distribution where making an environment fails."""
    released = checkout / "os-release"
    released.write_text(f"ID={distribution}\n")
    script = checkout / "scripts" / "environment"
    script.write_text(script.read_text().replace("/etc/os-release", str(released)))
    command = ["make", "--silent", ".venv/ready", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 2
    assert "venv" not in (checkout / "calls").read_text()
    assert not (checkout / ".venv").exists()
    return done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("distribution", "remedy"),
    [
        ("debian", "apt install python3 python3-venv"),
        ("fedora", "dnf install python3.13"),
        ("arch", "pacman -S python"),
        ("gentoo", "pip install uv && uv python install 3.13"),
    ],
)
def test_a_python_that_does_not_fit_is_refused_with_the_remedy(checkout, distribution, remedy):
    other = fake_python(checkout, "python3.10", fits=False)
    assert said(checkout, other, distribution) == (
        f"Python 3.11 to 3.14 is needed, and {other} is none: {remedy}, or "
        "make PYTHON=/path/to/python"
    )


@pytest.mark.parametrize(
    ("distribution", "remedy"),
    [
        ("debian", "apt install python3.13-venv libquadmath0"),
        ("fedora", "dnf install libgomp libquadmath"),
        ("arch", "pacman -S gcc-libs"),
        ("gentoo", "install the packages that have them"),
    ],
)
def test_what_a_machine_lacks_is_said_in_one_sentence(checkout, distribution, remedy):
    lacks = "venv python3.13-venv\\nlibquadmath.so.0 libquadmath0\\n"
    python = fake_python(checkout, "python3.13", fits=True, lacks=lacks)
    missing = "venv libquadmath.so.0"
    assert said(checkout, python, distribution) == f"{python} lacks {missing}: {remedy}"


def test_the_lock_says_where_each_package_comes_from_by_its_hash():
    lock = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in lock.splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert not [line for line in lines if "==" not in line or "--hash=sha256:" not in line]


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory) -> pathlib.Path:
    """The Python of a new environment that has pip and nothing else."""
    directory = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    python = directory / "bin" / "python"
    download = [python, "-m", "pip", "download", "--quiet", "--no-deps", "click", "--dest"]
    if subprocess.run([*download, directory / "click"]).returncode:
        pytest.skip("no index of packages can be reached")
    return python


@pytest.fixture
def copy(tmp_path) -> pathlib.Path:
    """A copy of the checkout: pip leaves files where it builds."""
    for name in ("components", "kfp_mnist_mxnet"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
    for name in ("pipeline.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def pip(python: pathlib.Path, *arguments: str, directory: pathlib.Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], cwd=directory, check=True)


def test_pip_installs_a_checkout_and_a_repository(empty_environment, copy):
    pip(empty_environment, "click", directory=copy)  # all that the command needs for its help
    repository = [f"git+file://{ROOT}"] if (ROOT / ".git").is_dir() else []
    for place in (".", *repository):
        pip(empty_environment, "--no-deps", "--force-reinstall", place, directory=copy)
        command = empty_environment.with_name("kfp-mnist-mxnet")
        version = subprocess.check_output([command, "--version"], cwd="/", text=True)
        assert version == f"{__version__}\n"
        (installed,) = empty_environment.parents[1].glob("lib/*/site-packages/kfp_mnist_mxnet")
        assert (installed / "components" / "evaluate.py").is_file()
        assert (installed / "pipeline.py").is_file()


@pytest.mark.draw(0)  # it takes half a minute; make smoke-test-wheel installs them too
def test_pip_installs_all_that_a_checkout_needs(empty_environment, copy):
    pip(empty_environment, "--no-compile", ".", directory=copy)
    program = "from kfp_mnist_mxnet.components import evaluate; print(evaluate.name)"
    said = subprocess.check_output([empty_environment, "-c", program], cwd="/", text=True)
    assert said == "evaluate\n"
