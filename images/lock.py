"""Write what the suite's pins need, as exact versions: run `make locks`.

images/*/requirements.txt has hashes and is what an image installs; lock.txt beside the pins says
which package needs which, and is what a step on the public Python image installs its part of. Both
have kfp without its dependencies: in a step kfp needs none of them. runner/model_server.txt is what
KServe's model server needs, in an environment of its own.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from mnist_mxnet.shipping import install
from mnist_mxnet.shipping.install import CPU_PINS, CUDA_PINS, LOCK, pins

IMAGES = pathlib.Path(__file__).parent
MODEL_SERVER = IMAGES.parent / "runner" / "model_server.txt"
KSERVE = "kserve==0.21.0"  # needs a newer NumPy than MXNet runs on
COMPILE = [
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"),
    *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"),
]
HASHED = ("--no-annotate", "--generate-hashes")


def locked(requirements: list[str], *options: str) -> str:
    """Return the requirements with what they need, as exact versions."""
    return subprocess.run(
        [*COMPILE, *options, "-"],
        input="\n".join(requirements),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def main() -> None:
    """Write the requirements of both images, and the lock of the steps."""
    steps = [pin for pin in pins(CPU_PINS) if not pin.startswith("kfp==")]
    cuda = [pin for pin in steps if not pin.startswith("mxnet==")] + pins(CUDA_PINS)
    kfp = locked(pins(CPU_PINS, ["kfp"]), "--no-deps", *HASHED)
    for image, requirements in (("mxnet-cpu", steps), ("mxnet-gpu", cuda)):
        path = IMAGES / image / "requirements.txt"
        path.write_text(
            "# Made by images/lock.py: run make locks.\n" + kfp + locked(requirements, *HASHED)
        )
    server = locked([KSERVE, *pins(CPU_PINS, ["onnxruntime"])], "--no-annotate")
    MODEL_SERVER.write_text("# Made by images/lock.py: run make locks.\n" + server)
    lock = locked(steps, "--annotation-style", "line").replace("-r -", "a step")
    pathlib.Path(install.__file__).with_name(LOCK).write_text(lock)


if __name__ == "__main__":
    main()
