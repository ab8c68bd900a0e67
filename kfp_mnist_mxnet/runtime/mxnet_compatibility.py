"""What MXNet 1.9.1, of 2022, needs to be imported on a Python and a NumPy of today.

Its library, libmxnet.so, is called through ctypes and knows neither. Its Python files fetch some
names as they are imported that NumPy has dropped since, and distutils, which Python has dropped:
they are there for the time of the import, and gone after it. Only mxnet.np, which the suite does
not use, would need a few of them later. SciPy and scikit-learn, which they import where these are
installed, are hidden for as long.
"""

import contextlib
import importlib.util
import pathlib
import platform
import sys
import types
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kfp_mnist_mxnet.errors import MissingLibrary

if TYPE_CHECKING:  # its files are read: importing it takes 0.2 s of each step
    import setuptools  # noqa: F401

# Its own metadata ask for NumPy 1, which pip would have to build on Python 3.13 and later.
INSTALL_MXNET = "pip install --no-deps mxnet==1.9.1"

# Oldest and newest that the suite was tried on.
PYTHON_VERSIONS = ("3.11", "3.14")
NUMPY_VERSIONS = ("1.26", "2.5")


# MXNet imports them where they are installed, for sparse arrays, quantization and a base class that
# the suite does not use: 1.7 s of 2.6 s.
OPTIONAL = ("scipy", "sklearn")

# What mxnet/numpy/utils.py, fallback.py and numpy_dispatch_protocol.py fetch, by the version of
# NumPy that dropped it; None for a function without a successor, which only mxnet.np would call.
# Source: NumPy's release notes.
DROPPED: dict[str, dict[str, Any]] = {
    "1.24": {"bool": np.bool_},  # 2.0 has it again
    "2.0": {
        **dict.fromkeys(("NaN", "NAN"), np.nan),
        **dict.fromkeys(("Inf", "PINF"), np.inf),
        "NINF": -np.inf,
        "PZERO": 0.0,
        "NZERO": -0.0,
        "alltrue": np.all,
        "sometrue": np.any,
        "product": np.prod,
        "round_": np.round,
        **dict.fromkeys(("mirr", "msort", "npv", "pmt", "ppmt", "pv", "rate")),
    },
    "2.4": dict.fromkeys(("in1d", "trapz")),
}


def check_installed() -> None:
    """Check that MXNet is installed.

    Raises:
        MissingLibrary: it is not; the message says how to install it.
    """
    if importlib.util.find_spec("mxnet") is None:
        raise MissingLibrary(f"MXNet is not installed: {INSTALL_MXNET}")


@contextlib.contextmanager
def importable_mxnet() -> Iterator[None]:
    """Let `import mxnet` succeed inside the with block; leave NumPy and Python as they were.

    Raises:
        MissingLibrary: a version of Python or NumPy that this was not tried on, or no setuptools
            where Python has no distutils.
    """
    check_version("Python", platform.python_version(), *PYTHON_VERSIONS)
    check_version("NumPy", np.__version__, *NUMPY_VERSIONS)
    with warnings.catch_warnings(), numpy_names(), distutils(), hidden(OPTIONAL):
        warnings.simplefilter("ignore", DeprecationWarning)  # np.bool, LooseVersion
        yield


def check_version(what: str, found: str, oldest: str, newest: str) -> None:
    """Check a version against the oldest and the newest that were tried.

    Raises:
        MissingLibrary: it lies outside.
    """
    shown = ".".join(found.split(".")[:2])
    first, version, last = (tuple(map(int, text.split("."))) for text in (oldest, shown, newest))
    if not first <= version <= last:
        raise MissingLibrary(
            f"MXNet 1.9.1 was tried with {what} {oldest} to {newest}, but this is {what} {shown}: "
            "install one of those"
        )


@contextlib.contextmanager
def numpy_names() -> Iterator[None]:
    """Give NumPy the names that it has dropped, inside the with block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated before they go
        names = {
            name: value
            for dropped in DROPPED.values()
            for name, value in dropped.items()
            if not hasattr(np, name)
        }
    vars(np).update(names)
    try:
        yield
    finally:
        for name in names:
            delattr(np, name)


@contextlib.contextmanager
def hidden(packages: Iterable[str]) -> Iterator[None]:
    """Have packages that are not imported yet count as not installed, inside the with block."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # None: it can't be imported
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextlib.contextmanager
def distutils() -> Iterator[None]:
    """Give Python the distutils of setuptools, where it has none, inside the with block.

    Raises:
        MissingLibrary: setuptools is not installed.
    """
    if sys.version_info < (3, 12) or "distutils" in sys.modules:
        yield
        return
    setuptools = importlib.util.find_spec("setuptools")
    if setuptools is None or setuptools.origin is None:
        raise MissingLibrary("MXNet needs setuptools, which is not installed: pip install it")
    package = types.ModuleType("distutils")
    package.__path__ = [str(pathlib.Path(setuptools.origin).with_name("_distutils"))]
    sys.modules[package.__name__] = package
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == package.__name__]:
            del sys.modules[name]
