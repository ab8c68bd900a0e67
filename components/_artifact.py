"""Artifacts that are whole or absent: written under a temporary name, then moved into place."""

from typing import Any


def staged(*artifacts: Any) -> Any:
    """Give each artifact a temporary path; move all into place if the block succeeds.

    Use it as a context manager: `with staged(a, b) as (path_a, path_b):`. The block creates
    each path as a file or a directory. If it fails, what it wrote is removed and nothing
    appears at the artifacts' own paths. What a killed process left is removed at the start.

    Raises:
        OSError: the disk is full.
        MemoryError: the memory is used up.
    """
    import contextlib
    import errno
    import os
    import pathlib
    import shutil
    import tempfile
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
                raise OSError(f"the disk of {place} is full: give the step more room") from error
            if number == errno.ENOMEM:
                raise MemoryError(
                    f"the memory is used up: give the step more of it ({error!r})"
                ) from error
            raise
        finally:
            for partial, _ in pairs:
                remove(partial)

    return stage()
