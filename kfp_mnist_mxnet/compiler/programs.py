"""The program of a step, in each of the forms in which code gets to it.

embedded   python3 -c PROGRAM: it has the bundle of the library, or takes that of the pipeline's
           first step; the bundle installs packages and starts kfp's executor
installed  a module for kfp's executor: the image has the library, or pip installs it
local      the same, with the library of this Python environment
"""

import re
from collections.abc import Iterable

from kfp_mnist_mxnet.compiler.bundle import SAFE, UNSAFE, Bundle
from kfp_mnist_mxnet.compiler.install import PROJECT

ARTIFACT = "library"  # the output and the input by which the bundle gets to the other steps
OUTPUT, INPUT = (f"{{{{$.{way}.artifacts['{ARTIFACT}'].path}}}}" for way in ("outputs", "inputs"))
TEXT, SHA256 = "BUNDLE-TEXT", "BUNDLE-SHA256"  # what stands in a program until they are known

# The back end keeps a program some eight times for each iteration of a loop: few words.
EMBEDDED = f"""
import base64, bz2, pathlib, sys
bundle = base64.b85decode("{TEXT}".translate(str.maketrans("{SAFE}", "{UNSAFE}")))
"""
WRITE_OUTPUT = """
output = pathlib.Path(sys.argv[1])
output.parent.mkdir(parents=True, exist_ok=True)
output.write_bytes(bundle)
"""
READ_INPUT = f"""
import bz2, hashlib, pathlib, sys
bundle = pathlib.Path(sys.argv[1]).read_bytes()
if hashlib.sha256(bundle).hexdigest() != "{SHA256}":
    sys.exit("the library artifact is not what was compiled: run with caching disabled")
"""
# What was compiled, and nothing else: READ_INPUT has checked it. kfp's local runner takes a command
# for that of a Python component by the words of the comment, and runs no two that install at once.
START = """
exec(bz2.decompress(bundle))
start("NAME", "PACKAGES") # pip install, kfp.dsl.executor_main
"""
# The bundle takes over what a step installs, so that it stands in the back end's record once.
UNFINISHED = re.compile(r'start\("(\w+)", "([^"]*)"\)')
INSTALLED = f"""
import importlib.metadata

try:
    installed = importlib.metadata.version("{PROJECT}")
except importlib.metadata.PackageNotFoundError:
    installed = "no version of it"
if installed != "VERSION":
    raise SystemExit(
        f"this step was compiled for {PROJECT} VERSION, but {{installed}} is installed here: "
        "use the image or the wheel of that version, or compile the pipeline again"
    )
from kfp_mnist_mxnet.components import NAME
"""


def first_command(name: str, packages: Iterable[str], writes_output: bool) -> list[str]:
    """Return the command with the bundle in it; writes_output: later steps take it from there."""
    program = EMBEDDED + WRITE_OUTPUT * writes_output + filled(START, name, packages)
    return ["python3", "-c", program, *([OUTPUT] if writes_output else [])]


def later_command(name: str, packages: Iterable[str]) -> list[str]:
    """Return the command that takes the bundle from the pipeline's first step."""
    return ["python3", "-c", READ_INPUT + filled(START, name, packages), INPUT]


def filled(program: str, name: str, packages: Iterable[str]) -> str:
    """Return a program for a step of this name, which installs packages."""
    return program.replace("NAME", name).replace("PACKAGES", " ".join(packages))


def needs_bundle(command: Iterable[str]) -> bool:
    """Tell whether a command is without its bundle."""
    return any(TEXT in word or SHA256 in word for word in command)


def packages_of(command: Iterable[str]) -> dict[str, str]:
    """Return what a command without its bundle installs, by name of its step."""
    return dict(found for word in command for found in UNFINISHED.findall(word))


def with_bundle(command: Iterable[str], bundle: Bundle) -> list[str]:
    """Return a command with its bundle, or the digest of it."""
    return [
        UNFINISHED.sub(
            r'start("\1")', word.replace(TEXT, bundle.text).replace(SHA256, bundle.sha256)
        )
        for word in command
    ]


def installed(name: str, version: str) -> str:
    """Return the program that imports a step from the library that is installed."""
    return INSTALLED.replace("VERSION", version).replace("NAME", name)


def local(name: str) -> str:
    """Return the program that imports a step where this library itself is imported."""
    return f"from kfp_mnist_mxnet.components import {name}\n"
