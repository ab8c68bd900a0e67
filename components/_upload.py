"""Copying a directory into an object store."""

from typing import Any

from components._files import regular_file
from components._object_store import network_fault, s3_client


def split_destination(uri: str) -> tuple[str, str]:
    """Return bucket and prefix of s3://bucket/prefix or minio://bucket/prefix.

    Raises:
        ValueError: it is no such URI.
    """
    import urllib.parse

    split = urllib.parse.urlsplit(uri)
    if split.scheme not in ("s3", "minio") or not split.netloc or "@" in uri or split.query:
        raise ValueError(
            "destination_uri must be s3://bucket/prefix or minio://bucket/prefix without "
            f"credentials, got the scheme {split.scheme!r} and the path {split.path!r}"
        )
    return split.netloc, split.path.strip("/")


def upload_directory(directory: str, destination_uri: str, endpoint: str) -> dict[str, str]:
    """Upload the files of a directory, then read each back and compare size and SHA-256.

    endpoint: as `s3_url` takes it. Returns: file name to SHA-256.

    Raises:
        ValueError: the directory has a link or a directory, the store refuses the upload, or it
            gives back other bytes than it got.
        ConnectionError: the store does not answer.
    """
    import pathlib

    import minio
    import urllib3

    bucket, prefix = split_destination(destination_uri)
    client, host = s3_client(endpoint, timeout=60, retries=3)
    digests = {}
    try:
        for path in sorted(pathlib.Path(directory).iterdir()):
            regular_file(directory, path.name)
            key = f"{prefix}/{path.name}".lstrip("/")
            client.fput_object(bucket, key, str(path))
            with open(path, "rb") as file:
                sent = size_and_digest(file)
            response = client.get_object(bucket, key)
            try:
                stored = size_and_digest(response)
            finally:
                response.close()
                response.release_conn()
            if stored != sent:
                raise ValueError(
                    f"s3://{bucket}/{key} at {host} has {stored[0]} bytes with the SHA-256 "
                    f"{stored[1]}, expected {sent[0]} bytes with {sent[1]}: upload again"
                )
            digests[path.name] = sent[1]
    except minio.S3Error as error:
        raise ValueError(
            f"s3://{bucket} at {host} answers {error.code}: {error.message}"
        ) from error
    except (minio.error.ServerError, minio.error.InvalidResponseError) as error:
        raise ConnectionError(f"{host} gives no S3 answer: {error}") from error
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(f"{host} can't be reached: {network_fault(error)}") from error
    return digests


def size_and_digest(file: Any) -> tuple[int, str]:
    """Return the number of bytes of an open file or response, and their SHA-256."""
    import hashlib

    size, digest = 0, hashlib.sha256()
    while chunk := file.read(1 << 20):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()
