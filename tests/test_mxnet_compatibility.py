"""MXNet 1.9.1 on a Python and a NumPy of today: what is there for its import is gone after it."""

import json
import subprocess
import sys

import pytest

from kfp_mnist_mxnet.errors import MissingLibrary
from kfp_mnist_mxnet.runtime import mxnet_compatibility
from kfp_mnist_mxnet.runtime.mxnet_compatibility import DROPPED, INSTALL_MXNET, check_version

STATE = """
import importlib.util, json, sys, warnings
warnings.simplefilter("ignore")
import numpy
names = {name for group in json.loads(sys.argv[1]) for name in group}
print(sorted(name for name in names if hasattr(numpy, name)))
for package in ("distutils", "scipy", "sklearn"):
    print(importlib.util.find_spec(package) is not None)
"""


def state(before: str = "") -> str:
    """Which of the names NumPy has, and whether there is distutils, after a line of Python."""
    program = [
        sys.executable,
        "-c",
        before + STATE,
        json.dumps([list(g) for g in DROPPED.values()]),
    ]
    return subprocess.check_output(program, text=True)


@pytest.fixture(scope="module")
def before() -> str:
    """The state without MXNet."""
    return state()


def test_numpy_and_python_are_left_as_they_were(before):
    assert state("from kfp_mnist_mxnet.runtime.engine import mx\n") == before


def test_what_mxnet_does_not_need_is_not_imported_with_it():
    program = "from kfp_mnist_mxnet.runtime.engine import mx; import sys; print(*sys.modules)"
    imported = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert "mxnet" in imported
    assert not {"scipy", "sklearn"} & set(imported)


def test_they_are_left_so_after_a_failure_too(before):
    failing = (
        "from kfp_mnist_mxnet.runtime.mxnet_compatibility import importable_mxnet\n"
        "try:\n    with importable_mxnet():\n        import no_such_module\n"
        "except ImportError:\n    pass\n"
    )
    assert state(failing) == before


@pytest.mark.parametrize("found", ["3.11.0", "3.12.1", "3.14.8"])
def test_a_version_that_was_tried_is_taken(found):
    check_version("Python", found, *mxnet_compatibility.PYTHON_VERSIONS)


@pytest.mark.parametrize(
    ("what", "version", "message"),
    [
        ("Python", "3.10.1", r"tried with Python 3\.11 to 3\.14, but this is Python 3\.10: "),
        ("Python", "3.15.0a1", r"tried with Python 3\.11 to 3\.14, but this is Python 3\.15: "),
        ("NumPy", "1.25.2", r"tried with NumPy 1\.26 to 2\.5, but this is NumPy 1\.25: "),
        ("NumPy", "2.10.0", r"tried with NumPy 1\.26 to 2\.5, but this is NumPy 2\.10: "),
        ("NumPy", "2.6.0rc1", r"tried with NumPy 1\.26 to 2\.5, but this is NumPy 2\.6: "),
    ],
)
def test_a_version_that_was_not_tried_is_refused(what, version, message):
    tried = getattr(mxnet_compatibility, f"{what.upper()}_VERSIONS")
    with pytest.raises(MissingLibrary, match=message):
        check_version(what, version, *tried)


def hidden(package: str) -> str:
    """Python that hides a package from the import system."""
    return (
        "import importlib.util\n"
        "find_spec = importlib.util.find_spec\n"
        f"hide = {package!r}\n"
        "importlib.util.find_spec = lambda name: None if name == hide else find_spec(name)\n"
    )


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("mxnet", f"MXNet is not installed: {INSTALL_MXNET}"),
        pytest.param(
            "setuptools",
            "MXNet needs setuptools, which is not installed: pip install it",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12), reason="this Python has its own distutils"
            ),
        ),
    ],
)
def test_a_package_that_is_missing_is_named(missing, message):
    program = f"{hidden(missing)}import kfp_mnist_mxnet.runtime.engine\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith(f"MissingLibrary: {message}")


def test_a_run_without_mxnet_does_not_begin(tmp_path):
    program = f"{hidden('mxnet')}from kfp_mnist_mxnet.cli.main import main\nmain(['run'])\n"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"Error: MXNet is not installed: {INSTALL_MXNET}\n"
    assert not list(tmp_path.iterdir())
