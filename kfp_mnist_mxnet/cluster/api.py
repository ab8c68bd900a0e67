"""Kubernetes as the pod of a step sees it. Objects are dictionaries, as YAML has them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import ssl
from collections.abc import Iterator
from typing import Any

import kubernetes.client
import kubernetes.config
import urllib3

from kfp_mnist_mxnet.errors import InvalidInput, Unavailable

Object = dict[str, Any]
ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = {"_request_timeout": (10, 60)}  # seconds to connect, and for each read
LOG_TIMEOUT = (10, 300)
RAW = {**TIMEOUT, "_preload_content": False}  # the answer as it came
# A request that is sent again does no harm: what is there already is taken over.
RETRIES = urllib3.Retry(
    total=6,
    backoff_factor=1,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of object: its API group, version, and name in the plural.

    needs: what must be installed for it, and what else helps, for a message. propagation: whether
    it is gone before what belongs to it (Background), or after (Foreground).
    """

    group: str
    version: str
    plural: str
    needs: str = ""
    propagation: str = "Foreground"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}"


def in_cluster() -> bool:
    """Tell whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


class Cluster:
    """The cluster in which this step runs, with the rights of its service account.

    Raises:
        InvalidInput: the step may not read its own pod.
    """

    def __init__(self) -> None:
        kubernetes.config.load_incluster_config()
        configuration = kubernetes.client.Configuration.get_default_copy()
        configuration.retries = RETRIES
        client = kubernetes.client.ApiClient(configuration)
        use_lenient_tls(client)
        self.core = kubernetes.client.CoreV1Api(client)
        self.custom = kubernetes.client.CustomObjectsApi(client)
        self.namespace = (ACCOUNT / "namespace").read_text().strip()
        self.pod: Object = {}
        self.pod = self.own_pod()

    def own_pod(self) -> Object:
        """Return the pod of this step."""
        name = os.environ.get("KFP_POD_NAME") or os.environ["HOSTNAME"]
        with self.translate_errors(f"read the pod {name}"):
            answer = self.core.read_namespaced_pod(name, self.namespace, **RAW)
            return dict(json.loads(answer.data))

    @property
    def container(self) -> Object:
        """The container of this step in its pod."""
        containers = self.pod["spec"]["containers"]
        return next((one for one in containers if one["name"] == "main"), containers[0])

    def create(self, kind: Kind, body: Object) -> bool:
        """Create an object; return False if there is one of that name."""
        name = body["metadata"]["name"]
        try:
            with self.translate_errors(f"create {kind} {name}", kind):
                self.custom.create_namespaced_custom_object(
                    kind.group, kind.version, self.namespace, kind.plural, body, **TIMEOUT
                )
        except AlreadyThere:
            return False
        return True

    def get(self, kind: Kind, name: str) -> Object | None:
        """Return an object, None if there is none of that name."""
        try:
            with self.translate_errors(f"read {kind} {name}", kind):
                return dict(
                    self.custom.get_namespaced_custom_object(
                        kind.group, kind.version, self.namespace, kind.plural, name, **TIMEOUT
                    )
                )
        except NotThere:
            return None

    def find(self, kind: Kind, selector: str) -> list[Object]:
        """Return the objects that have a label, the oldest first."""
        with self.translate_errors(f"list {kind}", kind):
            found = self.custom.list_namespaced_custom_object(
                kind.group,
                kind.version,
                self.namespace,
                kind.plural,
                label_selector=selector,
                **TIMEOUT,
            )

        def age(one: Object) -> tuple[str, str]:
            return str(one["metadata"].get("creationTimestamp")), str(one["metadata"]["name"])

        return sorted(found["items"], key=age)

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, if it is there, with what belongs to it."""
        with contextlib.suppress(NotThere), self.translate_errors(f"delete {kind} {name}", kind):
            self.custom.delete_namespaced_custom_object(
                kind.group,
                kind.version,
                self.namespace,
                kind.plural,
                name,
                propagation_policy=kind.propagation,
                **TIMEOUT,
            )

    def create_service(self, body: Object) -> None:
        """Create a service, unless there is one of that name."""
        with (
            contextlib.suppress(AlreadyThere),
            self.translate_errors(f"create the service {body['metadata']['name']}"),
        ):
            self.core.create_namespaced_service(self.namespace, body, **TIMEOUT)

    def pods(self, selector: str) -> list[Object]:
        """Return the pods that have a label, by name."""
        with self.translate_errors(f"list the pods {selector}"):
            answer = self.core.list_namespaced_pod(self.namespace, label_selector=selector, **RAW)
            pods = json.loads(answer.data)["items"]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def log(self, pod: str, container: str) -> Iterator[str]:
        """Yield the lines that a container logs, until it ends or the connection does."""
        with self.translate_errors(f"read the log of {pod}"):
            stream = self.core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=container,
                follow=True,
                _preload_content=False,
                _request_timeout=LOG_TIMEOUT,
            )
            rest = b""
            with contextlib.closing(stream):
                for part in stream.stream():
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        yield line.decode(errors="replace")
            if rest:
                yield rest.decode(errors="replace")

    @contextlib.contextmanager
    def translate_errors(self, action: str, kind: Kind | None = None) -> Iterator[None]:
        """Turn what the client raises into one sentence.

        action: what was tried. kind: of the object.

        Raises:
            InvalidInput: the API refuses.
            AlreadyThere, NotThere: the object is there, or is not.
            Unavailable: it does not answer.
        """
        try:
            yield
        except kubernetes.client.ApiException as error:
            status = status_of(error)
            said = status.get("message") or error.reason
            if error.status == 409:
                raise AlreadyThere(said) from error
            # Of an object that is not there the answer has the name.
            if error.status == 404 and kind and "name" not in status.get("details", {}):
                raise InvalidInput(f"the cluster has no {kind}: {kind.needs}") from error
            if error.status == 404:
                raise NotThere(said) from error
            if error.status == 403 and "admission webhook" not in said:
                raise InvalidInput(
                    f"the service account {self.account} of this step may not {action}: apply "
                    f"manifests/role.yaml ({said})"
                ) from error
            if error.status and 400 <= error.status < 500 and error.status != 429:
                raise InvalidInput(f"Kubernetes refuses to {action}: {said}") from error
            raise Unavailable(f"Kubernetes does not {action}: {said}") from error
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"Kubernetes does not answer: {error}") from error

    @property
    def account(self) -> str:
        """The service account of this step, for a message."""
        return str(self.pod.get("spec", {}).get("serviceAccountName", "default"))


def use_lenient_tls(client: kubernetes.client.ApiClient) -> None:
    """Have a client take a cluster's own authority as Python before 3.13 does.

    Many lack an extension that a certificate should have:
    https://github.com/kubernetes-client/python/issues/2394
    """
    context = ssl.create_default_context(cafile=client.configuration.ssl_ca_cert)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context


class AlreadyThere(InvalidInput):
    """There is an object of that name."""


class NotThere(InvalidInput):
    """There is no object of that name."""


def status_of(error: kubernetes.client.ApiException) -> Object:
    """Return what the API says of an error: an object of the kind Status, or an empty one."""
    with contextlib.suppress(ValueError, TypeError):
        return dict(json.loads(error.body))
    return {}
