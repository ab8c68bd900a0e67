"""Stores: a few small files under a directory or a prefix, each replaced as a whole."""

import os
import pathlib
import urllib.parse
from typing import Protocol

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.address import OBJECT_STORES, Address, refusal
from kfp_mnist_mxnet.storage.s3 import S3Store


class Store(Protocol):
    """Where files are read and written by name."""

    def locate(self, name: str) -> str:
        """Return how messages call a file."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole, or leave it as it was."""

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""


class FileStore:
    """Files in a directory, which is made when it is first read."""

    def __init__(self, directory: str) -> None:
        self.directory = pathlib.Path(directory)

    def locate(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.directory / name)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / name
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole, or leave it as it was.

        Raises:
            OSError: the disk is full, or the directory is read-only.
        """
        path = self.directory / name
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        (self.directory / name).unlink(missing_ok=True)


def open_store(uri: str, endpoint: str, parameter: str) -> Store:
    """Return the store of a directory (a path or file:///path), or of an s3:// or minio:// prefix.

    endpoint: as for s3_client; parameter: the name of the parameter that has the URI.

    Raises:
        InvalidInput: another scheme, no bucket, credentials in the URI or none in the environment.
    """
    address = Address.parse(uri)
    if address.user:
        raise refusal(f"{parameter} must be a path, s3://bucket/prefix or minio://", address)
    if address.scheme in OBJECT_STORES:
        return S3Store(address, endpoint, parameter)
    if address.scheme not in ("", "file"):
        raise InvalidInput(
            f"{parameter} has the scheme {address.scheme!r}, expected a path, file, s3 or minio"
        )
    return FileStore(urllib.parse.unquote(address.path) if address.scheme else uri)
