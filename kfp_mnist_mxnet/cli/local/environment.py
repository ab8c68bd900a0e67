"""What a run was made with: the suite, its commit, packages, CPUs."""

import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any

import kfp_mnist_mxnet
from kfp_mnist_mxnet.runtime.cpus import available_cpus

PACKAGES = ("numpy", "mxnet", "kfp")


def describe_environment() -> dict[str, Any]:
    """Return what run.json says of where a run is made: `commit` only in a clone of the suite."""
    commit = git_commit(pathlib.Path(kfp_mnist_mxnet.__file__).parents[1])
    return {
        "versions": {
            "kfp-mnist-mxnet": kfp_mnist_mxnet.__version__,
            "python": platform.python_version(),
            **{name: found for name in PACKAGES if (found := version(name))},
        },
        **({"commit": commit} if commit else {}),
        "cpus": available_cpus(),
    }


def version(package: str) -> str:
    """Return the version of an installed package, empty if it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def git_commit(root: pathlib.Path) -> str:
    """Return the commit of a git repository, with -dirty if a file differs; empty without one."""
    if not (root / ".git").exists():
        return ""
    commit = git(root, "rev-parse", "HEAD")
    return commit + ("-dirty" if commit and git(root, "status", "--porcelain", "-uno") else "")


def git(root: pathlib.Path, *arguments: str) -> str:
    """Return what a command of git prints, nothing if it fails or git is not there."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.strip()
