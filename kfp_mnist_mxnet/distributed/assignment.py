"""What the nodes of a training are told, and what they give back."""

import dataclasses
import io
import json
import pathlib
import zipfile
from typing import Self

from kfp_mnist_mxnet.training.request import Request

RESULT = "result.zip"  # in the working store: what the first node wrote


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What the nodes of a training are told, the same for each.

    train_data, validation_data: directory or s3:// or minio:// address of a data set; the second
    may be empty. working_uri: where the result goes, and a checkpoint if the request names no
    place for it. attempt: tells these nodes from those of another attempt.
    """

    request: Request
    train_data: str
    validation_data: str
    working_uri: str
    num_nodes: int
    attempt: str = ""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the assignment of a JSON text that to_json returned."""
        content = json.loads(text)
        return cls(**{**content, "request": Request(**content["request"])})

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))


def pack_result(directory: pathlib.Path) -> bytes:
    """Return the files of a directory, and of directories in it, as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(directory).as_posix())
    return buffer.getvalue()


def unpack_result(content: bytes, directory: pathlib.Path) -> None:
    """Write the files of an archive to a directory; zipfile keeps every name below it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(directory)
