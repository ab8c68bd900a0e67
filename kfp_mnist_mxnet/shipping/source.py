"""Source without what does not run in a step: docstrings, comments, annotations, dead code.

What is blanked keeps its lines up to the end, where each statement gets one: see joined.
"""

import ast
import functools
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

IMPORTS = (ast.Import, ast.ImportFrom)
# Before Python 3.12 an f-string is one token, as any other string.
FSTRING_START, FSTRING_END = (
    getattr(tokenize, f"FSTRING_{part}", None) for part in ("START", "END")
)
SCOPES = (ast.FunctionDef, ast.ClassDef)
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


class Cut(NamedTuple):
    """A part of a source, from a line (from 1) and a column to another, and what stands for it."""

    start: tuple[int, int]
    end: tuple[int, int]
    instead: str = ""


def cut_out(source: str, cuts: Iterable[Cut]) -> str:
    """Return a source without some parts, which do not overlap; each keeps its line breaks."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for start, end, instead in sorted(cuts, reverse=True):
        first, last = starts[start[0] - 1] + start[1], starts[end[0] - 1] + end[1]
        breaks = "\n" * source.count("\n", first, last)
        source = source[:first] + instead + breaks + source[last:]
    return source


def whole(node: ast.stmt | ast.expr | ast.arg, source: str, instead: str = "") -> Cut:
    """Return the cut of a node with its decorators; the parser counts columns in bytes."""
    lines = source.splitlines()

    def place(line: int, column: int) -> tuple[int, int]:
        return line, len(lines[line - 1].encode()[:column].decode())

    first = min([node, *getattr(node, "decorator_list", [])], key=lambda part: part.lineno)
    column = first.col_offset - (first is not node)  # with the @
    end = place(node.end_lineno or first.lineno, node.end_col_offset or 0)
    return Cut(place(first.lineno, column), end, instead)


@functools.cache
def bare(source: str) -> str:
    """Return source without docstrings, comments, annotations of functions and empty space.

    One space of indentation stands for four.
    """
    tree = ast.parse(source)
    text = cut_out(
        source, [*comments(source), *annotations(tree, source), *docstrings(tree, source)]
    )
    inside = rows_in_strings(text)
    lines = text.splitlines()
    return "".join(
        (line if row in inside else outdented(line)).rstrip() + "\n"
        for row, line in enumerate(lines, start=1)
    )


def tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens of a source."""
    return tokenize.generate_tokens(io.StringIO(source).readline)


def comments(source: str) -> Iterator[Cut]:
    """Yield the comments."""
    for token in tokens(source):
        if token.type == tokenize.COMMENT:
            yield Cut(token.start, token.end)


