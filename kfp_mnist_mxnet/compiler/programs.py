"""The program of a step, in each of the forms in which code gets to it.

embedded   the program has a bundle of the library, or takes that of the pipeline's first step
installed  the image has the library, or pip installs it
local      the library of this Python environment
"""

from kfp_mnist_mxnet.compiler.bundle import SAFE, UNSAFE, Bundle, module_name
from kfp_mnist_mxnet.compiler.install import PROJECT

ARTIFACT = "library"  # the output and the input by which the bundle gets to the other steps
TEXT, SHA256 = "BUNDLE-TEXT", "BUNDLE-SHA256"  # what stands in a program until they are known

# The back end keeps a program some eight times for each iteration of a loop: few words.
START = f"""
import base64, bz2, hashlib, json, pathlib, sys
from kfp import dsl

def library(way):
    told = json.loads(sys.argv[sys.argv.index("--executor_input") + 1])[way]["artifacts"]
    return pathlib.Path(dsl.Artifact(uri=told["{ARTIFACT}"]["artifacts"][0]["uri"]).path)
"""
EMBEDDED = f"""
text = "{TEXT}".translate(str.maketrans("{SAFE}", "{UNSAFE}"))
bundle = base64.b85decode(text)
"""
WRITE_OUTPUT = """
library("outputs").parent.mkdir(parents=True, exist_ok=True)
library("outputs").write_bytes(bundle)
"""
READ_INPUT = f"""
bundle = library("inputs").read_bytes()
if hashlib.sha256(bundle).hexdigest() != "{SHA256}":
    sys.exit("the library artifact is not the one that was compiled: run without the cache")
"""
# What was compiled, and nothing else: READ_INPUT has checked it.
IMPORT = """
exec(bz2.decompress(bundle))
from MODULE import NAME
"""
# kfp's executor looks for the annotation of every input artifact.
ANNOTATE = f"""NAME.__annotations__["{ARTIFACT}"] = dsl.Input[dsl.Artifact]
"""
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


def first_program(name: str, writes_output: bool) -> str:
    """Return the program with the bundle in it; writes_output: later steps take it from there."""
    return filled(START + EMBEDDED + WRITE_OUTPUT * writes_output + IMPORT, name)


def later_program(name: str) -> str:
    """Return the program that takes the bundle from the pipeline's first step."""
    return filled(START + READ_INPUT + IMPORT + ANNOTATE, name)


def needs_bundle(program: str) -> bool:
    """Tell whether a program needs its bundle."""
    return TEXT in program or SHA256 in program


def with_bundle(program: str, bundle: Bundle) -> str:
    """Return a program with its bundle, or the digest of it."""
    return program.replace(TEXT, bundle.text).replace(SHA256, bundle.sha256)


def filled(program: str, name: str) -> str:
    """Return a program for a step of this name."""
    return program.replace("MODULE", module_name(name)).replace("NAME", name)


def installed(name: str, version: str) -> str:
    """Return the program that imports a step from the library that is installed."""
    return INSTALLED.replace("VERSION", version).replace("NAME", name)


def local(name: str) -> str:
    """Return the program that imports a step where this library itself is imported."""
    return f"from kfp_mnist_mxnet.components import {name}\n"
