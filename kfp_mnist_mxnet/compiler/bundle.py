"""What steps need of the library: found from their imports, and packed into one program.

It is part of the back end's cache key, so it is the same at every compile, in every checkout, on
every machine and Python version: files are in order and without dates, and what compresses it is
bzip2, whose only implementation gives the same bytes since 1996; zlib and xz do not promise that.
"""

import ast
import base64
import bz2
import dataclasses
import functools
import hashlib
import modulefinder
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from typing import Self

import kfp_mnist_mxnet

LIBRARY = kfp_mnist_mxnet.__name__
ROOT = pathlib.Path(kfp_mnist_mxnet.__file__).parents[1]

# Packages whose name at PyPI is not that of their module, and what comes with another.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "aiohttp": "model-registry",
    "model_registry": "model-registry",
    "mr_openapi": "model-registry",
}
# What a step runs of it: it writes the files, and itself, for programs that the step starts
# elsewhere. `run` installs packages, then runs a command; `start` has it run kfp's executor on the
# function of the step. kfp's own program for this, for each step, is longer.
PROGRAM = r"""
import os, pathlib, sys, tempfile
root = pathlib.Path(tempfile.mkdtemp())
for file in FILES.split("\x1e"):
    name, _, text = file.partition("\n")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")

(root / "bundle").write_bytes(bundle)

def run(packages, *command):
    bin = os.path.dirname(sys.executable)
    os.environ.update(PATH=f"{bin}:{os.environ['PATH']}", STEP_PACKAGES=packages)
    os.execvp("sh", ["sh", "-c", SCRIPT, "sh", packages, *command])

def start(step):
    os.environ["_KFP_RUNTIME"] = "true"
    told = sys.argv[sys.argv.index("--executor_input"):]
    module = ["--component_module_path", str(root / f"step_{step}.py")]
    run(PACKAGES[step], "python3", "-m", "kfp.dsl.executor_main", *module, *told)
"""
# What the signature of a step's function needs.
HEADER = """
from kfp import dsl
from kfp.dsl import *

"""
# kfp's executor looks for the annotation of every input, also of that which the compiler adds.
FOOTER = """
{name}.__annotations__["library"] = dsl.Input[dsl.Artifact]
"""
# Base 85 takes 5 characters for 4 bytes. Of its alphabet Kubernetes expands $, Argo expands braces
# and Go writes <, > and & in JSON as six characters each: others stand for these.
UNSAFE, SAFE = "$&<>{}", ",./:[]"


@dataclasses.dataclass(frozen=True)
class Imports:
    """What some code imports, transitively.

    files: path below the root, with slashes, of each file of the library, with the templates beside
    its modules; packages: names at PyPI of all else that is not Python's own.
    """

    files: frozenset[str]
    packages: frozenset[str]


