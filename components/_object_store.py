"""Reaching servers: an S3 client, its connections, and their faults in words."""

from typing import Any


def s3_client(endpoint: str, timeout: float = 10.0, retries: int = 0) -> tuple[Any, str]:
    """Return a client of an S3 server and the server's address as it may be shown.

    endpoint: host:port, with http:// for no TLS; empty for $AWS_ENDPOINT_URL, else the store of
    Kubeflow Pipelines. Credentials come from the environment; without them the bucket is public.

    Raises:
        ValueError: the endpoint is none.
    """
    import os
    import urllib.parse

    import minio

    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or "http://seaweedfs.kubeflow:9000"
    address = urllib.parse.urlsplit(endpoint if "://" in endpoint else "https://" + endpoint)
    host = address.netloc.rpartition("@")[2]
    shown = f"{address.scheme}://{host}"
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and not host.endswith("amazonaws.com"):
        region = "us-east-1"  # else the SDK asks for the bucket's, which few credentials may
    try:
        client = minio.Minio(
            address.netloc,
            credentials=s3_credentials(),
            secure=address.scheme != "http",
            region=region,
            http_client=http_client(timeout, retries),
        )
    except ValueError as error:
        raise ValueError(
            f"s3_endpoint must be host:port, with http:// for no TLS, got {shown!r}: {error}"
        ) from error
    return client, shown


def s3_credentials() -> Any:
    """Return the provider of the AWS_* or MINIO_* credentials in the environment, else None."""
    import os

    from minio import credentials

    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return credentials.EnvAWSProvider()
    return credentials.EnvMinioProvider() if os.environ.get("MINIO_ACCESS_KEY") else None


def http_client(timeout: float, retries: int = 0) -> Any:
    """Return an urllib3 pool that follows redirects and repeats what failed so many times.

    timeout: seconds without a byte after which a server is given up.
    It is used for S3 too: the minio SDK alone would wait for 5 minutes.
    """
    import logging

    import urllib3

    # Its log lines tell of redirects and retries with the whole URL, signature included.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=timeout / 2, read=timeout),
        retries=urllib3.Retry(
            total=None,
            connect=retries,
            read=retries,
            status=retries,
            other=0,
            redirect=5,
            backoff_factor=0.5,
            status_forcelist=(500, 502, 503, 504) if retries else (),
            allowed_methods=None,
            raise_on_status=False,
        ),
    )


def network_fault(error: Exception) -> str:
    """Return what went wrong on the way to a server, in a few words without the address."""
    from urllib3 import exceptions

    error = getattr(error, "reason", None) or error
    cause = getattr(error.__cause__, "strerror", None)
    for kind, words in (
        (exceptions.NameResolutionError, "the host name can't be resolved"),
        (exceptions.NewConnectionError, f"no connection ({cause})"),
        (exceptions.ConnectTimeoutError, "the server does not accept a connection"),
        (exceptions.ReadTimeoutError, "the server sends nothing"),
        (exceptions.SSLError, f"no secure connection ({error})"),
        (exceptions.ProtocolError, "the connection broke"),
    ):
        if isinstance(error, kind):
            return words
    return type(error).__name__