def docstrings(tree: ast.Module, source: str) -> Iterator[Cut]:
    """Yield the docstrings; a number stands for one that is all of a body."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *SCOPES)):
            first = node.body[0] if node.body else None
            if ast.get_docstring(node, clean=False) is not None and first:
                alone = len(node.body) == 1 and not isinstance(node, ast.Module)
                yield whole(first, source, "0" if alone else "")


def annotations(tree: ast.Module, source: str) -> Iterator[Cut]:
    """Yield the annotations with the `:` or `->` before them, but for those of a class's fields."""
    yield from annotations_of_variables(tree, source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        arguments = node.args
        for argument in (
            *(*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs),
            *filter(None, (arguments.vararg, arguments.kwarg)),
        ):
            if argument.annotation:
                named = whole(argument, source)
                line, column = named.start
                yield Cut((line, column + len(argument.arg)), named.end)
        if node.returns:
            returned = whole(node.returns, source)
            line, column = returned.start
            arrow = source.splitlines()[line - 1].rindex("->", 0, column)
            yield Cut((line, arrow), returned.end)


def annotations_of_variables(tree: ast.Module, source: str) -> Iterator[Cut]:
    """Yield the annotations of variables that are given a value, outside of classes."""
    for scope in ast.walk(tree):
        for node in [] if isinstance(scope, ast.ClassDef) else ast.iter_child_nodes(scope):
            if isinstance(node, ast.AnnAssign) and node.value:
                yield Cut(whole(node.target, source).end, whole(node.annotation, source).end)


def rows_in_strings(source: str) -> set[int]:
    """Return the rows, from 1, that begin inside a string of several lines."""
    rows: set[int] = set()
    starts = []  # of the f-strings that are open
    for token in tokens(source):
        if token.type == FSTRING_START:
            starts.append(token.start[0])
        elif token.type in (tokenize.STRING, FSTRING_END):
            first = starts.pop() if token.type == FSTRING_END else token.start[0]
            rows.update(range(first + 1, token.end[0] + 1))
    return rows


def joined(source: str) -> str:
    """Return source that begins a line for each statement only, and has no empty lines."""
    inside, broken, depth = rows_in_strings(source), set(), 0
    for token in tokens(source):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        elif token.type == tokenize.NL and depth:
            broken.add(token.start[0])  # a statement goes on in the next row
    parts: list[str] = []
    for row, line in enumerate(source.splitlines(), start=1):
        if not line.strip() and row not in inside:
            continue
        if row - 1 in broken:
            line = line.strip()
            apart = parts[-1][-1:] not in "([{" and line[0] not in ")]}"
            line = f"{' ' * apart}{line}"
        parts.append(line)
        if row not in broken:
            parts.append("\n")
    return "".join(parts)


def outdented(line: str) -> str:
    """Return a line with one space of indentation for four."""
    text = line.lstrip(" ")
    return " " * ((len(line) - len(text)) // 4) + text


def shake(modules: Mapping[str, str], program: str) -> dict[str, str]:
    """Return modules, name to source, with no more than a program reaches in them.

    What has the name of something that is reached counts as reached.
    """
    trees = {name: parsed(source) for name, source in modules.items()}
    live = set(names_in(ast.parse(program)))
    for tree in trees.values():
        runs = [s for s in tree.body if not isinstance(s, IMPORTS) and not defined(s)]
        live.update(*map(names_in, runs))
    waiting = [node for tree in trees.values() for node in definitions(tree)]
    while found := [node for node in waiting if is_live(node, live)]:
        waiting = [node for node in waiting if not is_live(node, live)]
        live.update(*map(names_of, found))
    return {name: without_dead(source, live) for name, source in modules.items()}


@functools.cache
def parsed(source: str) -> ast.Module:
    """Return the tree of a source, which is not changed."""
    return ast.parse(source)


def definitions(tree: ast.Module) -> Iterator[Definition]:
    """Yield the functions, classes and constants of a module, and the methods of the classes."""
    for node in tree.body:
        if defined(node):
            yield node  # type: ignore[misc]
            if isinstance(node, ast.ClassDef):
                yield from (part for part in node.body if isinstance(part, ast.FunctionDef))


def defined(node: ast.stmt) -> str:
    """Return the name of what a statement defines: a function, class or constant; or empty."""
    if isinstance(node, SCOPES):
        return node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        (target,) = node.targets
        return target.id if isinstance(target, ast.Name) else ""
    return ""


def is_live(node: ast.stmt, live: set[str]) -> bool:
    """Tell whether a definition may be used: Python itself uses those with underscores around."""
    name = defined(node)
    return name in live or (name.startswith("__") and name.endswith("__"))


def names_of(node: Definition) -> set[str]:
    """Return the names that a definition reads; a class's methods are definitions of their own."""
    if not isinstance(node, ast.ClassDef):
        return set(names_in(node))
    own = [part for part in node.body if not isinstance(part, ast.FunctionDef)]
    return set().union(*map(names_in, [*node.bases, *node.decorator_list, *own]))


@functools.cache
def names_in(node: ast.AST) -> frozenset[str]:
    """Return every name and attribute that some code reads, and every name that it imports."""
    names: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Store):
            names.add(part.id)
        elif isinstance(part, ast.Attribute):
            names.add(part.attr)
        elif isinstance(part, ast.ImportFrom):
            names.update(alias.name for alias in part.names)
    return frozenset(names)


def without_dead(source: str, live: set[str]) -> str:
    """Return a module's source without what is not live: definitions, then unused imports."""
    tree = parsed(source)
    text = cut_out(source, [cut for node in tree.body for cut in dead_parts(node, source, live)])
    tree = parsed(text)
    used = set().union(*(names_in(s) for s in tree.body if not isinstance(s, IMPORTS)))
    imports = [node for node in tree.body if isinstance(node, IMPORTS)]
    return cut_out(text, [whole(node, text, trimmed(node, used)) for node in imports])


def dead_parts(node: ast.stmt, source: str, live: set[str]) -> Iterator[Cut]:
    """Yield the definition that a statement is, if it is not live, or else its dead methods."""
    if not defined(node):
        return
    if not is_live(node, live):
        yield whole(node, source)
    elif isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        dead = [part for part in methods if not is_live(part, live)]
        for part in dead:  # a body can't be empty
            alone = len(dead) == len(node.body) and part is dead[0]
            yield whole(part, source, "0" if alone else "")


def trimmed(statement: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    """Return an import of only those of its names that are used, empty for none of them."""
    names = [a for a in statement.names if (a.asname or a.name.partition(".")[0]) in used]
    if not names:
        return ""
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names))
    return ast.unparse(ast.ImportFrom(statement.module, names, statement.level))
