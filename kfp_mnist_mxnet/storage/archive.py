"""A directory as one object of a store."""

import io
import pathlib
import zipfile


def pack(directory: pathlib.Path) -> bytes:
    """Return the files of a directory, and of directories in it, as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(directory).as_posix())
    return buffer.getvalue()


def unpack(content: bytes, directory: pathlib.Path) -> None:
    """Write the files of an archive to a directory; zipfile keeps every name below it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(directory)
