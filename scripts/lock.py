"""Write what the suite's pins need, as exact versions: run `make locks`.

requirements.lock               .venv, on every supported Python, with hashes
kfp_mnist_mxnet/compiler/lock.txt  which package needs which: of this a step on the public Python
                                image installs its part
images/*/requirements.txt       what an image installs, with hashes
kfp_mnist_mxnet/cli/serve/model_server.txt  KServe's model server, in an environment of its own

In a step and in an image kfp comes without its dependencies: it needs none of them there.
"""

import pathlib
import re
import subprocess
import sys

import click

from kfp_mnist_mxnet.compiler.install import CPU_PINS, CUDA_PINS, LOCK, pins

ROOT = pathlib.Path(__file__).parents[1]
HEADER = "# Made by scripts/lock.py: run make locks.\n"
KSERVE = "kserve==0.21.0"
UNIVERSAL = ("--universal", "--python-version", "3.11")  # the oldest
# Of a component too: kfp's local runner starts it on any supported Python.
STEP = (
    *("--python-version", "3.11", "--constraint", "requirements.lock"),
    *("--python-platform", "x86_64-manylinux_2_28"),
)
HASHED = ("--no-annotate", "--generate-hashes")


def compile_lock(*arguments: str, requirements: list[str] | None = None) -> str:
    """Return what `uv pip compile` makes of a file that the arguments name, or of requirements."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", *arguments]
    return subprocess.run(
        command if requirements is None else [*command, "-"],
        input="\n".join(requirements or []),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ).stdout


def locked(requirements: list[str], *options: str) -> str:
    """Return requirements with what they need, pinned."""
    return compile_lock(*options, requirements=requirements)


@click.command()
@click.option("--upgrade", is_flag=True, help="To the newest versions that go together.")
def main(upgrade: bool) -> None:
    """Write the locks."""
    lock = ROOT / "requirements.lock"
    newest = ("--upgrade",) if upgrade else ()
    # What is in the file stays as it is, where it can.
    everything = ("setup.cfg", "--all-extras", "--output-file", lock.name, *newest)
    compile_lock(*everything, *UNIVERSAL, *HASHED)
    lock.write_text(HEADER + lock.read_text().removeprefix(HEADER))

    steps = [pin for pin in pins(CPU_PINS) if not pin.startswith("kfp==")]
    text = locked(steps, *STEP, "--annotation-style", "line")
    text = re.sub(r"( +# via|,) --?(c|r|override) .*", "", text)  # what is no package
    (ROOT / "kfp_mnist_mxnet" / "compiler" / LOCK).write_text(text)

    cuda = [pin for pin in steps if not pin.startswith("mxnet==")] + pins(CUDA_PINS)
    kfp = locked(pins(CPU_PINS, ["kfp"]), *STEP, *HASHED, "--no-deps")
    for image, requirements in (("mxnet-cpu", steps), ("mxnet-gpu", cuda)):
        path = ROOT / "images" / image / "requirements.txt"
        path.write_text(HEADER + kfp + locked(requirements, *STEP, *HASHED))

    server = [KSERVE, *pins(CPU_PINS, ["onnxruntime"])]
    path = ROOT / "kfp_mnist_mxnet" / "cli" / "serve" / "model_server.txt"
    path.write_text(HEADER + locked(server, *UNIVERSAL, "--no-annotate"))


if __name__ == "__main__":
    main()
