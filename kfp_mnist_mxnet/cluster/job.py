"""The life of an object that a step creates and waits for.

Its name follows from the address of the step's output: a step whose pod was lost, and that runs in
another one, finds the object again. It belongs to the run's workflow, and ends with it; it also
ends with a step that fails or is terminated, but not with a pod that is moved away.
"""

import contextlib
import hashlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

from kfp_mnist_mxnet.cluster.api import Cluster, Kind, Object
from kfp_mnist_mxnet.errors import Unavailable

Answer = TypeVar("Answer")
LABELS = {"app.kubernetes.io/part-of": "kfp-mnist-mxnet"}
POLL = 3.0  # seconds between two looks
PATIENCE = 600.0  # seconds for which there may be no answer


class Terminated(BaseException):
    """The step was told to end."""


def name_for(uri: str, prefix: str) -> str:
    """Return a name that follows from the address of an output; Kubernetes allows 63 letters."""
    return f"{prefix}-{hashlib.sha256(uri.encode()).hexdigest()[:12]}"


def metadata(cluster: Cluster, name: str) -> Object:
    """Return the metadata of an object that belongs to what the step's pod belongs to."""
    pod = cluster.pod["metadata"]
    owners = pod.get("ownerReferences") or [
        {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    ]
    kept = ("apiVersion", "kind", "name", "uid")
    return {
        "name": name,
        "labels": LABELS,
        "ownerReferences": [{key: owner[key] for key in kept} for owner in owners],
    }


def create_or_take_over(cluster: Cluster, kind: Kind, body: Object) -> None:
    """Create an object, or take over the one that is there, and log which.

    One that is being deleted is of an earlier try, and waited for.
    """
    name = body["metadata"]["name"]
    found = cluster.get(kind, name)
    if found and "deletionTimestamp" in found["metadata"]:
        wait_until_gone(cluster, kind, name)
    done = "Started" if cluster.create(kind, body) else "Took over"
    logging.info("%s %s %s in the namespace %s", done, kind, name, cluster.namespace)


@contextlib.contextmanager
def deleted_at_end(cluster: Cluster, kind: Kind, name: str) -> Iterator[None]:
    """Delete an object after the block, unless this pod itself is being deleted.

    Then the step goes on in another pod, which takes the object over.

    Raises:
        SystemExit: the step was terminated.
    """

    def stop(*_: object) -> NoReturn:
        raise Terminated

    before, goes_on = signal.signal(signal.SIGTERM, stop), False
    try:
        yield
    except Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        goes_on = is_moved(cluster)
        what = "goes on, as this pod is deleted" if goes_on else "is deleted"
        logging.warning("Terminated: %s %s %s", kind, name, what)
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        if not goes_on:
            try_to_delete(cluster, kind, name)
        signal.signal(signal.SIGTERM, before)


def try_to_delete(cluster: Cluster, kind: Kind, name: str) -> None:
    """Delete an object, or say in the log why that failed: another error counts."""
    try:
        cluster.delete(kind, name)
    except (ValueError, OSError) as error:
        logging.warning("%s", error)


def is_moved(cluster: Cluster) -> bool:
    """Tell whether the pod of this step is being deleted, as when its machine is drained."""
    with contextlib.suppress(OSError, ValueError):
        return "deletionTimestamp" in cluster.own_pod()["metadata"]
    return False


def poll(ask: Callable[[], Answer]) -> Iterator[Answer]:
    """Yield the answer to a question that is asked again and again.

    Raises:
        Unavailable: there has been none for PATIENCE seconds.
    """
    answered = time.monotonic()
    while True:
        try:
            answer = ask()
            answered = time.monotonic()
        except Unavailable as error:
            if time.monotonic() - answered > PATIENCE:
                raise
            logging.warning("%s", error)
        else:
            yield answer
        time.sleep(POLL)


def wait_until_gone(cluster: Cluster, kind: Kind, name: str) -> None:
    """Wait until an object that is being deleted, and what belongs to it, is gone."""
    logging.info("Waiting for the end of %s %s", kind, name)
    for found in poll(lambda: cluster.get(kind, name)):
        if found is None or "deletionTimestamp" not in found["metadata"]:
            return


def condition(found: Object, *types: str) -> Object | None:
    """Return the first condition of these types that an object is in, None for none."""
    for one in found.get("status", {}).get("conditions") or []:
        if one.get("type") in types and one.get("status") == "True":
            return dict(one)
    return None
