"""Modules of the library as one piece of text, the same at every compile on every machine.

The text is part of the back end's cache key. So files are in order and without dates, and what
compresses is bzip2, whose only implementation gives the same bytes since 1996; zlib and xz do not
promise that. It is also the smallest of the three for a hundred kilobytes of source.
"""

import base64
import bz2
from collections.abc import Mapping

BETWEEN = "\0"  # names and contents of files

# Base 85 takes 5 characters for 4 bytes. Of its alphabet Kubernetes expands $, Argo expands braces
# and Go writes <, > and & in JSON as six characters each: others stand for these.
UNSAFE, SAFE = "$&<>{}", ",./:[]"


def pack(files: Mapping[str, str]) -> str:
    """Return files, path to content, as text that survives a shell, JSON and Argo's templates."""
    return compress(BETWEEN.join(part for item in sorted(files.items()) for part in item))


def compress(text: str) -> str:
    """Return a text by bzip2 in base 85."""
    packed = base64.b85encode(bz2.compress(text.encode(), 9)).decode()
    return packed.translate(str.maketrans(UNSAFE, SAFE))


def expand(text: str) -> str:
    """Return the text that was compressed."""
    packed = base64.b85decode(text.translate(str.maketrans(SAFE, UNSAFE)))
    return bz2.decompress(packed).decode()
