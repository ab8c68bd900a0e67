"""Outputs are written under a temporary name, then moved into place."""

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import Protocol

from kfp_mnist_mxnet.errors import DiskFull, OutOfMemory


class Artifact(Protocol):
    """An output of a step, as kfp hands it over."""

    path: str


@contextlib.contextmanager
def staged(*artifacts: Artifact) -> Iterator[list[pathlib.Path]]:
    """Give each artifact a temporary path; move all into place if the block succeeds.

    Use it as a context manager: `with staged(a, b) as (path_a, path_b):`. The block creates
    each path as a file or a directory. If it fails, what it wrote is removed and nothing
    appears at the artifacts' own paths. What a killed process left is removed at the start.

    Raises:
        DiskFull: the disk is full.
        OutOfMemory: there is no memory left.
    """
    suffix = f".partial-{uuid.uuid4().hex[:8]}"
    pairs = [(pathlib.Path(a.path + suffix), pathlib.Path(a.path)) for a in artifacts]
    try:
        for _, final in pairs:
            final.parent.mkdir(parents=True, exist_ok=True)
            for path in final.parent.iterdir():
                if path.name.startswith(f"{final.name}.partial-"):
                    remove(path)
        yield [partial for partial, _ in pairs]
        for partial, final in pairs:
            remove(final)
            os.replace(partial, final)
    except (OSError, MemoryError) as error:
        number = getattr(error, "errno", errno.ENOMEM)
        if number in (errno.ENOSPC, errno.EDQUOT):
            place = f"{pairs[0][1].parent} or of {tempfile.gettempdir()}"
            raise DiskFull(
                f"the disk of {place} is full: free space or raise the step's ephemeral storage"
            ) from error
        if number == errno.ENOMEM:
            raise OutOfMemory(
                f"out of memory: raise the memory limit of the step ({error!r})"
            ) from error
        raise
    finally:
        for partial, _ in pairs:
            remove(partial)


def remove(path: pathlib.Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
