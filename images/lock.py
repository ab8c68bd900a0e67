"""Write images/*/requirements.txt: the suite's pins with what they need, each with its hashes.

The images have kfp without its dependencies, as the steps on the public image do: in a step kfp
needs none of them.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from components._step import pins

IMAGES = pathlib.Path(__file__).parent
NOT_IN_A_STEP = ("docker==", "kfp==", "kfp-kubernetes==", "rich==")
COMPILE = [
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
    *("--generate-hashes", "--python-version", "3.11", "-"),
    *("--python-platform", "x86_64-manylinux_2_28"),
]


def locked(requirements: list[str], *options: str) -> str:
    """Return the requirements with what they need, as exact versions with hashes."""
    text = "\n".join(requirements)
    return subprocess.run(
        [*COMPILE, *options], input=text, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    """Write the requirements of both images."""
    steps = [pin for pin in pins("requirements.txt") if not pin.startswith(NOT_IN_A_STEP)]
    cuda = [pin for pin in steps if not pin.startswith("mxnet==")] + pins("requirements-gpu.txt")
    kfp = locked(pins("requirements.txt", ["kfp"]), "--no-deps")
    for image, requirements in (("mxnet-cpu", steps), ("mxnet-gpu", cuda)):
        path = IMAGES / image / "requirements.txt"
        path.write_text("# Made by images/lock.py: run make locks.\n" + kfp + locked(requirements))


if __name__ == "__main__":
    main()
