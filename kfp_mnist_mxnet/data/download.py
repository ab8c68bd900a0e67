"""Downloading over HTTP and S3: a download goes on where it broke off."""

import logging
import os
import pathlib
import sys
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any, Protocol

import minio
import urllib3
from tqdm import tqdm

from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.data.names import SourceFile, spellings
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput, SourceNotFound, Unavailable
from kfp_mnist_mxnet.storage.address import Address
from kfp_mnist_mxnet.storage.http import (
    RETRYABLE_STATUSES,
    http_client,
    is_untrusted_certificate,
    login,
    network_error,
)
from kfp_mnist_mxnet.storage.s3 import s3_client, without_credentials

ATTEMPTS = 5
S3_PASSING = ("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout")


class Server(Protocol):
    """Where files are downloaded from by name.

    shown: its address as it may be shown; asked: the same with the host, if it is not in it.
    """

    shown: str
    asked: str

    def get(self, name: str, offset: int, etag: str) -> urllib3.BaseHTTPResponse:
        """Return a response that begins at the offset, or at 0; etag: of the file so far, or "".

        Raises:
            Unavailable: a fault that may pass.
            FileNotFoundError: the server has no such file, or refuses it.
            SourceNotFound: it refuses for another reason.
        """


class HttpServer:
    """Files under an http(s) prefix.

    A query, as of a signed prefix, is sent with each file; user:password@ as basic authentication.

    Raises:
        SourceNotFound: the prefix has no host or no valid port.
    """

    FINAL = (urllib3.exceptions.LocationValueError, urllib3.exceptions.ResponseError)

    def __init__(self, address: Address, timeout: float = 10.0) -> None:
        self.address, self.shown = address, address.shown
        self.asked = self.shown
        try:
            address.check_server()
        except InvalidInput as error:
            raise SourceNotFound(f"{self.shown} must be http(s)://host/prefix: {error}") from error
        self.login = login(address)
        self.client = http_client(f"{address.scheme}://{address.host}", timeout)

    def get(self, name: str, offset: int, etag: str) -> urllib3.BaseHTTPResponse:
        """Return a response, as Server says."""
        address = self.address
        path = f"{address.path.rstrip('/')}/{urllib.parse.quote(name)}"
        url = urllib.parse.urlunsplit((address.scheme, address.host, path, address.query, ""))
        rest = {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
        headers = {**self.login, **rest}
        try:
            response = self.client.request("GET", url, headers=headers, preload_content=False)
        except urllib3.exceptions.HTTPError as error:
            fault = network_error(error)
            stays = isinstance(getattr(error, "reason", error), self.FINAL)
            if stays:
                raise FileNotFoundError(fault) from error
            if is_untrusted_certificate(error):
                raise SourceNotFound(f"{self.shown}: {fault}") from error
            raise Unavailable(fault) from error
        if response.status in (200, 206):
            return response
        response.close()
        if response.status in RETRYABLE_STATUSES or response.status >= 500:
            raise Unavailable(f"status {response.status}")
        raise FileNotFoundError(f"status {response.status}")


class S3Server:
    """Objects under s3://bucket/prefix or minio://bucket/prefix.

    endpoint: as for s3_client. Without credentials in the environment the bucket is public.

    Raises:
        SourceNotFound: there is no bucket in the URI, or there are credentials.
        InvalidInput: the endpoint is not host:port.
    """

    def __init__(self, address: Address, endpoint: str, timeout: float = 10.0) -> None:
        self.address, self.shown = address, address.shown
        if "@" in address.text.partition("://")[2].partition("/")[0]:
            raise SourceNotFound(
                f"{self.shown} must have no user and password: S3 credentials come from the "
                "environment"
            )
        if not address.bucket:
            raise SourceNotFound(
                f"{self.shown} has no bucket, expected {address.scheme}://bucket/prefix"
            )
        self.client, self.host = s3_client(endpoint, timeout)
        self.asked = f"{self.shown} at {self.host}"

    def get(self, name: str, offset: int, etag: str) -> urllib3.BaseHTTPResponse:
        """Return a response, as Server says."""
        rest: dict[str, Any] | None = {"If-Match": etag} if offset else None
        key = self.address.key(name)
        try:
            return self.client.get_object(
                self.address.bucket, key, offset=offset, request_headers=rest
            )
        except urllib3.exceptions.HTTPError as error:
            if is_untrusted_certificate(error):
                raise SourceNotFound(f"{self.asked}: {network_error(error)}") from error
            raise Unavailable(f"{network_error(error)} at {self.host}") from error
        except (minio.error.ServerError, minio.error.InvalidResponseError) as error:
            raise Unavailable(f"no S3 answer at {self.host}: {error}") from error
        except ValueError as error:
            raise SourceNotFound(f"{self.asked} can't be asked for {key}: {error}") from error
        except minio.S3Error as error:
            if error.code in ("NoSuchKey", "AccessDenied"):
                raise FileNotFoundError(error.code) from error
            if error.code in S3_PASSING:
                raise Unavailable(f"{error.code} at {self.host}") from error
            raise SourceNotFound(f"{self.asked} answers {error.code}: {error.message}") from error


def download_first(server: Server, name: str, path: pathlib.Path) -> SourceFile:
    """Download the first spelling of a file that the server has.

    A page in the place of a missing file, sent with the status 200, is no IDX file.

    Raises:
        DamagedFile: what it has is no IDX file.
        SourceNotFound: it has none of them, or refuses them.
        Unavailable: they can't be had.
    """
    reasons, damaged = [], None
    for candidate in spellings(name):
        shown = f"{server.shown.rstrip('/')}/{candidate}"
        try:
            download(server, candidate, path, shown)
            IdxFile(path, shown).file.close()
        except FileNotFoundError as error:
            reasons.append(f"{candidate} ({error})")
        except DamagedFile as error:
            damaged = damaged or error
        else:
            return SourceFile(path, shown)
    if damaged:
        raise damaged
    denied = any("AccessDenied" in reason for reason in reasons)
    raise SourceNotFound(
        f"{server.asked} has none of these files: {', '.join(reasons)}"
        f"{without_credentials() if denied else ''}"
    )


def download(
    server: Server, name: str, path: pathlib.Path, shown: str, attempts: int = ATTEMPTS
) -> None:
    """Download a file; after a fault go on where it ended, or again if the server can't do that.

    attempts: faults without a new byte between them, the last one is final; not a time, as one
    server refuses at once and another falls silent for the whole time-out.

    Raises:
        Unavailable: the file could not be downloaded.
        FileNotFoundError, SourceNotFound: from server.get.
    """
    received = furthest = faults = 0
    etag = ""
    with open(path, "wb") as file:
        while True:
            try:
                with server.get(name, received, etag) as response:
                    etag = ""  # after another part than the one asked for start again
                    received = file.seek(start_of(response, received))
                    file.truncate()
                    etag = response.headers.get("ETag", "")
                    for chunk in receive(response, shown, received):
                        received += file.write(chunk)
                        if received > furthest:
                            furthest, faults = received, 0
                return
            except Unavailable as error:
                faults += 1
                if faults >= attempts:
                    raise Unavailable(f"{shown} could not be downloaded: {error}") from error
                logging.warning("Trying %s again: %s", shown, error)
            # Only a strong tag says that the rest belongs to the start.
            received = received if etag.startswith('"') else 0
            time.sleep(2.0 ** (faults - 2))


def start_of(response: urllib3.BaseHTTPResponse, expected: int) -> int:
    """Return the byte of the file at which a response starts: the expected one or the first.

    Raises:
        Unavailable: it is a part that starts elsewhere.
    """
    if response.status != 206:
        return 0
    part = response.headers.get("Content-Range", "")
    if not part.startswith(f"bytes {expected}-"):
        raise Unavailable(f"asked for the bytes from {expected} on, the server sends {part!r}")
    return expected


def receive(
    response: urllib3.BaseHTTPResponse, shown: str, received: int, every: float = 5.0
) -> Iterator[bytes]:
    """Yield the bytes of a response and show how far it is: a bar, or lines in a log.

    received: bytes that were there before; every: seconds between two lines.

    Raises:
        Unavailable: the response broke off.
    """
    length = response.headers.get("Content-Length", "")
    total = received + int(length) if length.isdigit() else None
    terminal, said = sys.stderr.isatty(), time.monotonic()
    with (
        open(os.devnull, "w") as nowhere,
        tqdm(
            desc=shown.rpartition("/")[2],
            total=total,
            initial=received,
            unit="B",
            unit_scale=True,
            file=sys.stderr if terminal else nowhere,
        ) as bar,
    ):
        try:
            # Not stream, which waits for a whole chunk and loses what came of it before a fault.
            while chunk := response.read1(1 << 18, decode_content=False):
                yield chunk
                bar.update(len(chunk))
                if not terminal and time.monotonic() - said > every:
                    said = time.monotonic()
                    logging.info("%s", bar)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(
                f"{network_error(error)} after {bar.n} of {total or 'an unknown number of'} bytes"
            ) from error
