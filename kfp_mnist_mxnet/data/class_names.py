"""The names of classes: which a data set may bring along, one a line, in class_names.txt."""

import pathlib
from collections.abc import Sequence
from typing import Any

from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput

FILE = "class_names.txt"
LONGEST = 100  # letters of a name
MOST = 256
LARGEST = MOST * (4 * LONGEST + 2)  # bytes of a file of names


def check_class_names(names: Any, num_classes: int) -> list[str]:
    """Return names of classes that come from a file, checked; an empty list if there are none.

    Raises:
        InvalidInput: they are no list of printable names, one of its own for each class.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"class_names must be a list of texts, got {names!r:.200}")
    for name in names:
        if not name.isprintable() or len(name) > LONGEST:
            raise InvalidInput(
                f"a class name must be printable, of at most {LONGEST} letters, got {name[:120]!r}"
            )
    return name_classes(names, num_classes) if names else []


def read_class_names(path: pathlib.Path, shown: str) -> list[str]:
    """Return the names in a file, one a line.

    shown: how messages call the file. A web page in its place, as some servers send it with the
    status 200 for what they don't have, has none.

    Raises:
        DamagedFile: it is too large, or no text.
    """
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{shown} must be text in UTF-8: {error}") from error
    if text.lstrip()[:5].lower() in ("<!doc", "<html"):
        return []
    if len(content) > LARGEST:
        raise DamagedFile(f"{shown} must have a name of a class in each line, at most {MOST}")
    return text.strip("\r\n").splitlines()


def write_class_names(directory: pathlib.Path, names: Sequence[str]) -> None:
    """Write names into class_names.txt of a directory."""
    (directory / FILE).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def known_names(given: Sequence[str], num_classes: int, *known: Sequence[str]) -> list[str]:
    """Return the name of each class: those given, else those that a model or its data have.

    given: by the user, or empty; known: by others, each in the order of the labels, or empty.

    Raises:
        InvalidInput: names are given, but not one of its own for each class; or what is known
            differs, so that a label does not mean the same.
    """
    if given:
        return name_classes(given, num_classes)
    longest = max(known, key=len, default=())
    for names in known:
        for label, pair in enumerate(zip(names, longest, strict=False)):
            if len(set(pair)) > 1:
                raise InvalidInput(
                    f"the model and the data don't have the same classes: the label {label} is "
                    f"{' here and '.join(map(repr, sorted(pair)))} there; class_names can name the "
                    "classes of both"
                )
    return [*longest, *map(str, range(len(longest), num_classes))]


def name_classes(class_names: Sequence[str], num_classes: int) -> list[str]:
    """Return the name of each class: those given, else the labels themselves.

    Raises:
        InvalidInput: names are given, but not one of its own for each class.
    """
    if "" in class_names or len(set(class_names)) < len(class_names):
        raise InvalidInput(f"class_names must all differ, and none be empty, got {class_names}")
    if class_names and len(class_names) != num_classes:
        raise InvalidInput(
            f"class_names must have one name for each of the {num_classes} classes, "
            f"got {len(class_names)}"
        )
    return [str(name) for name in class_names or range(num_classes)]
