"""Object stores: a client of an S3 server, and a store of files under a prefix."""

import contextlib
import io
import os
from collections.abc import Iterator

import minio
import urllib3
from minio import credentials

from kfp_mnist_mxnet.errors import InvalidInput, Unavailable
from kfp_mnist_mxnet.storage.address import Address, without_secrets
from kfp_mnist_mxnet.storage.http import http_client, network_error, retry_read
from kfp_mnist_mxnet.storage.secret import secret_of

KUBEFLOW = "http://seaweedfs.kubeflow:9000"  # the store of Kubeflow Pipelines
NO_KEYS = (
    "the environment has neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor MINIO_ACCESS_KEY "
    "and MINIO_SECRET_KEY"
)
KEYS = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"))


def s3_client(endpoint: str, timeout: float = 10.0, retries: int = 0) -> tuple[minio.Minio, str]:
    """Return a client of an S3 server and the server's address as it may be shown.

    endpoint: host:port, with http:// for no TLS; empty for $AWS_ENDPOINT_URL_S3, or else
    $AWS_ENDPOINT_URL, or else the store of Kubeflow Pipelines. Credentials come from the
    environment; without them the bucket is public.

    Raises:
        InvalidInput: the endpoint is not host:port, or a key or the region has a character in it
            that no request may have.
    """
    told = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = (endpoint or told or KUBEFLOW).strip()
    url = endpoint if "://" in endpoint else "https://" + endpoint
    scheme, _, host = without_secrets(url).partition("://")
    shown = f"{scheme}://{host.rstrip('/')}"
    keys = s3_credentials()
    region = secret_of("AWS_REGION", "AWS_DEFAULT_REGION")  # it stands beside the signature
    try:
        address = Address.parse(url)
        address.check_server()
        if address.has_secrets:
            raise InvalidInput("user, password and query do not belong there")
        if not region and not address.host.endswith("amazonaws.com"):
            region = "us-east-1"  # else the SDK asks for the bucket's, which few credentials may
        client = minio.Minio(
            f"{address.host}{address.path.rstrip('/')}",  # the SDK refuses a path
            credentials=keys,
            secure=address.scheme != "http",
            region=region or None,
            http_client=http_client(shown, timeout, retries),
        )
    except ValueError as error:
        raise InvalidInput(
            "s3_endpoint must be host:port, with http:// for no TLS, "
            f"got {shown!r}: {error.__cause__ or error}"
        ) from error
    return client, shown


def s3_credentials() -> credentials.Provider | None:
    """Return the provider of the AWS_* or MINIO_* credentials in the environment, else None.

    Raises:
        InvalidInput: one of two is missing, or has a character in it that no request may have.
    """
    for key, secret in KEYS:
        if name := secret_of(key):
            value = secret_of(secret)
            if not value:
                raise InvalidInput(f"{key} is set and {secret} is not")
            token = secret_of("AWS_SESSION_TOKEN") if key == KEYS[0][0] else ""
            return credentials.StaticProvider(name, value, token or None)
    return None


def without_credentials() -> str:
    """Say that there are no credentials, and what to set, after AccessDenied; "" if there are."""
    return "" if s3_credentials() else f"; {NO_KEYS}"


@contextlib.contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn what the SDK raises into one sentence.

    where: what was asked for, and on which server.

    Raises:
        InvalidInput: the store refuses.
        Unavailable: it does not answer.
    """
    try:
        yield
    except minio.S3Error as error:
        missing = without_credentials() if error.code == "AccessDenied" else ""
        raise InvalidInput(f"{where} answers {error.code}: {error.message}{missing}") from error
    except (minio.error.ServerError, minio.error.InvalidResponseError) as error:
        raise Unavailable(f"{where} gives no S3 answer: {error}") from error
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"{where} can't be reached: {network_error(error)}") from error


class S3Store:
    """Files under a prefix of an object store.

    parameter: the name of the parameter that has the URI, as messages call it.

    Raises:
        InvalidInput: there is no bucket in the URI, or there are no credentials.
    """

    def __init__(self, address: Address, endpoint: str, parameter: str) -> None:
        if not address.bucket:
            raise InvalidInput(f"{parameter} must name a bucket: {address.scheme}://bucket/prefix")
        self.address = address
        if s3_credentials() is None:
            raise InvalidInput(f"{address.shown.rstrip('/')} needs credentials, but {NO_KEYS}")
        self.client, self.host = s3_client(endpoint, timeout=60, retries=3)

    def locate(self, name: str) -> str:
        """Return the URI of a file."""
        return f"{self.address.text.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none.

        Raises:
            InvalidInput: the store refuses.
            Unavailable: it does not answer.
        """
        with translate_errors(f"{self.locate(name)} at {self.host}"):
            return retry_read(lambda: self.content(self.address.key(name)))

    def content(self, key: str) -> bytes | None:
        """Return the content of an object, None if there is none."""
        try:
            with contextlib.closing(self.client.get_object(self.address.bucket, key)) as answer:
                return answer.read()
        except minio.S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise

    def write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole.

        Raises:
            InvalidInput: the store refuses.
            Unavailable: it does not answer.
        """
        with translate_errors(f"{self.locate(name)} at {self.host}"):
            stream = io.BytesIO(content)
            key = self.address.key(name)
            self.client.put_object(self.address.bucket, key, stream, len(content))

    def remove(self, name: str) -> None:
        """Remove a file, if there is one.

        Raises:
            InvalidInput: the store refuses.
            Unavailable: it does not answer.
        """
        with translate_errors(f"{self.locate(name)} at {self.host}"):
            self.client.remove_object(self.address.bucket, self.address.key(name))