def find_imports(source: str) -> Imports:
    """Return what a program imports. Nothing is imported: MXNet need not be installed.

    Raises:
        ModuleNotFoundError: it, or what it imports, imports a module that the library lacks.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        # Alone: where the library is installed, all other packages lie beside it.
        (root / LIBRARY).symlink_to(ROOT / LIBRARY)
        (root / "script.py").write_text(source, encoding="utf-8")
        finder = modulefinder.ModuleFinder(path=[directory])
        finder.run_script(str(root / "script.py"))
        modules = [
            pathlib.Path(module.__file__)  # type: ignore[attr-defined]
            for name, module in finder.modules.items()
            if name.partition(".")[0] == LIBRARY
        ]
        templates = [
            path
            for place in {module.parent for module in modules}
            for path in place.iterdir()
            if path.suffix in (".html", ".css")
        ]
    files = frozenset(path.relative_to(root).as_posix() for path in (*modules, *templates))
    missing, _ = finder.any_missing_maybe()
    if lacking := [name for name in missing if name.partition(".")[0] == LIBRARY]:
        raise ModuleNotFoundError(f"there is no module {lacking[0]}, which a step imports")
    packages = {name.partition(".")[0] for name in missing} - sys.stdlib_module_names - {"kfp"}
    return Imports(files, frozenset(DISTRIBUTIONS.get(name, name) for name in packages))


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A program, compressed, that writes modules and templates and starts a step."""

    packed: bytes

    @classmethod
    def of(
        cls,
        functions: Mapping[str, str],
        packages: Mapping[str, str],
        files: Iterable[str],
        script: str,
    ) -> Self:
        """Return the bundle of steps: files of the library, and a module for each function.

        functions: name of a step to the source of its function; packages: to what it installs;
        script: from install_script.
        """
        contents = {name: (ROOT / name).read_text(encoding="utf-8") for name in files}
        for name, text in contents.items():
            contents[name] = strip_source(text) if name.endswith(".py") else text
        for name, text in functions.items():  # kfp reads their annotations
            function = strip_source(text, annotations=True)
            contents[f"step_{name}.py"] = HEADER + function + FOOTER.format(name=name)
        values = {
            "SCRIPT": repr(script),
            "PACKAGES": repr(dict(sorted(packages.items()))),
            "FILES": as_literal(contents),
        }
        program = re.sub(rf"\b({'|'.join(values)})\b", lambda found: values[found[0]], PROGRAM)
        return cls(bz2.compress(program.encode(), 9))

    @property
    def text(self) -> str:
        """The bundle as text that survives a shell, JSON and Argo's templates."""
        return base64.b85encode(self.packed).decode().translate(str.maketrans(UNSAFE, SAFE))

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bundle, in hexadecimal digits."""
        return hashlib.sha256(self.packed).hexdigest()


def as_literal(contents: Mapping[str, str]) -> str:
    """Return files, name to text, as a string in Python that compresses better than its repr.

    Raises:
        ValueError: a text has three single quotes or a record separator (ASCII 30).
    """
    if any(mark in text for text in contents.values() for mark in ("'''", "\x1e")):
        raise ValueError("no file of a bundle may have three single quotes or a record separator")
    return "r'''" + "\x1e".join(f"{name}\n{contents[name]}" for name in sorted(contents)) + "'''"


@functools.cache
def strip_source(source: str, annotations: bool = False) -> str:
    """Return source without comments, docstrings, and imports for annotations that are gone.

    annotations: whether those of functions stay.
    """
    stripper = Stripper(source, annotations)
    tree = ast.parse(source)
    stripper.visit(tree)
    drop_imports(tree, " ".join(stripper.fstrings))
    text = ast.unparse(tree)
    return re.sub(r"\bfstring_(\d+)_\b", lambda found: stripper.fstrings[int(found[1])], text)


def drop_imports(tree: ast.Module, fstrings: str) -> None:
    """Take what only annotations needed out of a tree; fstrings: what else uses names."""
    used = {"*"} | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= set(re.findall(r"\w+", fstrings))
    for node in [node for node in tree.body if isinstance(node, ast.ImportFrom)]:
        node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
        if not node.names:
            tree.body.remove(node)


def is_text(node: ast.AST) -> bool:
    """Tell docstrings, and texts below the fields of a class, from what does something."""
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


class Stripper(ast.NodeTransformer):
    """Takes docstrings and annotations out of a tree, but for those of a class's fields.

    Those of functions may stay.

    Versions of Python write f-strings in different ways. So names stand for them, and fstrings has
    what they are in the source.
    """

    def __init__(self, source: str, annotations: bool) -> None:
        self.lines = [line.encode() for line in source.split("\n")]
        self.annotations = annotations
        self.fstrings: list[str] = []
        self.fields: set[ast.AST] = set()

    def visit(self, node: ast.AST) -> ast.AST:
        """Return what stands for a node."""
        if isinstance(node, ast.JoinedStr):
            text = self.source_of(node)
            is_block = '"""' in text  # whose lines are part of it
            self.fstrings.append(text if is_block else " ".join(text.split("\n")))
            return ast.Name(f"fstring_{len(self.fstrings) - 1}_")
        if isinstance(node, ast.ClassDef):
            self.fields.update(node.body)
        if isinstance(node, ast.AnnAssign) and node.value and node not in self.fields:
            node = ast.Assign([node.target], node.value, lineno=node.lineno)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not is_text(part)]
            if not node.body and not isinstance(node, ast.Module):
                node.body.append(ast.Pass())
        if isinstance(node, ast.FunctionDef) and not self.annotations:
            node.returns = None
        if isinstance(node, ast.arg) and not self.annotations:
            node.annotation = None
        return self.generic_visit(node)

    def source_of(self, node: ast.expr) -> str:
        """Return the source of a node, as ast.get_source_segment, which splits it all each time."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines = self.lines[first : last + 1]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"\n".join(lines).decode()
