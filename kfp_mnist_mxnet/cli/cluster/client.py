"""The connection to the API of Kubeflow Pipelines."""

import contextlib
import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
import kfp
import kfp_server_api
import urllib3

from kfp_mnist_mxnet.storage.http import is_untrusted_certificate

Answer = TypeVar("Answer")

LOG_IN = (
    "set KFP_TOKEN or KFP_COOKIES if the host requires a login, and check that its address is that "
    "of Kubeflow Pipelines"
)


class NotTheApi(click.ClickException):
    """The host answers, but not as the API of Kubeflow Pipelines does.

    how: what its answer is, after the word "answers".
    """

    def __init__(self, host: str, how: str) -> None:
        super().__init__(
            f"{host} answers {how}, not as the API of Kubeflow Pipelines does: {LOG_IN}"
        )


@contextlib.contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """Turn what the API or the connection raises into one sentence.

    Raises:
        click.ClickException: the host can't be reached, refuses what it was asked, or is not the
            API of Kubeflow Pipelines.
    """
    try:
        yield
    except kfp_server_api.ApiException as error:
        answer = brief(error.body or error.reason)
        if answer.startswith("<"):
            answer = "a web page"
            if error.status and error.status < 500:
                raise NotTheApi(host, f"{error.status} with {answer}") from error
        said = f"answered {error.status}" if error.status else "can't be reached"
        raise click.ClickException(f"{host} {said}: {answer}") from error
    except urllib3.exceptions.HTTPError as error:
        reason = str(getattr(error, "reason", None) or error).rpartition(">: ")[2]
        if is_untrusted_certificate(error):
            reason += "; give --ssl-ca-cert the certificate of your own authority"
        raise click.ClickException(f"{host} can't be reached: {reason}") from error
    except ValueError as error:  # two pipelines or experiments of one name
        raise click.ClickException(str(error)) from error


def brief(body: Any) -> str:
    """Return the start of an answer on one line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return " ".join(text.split())[:300]


def kind_of(body: Any) -> str:
    """Say what an answer is that is not the API's."""
    text = brief(body).lstrip("\ufeff ")
    if text.startswith("<"):
        return "with a web page"  # as of a gateway where one logs in
    return f"with {text[:60]!r}" if text else "with nothing"


class Client(kfp.Client):
    """kfp's client with a health check of one request, in place of five long tries."""

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
        """Ask once, for 30 seconds; sleep_duration is kfp's.

        Raises:
            NotTheApi: the answer is no JSON object, of which kfp would make one without content.
        """
        ask = self._healthz_api.healthz_service_get_healthz
        body = ask(_request_timeout=30, _preload_content=False).data
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise NotTheApi(self._healthz_api.api_client.configuration.host, kind_of(body))
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=content.get("multi_user"))


@dataclasses.dataclass(frozen=True)
class Connection:
    """How a host is reached; token, cookies: None where it wants none."""

    host: str
    token: str | None = dataclasses.field(default=None, repr=False)
    cookies: str | None = dataclasses.field(default=None, repr=False)
    ssl_ca_cert: str | None = None
    insecure: bool = False

    def open(self) -> Client:
        """Return a client for the host, if that answers.

        Raises:
            kfp_server_api.ApiException: the host answers with an error.
            urllib3.exceptions.HTTPError: it does not answer.
            NotTheApi: what answers is something else.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that a back end of v1 is too old
            client = Client(
                host=self.host,
                existing_token=self.token,
                cookies=self.cookies,
                ssl_ca_cert=self.ssl_ca_cert,
                verify_ssl=False if self.insecure else None,
            )
        client.get_kfp_healthz()  # kfp itself asks only if it knows no namespace
        return client


def with_scheme(host: str) -> str:
    """Return a host with https:// unless it says http:// or https:// itself, as kfp does it."""
    return host if host.startswith(("http://", "https://")) else f"https://{host}"


def address(host: str, run_id: str, kind: str = "runs") -> str:
    """Return where the UI shows a run, or what else is of that kind."""
    return f"{host.rstrip('/')}/#/{kind}/details/{run_id}"


def get(client: kfp.Client, path: str, **query: str) -> str:
    """Return what the host answers under a path that kfp has no function for.

    Raises:
        kfp_server_api.ApiException: the host answers with an error.
        urllib3.exceptions.HTTPError: it does not answer.
    """
    api = client._run_api.api_client
    answer = api.call_api(
        path,
        "GET",
        query_params=query,
        auth_settings=["Bearer"],
        _preload_content=False,
        _request_timeout=60,
    )
    return answer.data.decode(errors="replace")


def retry(ask: Callable[[], Answer], seconds: float, tries: int = 11) -> Answer:
    """Return the answer to a question, which is asked again if it fails in a way that may pass.

    seconds: between two tries.

    Raises:
        kfp_server_api.ApiException: the host answers with an error.
        urllib3.exceptions.HTTPError: it does not answer.
    """
    for _ in range(tries - 1):
        try:
            return ask()
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
            if not is_transient(error):
                raise
        time.sleep(seconds)
    return ask()


def is_transient(error: Exception) -> bool:
    """Tell if a request may succeed later: no connection, too many requests, a server's fault."""
    status = getattr(error, "status", None)
    if is_untrusted_certificate(error):
        return False
    return not status or status == 429 or status >= 500
