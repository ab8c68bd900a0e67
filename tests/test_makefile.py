import pathlib
import shutil
import subprocess

import pipeline

ROOT = pathlib.Path(pipeline.__file__).parent


def test_another_python_is_refused_before_it_makes_an_environment(tmp_path):
    for name in ("Makefile", "pyproject.toml", "mnist_mxnet/shipping/requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    other = tmp_path / "python3.12"
    other.write_text('#!/bin/sh\necho "$@" >> calls\nexit 1\n')
    other.chmod(0o755)
    command = ["make", ".venv/ready", f"PYTHON={other}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        f"the steps run on Python 3.11, and this needs it too, and {other} is none: install one"
        in done.stdout
    )
    assert "venv" not in (tmp_path / "calls").read_text()
