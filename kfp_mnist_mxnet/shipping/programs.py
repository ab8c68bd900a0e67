"""The program of a step, in each of the forms in which code travels.

embedded   the function in plain text, and files of the library that it imports; others may come as
           an artifact of an earlier step, and go on to a later one
carried    all files, and the function, come from an earlier step
installed  the image has the library, or pip installs it
"""

import hashlib
from collections.abc import Mapping

from kfp_mnist_mxnet.shipping.archive import BETWEEN, SAFE, UNSAFE, pack
from kfp_mnist_mxnet.shipping.install import PROJECT

ARTIFACT = "library"  # the output and the input by which files are handed on

HEADER = """
from kfp import dsl
from kfp.dsl import *

"""
ARTIFACTS = f"""
def library_artifact(way):
    told = json.loads(sys.argv[sys.argv.index("--executor_input") + 1])
    return dsl.Artifact(uri=told[way]["artifacts"]["{ARTIFACT}"]["artifacts"][0]["uri"]).path
"""
START = """
# What the step imports of kfp_mnist_mxnet.
import base64, bz2, hashlib, json, pathlib, shutil, sys
library = pathlib.Path(__file__).with_name("library")
"""
# Every file that Python could import has a dot in its name.
TAKE = """
# What an earlier step has brought: it runs here, so it must be what was compiled.
shutil.copytree(library_artifact("inputs"), library)
found = sorted((str(p.relative_to(library)), p.read_bytes()) for p in library.rglob("*.*"))
if hashlib.sha256(repr(found).encode()).hexdigest() != "DIGEST":
    raise SystemExit("the code that an earlier step handed on is another: run it without the cache")
"""
BRING = """
# Files by bzip2 in base 85.
text = "TEXT".translate(str.maketrans("SAFE", "UNSAFE"))
files = bz2.decompress(base64.b85decode(text)).decode().split(BETWEEN)
for name, content in zip(files[::2], files[1::2]):
    (library / name).parent.mkdir(parents=True, exist_ok=True)
    (library / name).write_text(content, encoding="utf-8")
sys.path.insert(0, str(library))
"""
HAND_ON = """
# A later step takes it.
shutil.copytree(library, library_artifact("outputs"))
"""
# kfp's executor looks for the annotation of every input artifact.
ANNOTATE = f"""
NAME.__annotations__["{ARTIFACT}"] = dsl.Input[dsl.Artifact]
"""
CARRIED = """
sys.path.insert(0, str(library))
from MODULE import NAME
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


def module_source(function: str) -> str:
    """Return a module that has a step's function, its source, and what its signature needs."""
    return HEADER + function


def digest(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of files, path to content, as a step that takes them computes it."""
    found = sorted((name, content.encode()) for name, content in files.items())
    return hashlib.sha256(repr(found).encode()).hexdigest()


def embedded(
    name: str,
    function: str,
    brings: Mapping[str, str],
    takes: Mapping[str, str] | None = None,
    hands_on: bool = False,
) -> str:
    """Return the program with a function, its source, and the files that it brings.

    takes: the files that come from an earlier step too, if there is one; hands_on: all go on to a
    later one.
    """
    bring = BRING.replace("UNSAFE", UNSAFE).replace("SAFE", SAFE).replace("BETWEEN", repr(BETWEEN))
    parts = [module_source(function)]
    parts += [ARTIFACTS] if takes or hands_on else []
    parts += [START, *([taking(takes)] if takes else []), bring.replace("TEXT", pack(brings))]
    parts += [HAND_ON] if hands_on else []
    parts += [ANNOTATE.replace("NAME", name)] if takes else []
    return "".join(parts)


def taking(files: Mapping[str, str]) -> str:
    """Return the part of a program that takes files from an earlier step, just these."""
    return TAKE.replace("DIGEST", digest(files))


def carried(name: str, takes: Mapping[str, str]) -> str:
    """Return the program of a step that takes all files, and its function, from another."""
    start = CARRIED.replace("MODULE", handed_module(name)).replace("NAME", name)
    annotate = ANNOTATE.replace("NAME", name)
    return f"\nfrom kfp import dsl\n{ARTIFACTS}{START}{taking(takes)}{start}{annotate}"


def handed_module(name: str) -> str:
    """Return the name of the module that has a step's function in what is handed on."""
    return f"step_{name}"


def installed(name: str, version: str) -> str:
    """Return the program that imports a step from the library that is installed."""
    return INSTALLED.replace("VERSION", version).replace("NAME", name)


def local(name: str) -> str:
    """Return the program that imports a step where this library itself is imported."""
    return f"from kfp_mnist_mxnet.components import {name}\n"
