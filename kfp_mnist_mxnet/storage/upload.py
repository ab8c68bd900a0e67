"""Copying a directory into an object store."""

import contextlib
import hashlib
import io
import pathlib
from typing import Protocol

import minio

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.artifact import regular_file
from kfp_mnist_mxnet.storage.destinations import parse_destination
from kfp_mnist_mxnet.storage.http import retry_read
from kfp_mnist_mxnet.storage.s3 import s3_client, translate_errors


class Readable(Protocol):
    """An open file or a response."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, none at the end."""


def upload_directory(directory: str, destination_uri: str, endpoint: str) -> dict[str, str]:
    """Upload the files of a directory, then read each back and compare size and SHA-256.

    endpoint: as for s3_client. Returns: file name to SHA-256.

    Raises:
        InvalidInput: the directory has a link or a directory, the store refuses the upload, or it
            gives back other bytes than it got.
        Unavailable: the store does not answer.
    """
    address = parse_destination(destination_uri)
    client, host = s3_client(endpoint, timeout=60, retries=3)
    with translate_errors(f"s3://{address.bucket} at {host}"):
        return {
            path.name: upload_file(client, host, path, address.bucket, address.key(path.name))
            for path in sorted(pathlib.Path(directory).iterdir())
        }


def check_destination(destination_uri: str, endpoint: str) -> None:
    """Write an empty object under a destination, and remove it: what is refused is known early.

    endpoint: as for s3_client.

    Raises:
        InvalidInput: the destination is none, or the store refuses.
        Unavailable: the store does not answer.
    """
    address = parse_destination(destination_uri)
    client, host = s3_client(endpoint, timeout=60, retries=3)
    key = address.key(".can-be-written")
    with translate_errors(f"s3://{address.bucket} at {host}"):
        client.put_object(address.bucket, key, io.BytesIO(), 0)
        with contextlib.suppress(minio.S3Error):  # who may write may perhaps not delete
            client.remove_object(address.bucket, key)


def upload_file(client: minio.Minio, host: str, path: pathlib.Path, bucket: str, key: str) -> str:
    """Upload a file, read it back, and return its SHA-256.

    Raises:
        InvalidInput: it is no regular file, or the store gives back other bytes.
    """
    regular_file(path.parent, path.name)
    client.fput_object(bucket, key, str(path))
    with open(path, "rb") as file:
        sent = size_and_digest(file)
    stored = retry_read(lambda: read_back(client, bucket, key))
    if stored != sent:
        raise InvalidInput(
            f"s3://{bucket}/{key} at {host} has {stored[0]} bytes with the SHA-256 "
            f"{stored[1]}, expected {sent[0]} bytes with {sent[1]}: upload again"
        )
    return sent[1]


def read_back(client: minio.Minio, bucket: str, key: str) -> tuple[int, str]:
    """Return the number of bytes of an object, and their SHA-256."""
    with contextlib.closing(client.get_object(bucket, key)) as answer:
        return size_and_digest(answer)


def size_and_digest(file: Readable) -> tuple[int, str]:
    """Return the number of bytes of an open file or response, and their SHA-256."""
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(1 << 20):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()
