"""Artifacts that are whole or absent: written under a temporary name, then moved into place."""

from typing import Any


def staged(*artifacts: Any) -> Any:
    """Give each artifact a temporary path; move all into place if the block succeeds.

    Use it as a context manager: `with staged(a, b) as (path_a, path_b):`. The block creates
    each path as a file or a directory. If it fails, what it wrote is removed and nothing
    appears at the artifacts' own paths.
    """
    import contextlib
    import os
    import pathlib
    import shutil
    import uuid

    def remove(path: pathlib.Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def stage() -> Any:
        suffix = f".partial-{uuid.uuid4().hex[:8]}"
        pairs = [(pathlib.Path(a.path + suffix), pathlib.Path(a.path)) for a in artifacts]
        try:
            for _, final in pairs:
                final.parent.mkdir(parents=True, exist_ok=True)
            yield [partial for partial, _ in pairs]
            for partial, final in pairs:
                remove(final)
                os.replace(partial, final)
        finally:
            for partial, _ in pairs:
                remove(partial)

    return stage()
