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

    import minio

    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or "http://seaweedfs.kubeflow:9000"
    scheme, host = endpoint.split("://", 1) if "://" in endpoint else ("https", endpoint)
    host = host.rpartition("@")[2].rstrip("/")
    shown = f"{scheme}://{host}"
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and not host.endswith("amazonaws.com"):
        region = "us-east-1"  # else the SDK asks for the bucket's, which few credentials may
    try:
        address = split_address(endpoint if "://" in endpoint else "https://" + endpoint)
        client = minio.Minio(
            address.netloc,
            credentials=s3_credentials(),
            secure=address.scheme != "http",
            region=region,
            http_client=http_client(shown, timeout, retries),
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


def split_address(url: str) -> Any:
    """Return the parts of an http(s) URL, as urllib.parse.urlsplit does.

    Raises:
        ValueError: it has another scheme, no host, or a port that is none; the message does not
            show it, as it may hold a password.
    """
    import urllib.parse

    split = urllib.parse.urlsplit(url)
    if split.scheme not in ("http", "https"):
        raise ValueError(f"the scheme is {split.scheme!r}")
    if not split.hostname:
        raise ValueError("there is no host")
    try:
        _ = split.port  # this parses it
    except ValueError:
        raise ValueError("the port is no number from 0 to 65535") from None
    return split


def proxy_of(url: str) -> str:
    """Return the address of the proxy for a URL, empty for none.

    As for other programs it is in http_proxy, https_proxy or all_proxy; no_proxy names the hosts
    that are reached without it.
    """
    import urllib.parse
    import urllib.request

    split = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all") or ""
    if not proxy or urllib.request.proxy_bypass(split.netloc):
        return ""
    return proxy if "://" in proxy else "http://" + proxy


def http_client(url: str, timeout: float, retries: int = 0) -> Any:
    """Return an urllib3 pool that follows redirects and repeats what failed so many times.

    url: of the server, which decides on the proxy. timeout: seconds without a byte after which a
    server is given up.
    It is used for S3 too: the minio SDK alone would wait for 5 minutes.

    Raises:
        ValueError: the environment names a proxy that is none.
    """
    import logging
    import urllib.parse

    import urllib3

    # Its log lines tell of redirects and retries with the whole URL, signature included.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=timeout / 2, read=timeout),
        "retries": urllib3.Retry(
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
    }
    proxy = proxy_of(url)
    if not proxy:
        return urllib3.PoolManager(**options)
    try:
        split = split_address(proxy)
    except ValueError as error:
        raise ValueError(
            f"the proxy in the environment must be http(s)://host:port: {error}"
        ) from error
    user, _, host = split.netloc.rpartition("@")
    login = urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(user)) if user else {}
    return urllib3.ProxyManager(f"{split.scheme}://{host}", proxy_headers=login, **options)


def network_fault(error: Exception) -> str:
    """Return what went wrong on the way to a server, in a few words without the address."""
    from urllib3 import exceptions

    error = getattr(error, "reason", None) or error
    cause = getattr(error.__cause__, "strerror", None)
    for kind, words in (
        (exceptions.ProxyError, "the proxy does not connect"),
        (exceptions.ResponseError, str(error)),  # too many redirects
        (exceptions.LocationValueError, "no valid host"),
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
