"""What a step needs of the library: found from its imports, not listed by hand.

The source is read, nothing is imported: a step's closure is known where MXNet is not installed.
"""

import ast
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterator

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


@dataclasses.dataclass(frozen=True)
class Closure:
    """What some code imports, transitively.

    files: path below the root, with slashes, of each file of the library, templates included;
    packages: names at PyPI of all else that is not Python's own.
    """

    files: frozenset[str]
    packages: frozenset[str]


def closure_of(source: str) -> Closure:
    """Return what a program needs that is not its own.

    Raises:
        ModuleNotFoundError: it, or what it imports, imports a module that the library lacks.
    """
    files: set[str] = set()
    packages: set[str] = set()
    waiting = [list(imported_modules(ast.parse(source)))]
    while waiting:
        for module in waiting.pop():
            top = module.partition(".")[0]
            if top != LIBRARY:
                if top not in sys.stdlib_module_names and top != "kfp":
                    packages.add(DISTRIBUTIONS.get(top, top))
                continue
            for path in module_files(module):
                name = path.relative_to(ROOT).as_posix()
                if name not in files:
                    imports, data = read_module(path)
                    files |= {name, *data}
                    waiting.append(imports)
    return Closure(frozenset(files), frozenset(packages))


@functools.cache
def read_module(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """Return the modules that a file of the library imports, and the data files that it names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return list(imported_modules(tree)), list(data_files(tree, path.parent))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield every module that some code imports, wherever the import stands.

    Raises:
        ImportError: an import is relative.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise ImportError(f"line {node.lineno}: the library's imports are absolute")
            yield node.module
            for alias in node.names:  # a name may be a module or what a module defines
                module = f"{node.module}.{alias.name}"
                if node.module.partition(".")[0] == LIBRARY and find_module(module):
                    yield module


def find_module(module: str) -> pathlib.Path | None:
    """Return the file of a module of the library, None if there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)


def module_files(module: str) -> Iterator[pathlib.Path]:
    """Yield the file of a module, and those of the packages that it is in.

    Raises:
        ModuleNotFoundError: the library has no such module.
    """
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        path = find_module(name)
        if path is None:
            raise ModuleNotFoundError(f"there is no module {name}, which a step imports")
        yield path


def data_files(tree: ast.AST, directory: pathlib.Path) -> Iterator[str]:
    """Yield the files beside a module that its code names, such as a template."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = pathlib.PurePosixPath(node.value)
            if name.name == node.value and name.suffix in (".html", ".css"):
                path = directory / name
                if path.is_file():
                    yield path.relative_to(ROOT).as_posix()
