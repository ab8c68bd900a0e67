"""Reaching servers over HTTP: connections, proxies, retries, and faults in words."""

import logging
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Self, TypeVar

import urllib3
from urllib3 import exceptions

from kfp_mnist_mxnet.errors import OWN_AUTHORITY, InvalidInput
from kfp_mnist_mxnet.storage.address import Address

# Its log lines tell of redirects and retries with the whole URL, signature included.
logging.getLogger("urllib3").setLevel(logging.ERROR)

Result = TypeVar("Result")

RETRYABLE_STATUSES = (408, 429, 500, 502, 503, 504)  # answers that another try may change


class Retry(urllib3.Retry):
    """Retries with growing pauses that says so in the log, without the address."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        """Return what is left after a fault, as urllib3 calls it.

        Raises:
            urllib3.exceptions.HTTPError: nothing is left.
        """
        left = super().increment(method, url, response, error, _pool, _stacktrace)
        if error:
            logging.warning("Trying again: %s", network_error(error))
        elif response and response.status in RETRYABLE_STATUSES:
            logging.warning("Trying again: the server answers with status %d", response.status)
        return left


def retry_read(read: Callable[[], Result], retries: int = 3) -> Result:
    """Return what a function reads of an answer; it is asked again if that breaks off.

    Requests that fail before an answer are repeated by the client itself.

    Raises:
        urllib3.exceptions.HTTPError: it broke off each time.
    """
    for attempt in range(retries):
        try:
            return read()
        except (exceptions.ProtocolError, exceptions.ReadTimeoutError) as error:
            logging.warning("Trying again: %s", network_error(error))
            time.sleep(0.5 * 2**attempt)
    return read()


def http_client(url: str, timeout: float, retries: int = 0) -> urllib3.PoolManager:
    """Return an urllib3 pool that follows redirects and repeats what failed so many times.

    url: of the server, which decides on the proxy. timeout: seconds without a byte after which a
    server is given up.
    It is used for S3 too: the minio SDK alone would wait for 5 minutes.

    Raises:
        InvalidInput: the environment names a proxy that is none.
    """
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=timeout / 2, read=timeout),
        "retries": Retry(
            total=None,
            connect=retries,
            read=retries,
            status=retries,
            other=0,
            redirect=5,
            backoff_factor=0.5,
            status_forcelist=RETRYABLE_STATUSES if retries else (),
            allowed_methods=None,
            raise_on_status=False,
        ),
    }
    proxy = proxy_of(url)
    if not proxy:
        return urllib3.PoolManager(**options)
    address = Address.parse(proxy)
    try:
        address.check_server()
    except InvalidInput as error:
        raise InvalidInput(
            f"the proxy in the environment must be http(s)://host:port: {error}"
        ) from error
    return urllib3.ProxyManager(
        f"{address.scheme}://{address.host}",
        proxy_headers=proxy_login(address),
        **options,
    )


def login(address: Address) -> dict[str, str]:
    """Return the headers for the user and password of a server, none without them."""
    user = urllib.parse.unquote(address.user)
    return dict(urllib3.make_headers(basic_auth=user)) if user else {}


def proxy_login(address: Address) -> dict[str, str]:
    """Return the headers for the user and password of a proxy, none without them."""
    user = urllib.parse.unquote(address.user)
    return dict(urllib3.make_headers(proxy_basic_auth=user)) if user else {}


def proxy_of(url: str) -> str:
    """Return the address of the proxy for a URL, empty for none.

    As for other programs it is in http_proxy, https_proxy or all_proxy; no_proxy names the hosts
    that are reached without it.
    """
    split = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all") or ""
    if not proxy or urllib.request.proxy_bypass(split.netloc):
        return ""
    return proxy if "://" in proxy else "http://" + proxy


def is_untrusted_certificate(error: Exception) -> bool:
    """Tell whether a certificate was refused, which another try does not change."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def network_error(error: Exception) -> str:
    """Return what went wrong on the way to a server, in a few words without the address."""
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
        (
            exceptions.SSLError,
            f"no secure connection ({error}){OWN_AUTHORITY * is_untrusted_certificate(error)}",
        ),
        (exceptions.ProtocolError, "the connection broke"),
    ):
        if isinstance(error, kind):
            return words
    return type(error).__name__
