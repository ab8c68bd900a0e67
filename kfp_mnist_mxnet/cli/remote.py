"""What a host's API, or its UI, tells of a run: its steps, its logs."""

import base64
import dataclasses
import functools
import gzip
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import kfp
import kfp_server_api
import urllib3
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_mnist_mxnet.cli.cluster import address, get, id_of, patiently
from kfp_mnist_mxnet.cli.graph import Box, read_graph
from kfp_mnist_mxnet.cli.logs import clean
from kfp_mnist_mxnet.cli.workflow import (
    Place,
    Step,
    places,
    read_drivers,
    read_nodes,
    read_steps,
    read_tasks,
)

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
REFUSED = (kfp_server_api.ApiException, urllib3.exceptions.HTTPError)


@dataclasses.dataclass
class Look:
    """A run as it is now.

    tasks: the states of all that the back end does for it, in the API's own list. drivers: of
    loops, conditions and the run. message: Argo's, of the whole workflow; size: its bytes.
    """

    state: str
    tasks: frozenset[tuple[str, str]] = frozenset()
    steps: list[Step] = dataclasses.field(default_factory=list)
    drivers: list[Step] = dataclasses.field(default_factory=list)
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    message: str = ""
    size: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED

    @property
    def failed(self) -> list[Step]:
        """The steps and drivers that failed."""
        return [step for step in [*self.steps, *self.drivers] if step.state == "FAILED"]


@dataclasses.dataclass(frozen=True)
class Log:
    """The log of a pod, and the address that it is at."""

    text: str
    address: str


class Run:
    """A run on a host, as its API tells of it; poll: seconds until it is asked again."""

    def __init__(self, client: kfp.Client, host: str, run_id: str, poll: float) -> None:
        self.client, self.host, self.run_id, self.poll = client, host, run_id, poll
        self.boxes: list[Box] | None = None
        self.workflow: dict[str, Any] = {}
        self.last = Look("")

    @property
    def address(self) -> str:
        """Where the UI shows it."""
        return address(self.host, self.run_id)

    @property
    def status(self) -> dict[str, Any]:
        """What Argo says of its workflow."""
        return self.workflow.get("status") or {}

    @property
    def places(self) -> list[Place]:
        """The steps of its pipeline."""
        return list(places(self.boxes or []))

    def look(self, again: bool = False) -> Look:
        """Return the run as it is now; again: also what changes without a change of a state.

        Raises:
            kfp_server_api.ApiException: the host answers with an error.
            urllib3.exceptions.HTTPError: it does not answer.
            NotTheApi: what answers is something else, as when a session has ended.
        """
        run = patiently(self.ask, self.poll)
        tasks = (run.run_details and run.run_details.task_details) or []
        states = frozenset((task.task_id, task.state or "") for task in tasks)
        if self.boxes is None:
            self.boxes = self.read_boxes(run)
        look = dataclasses.replace(self.last, state=run.state or "PENDING", tasks=states)
        again = again or "compressedNodes" in self.status  # then the list of tasks stays behind
        if again or (look.state, look.tasks) != (self.last.state, self.last.tasks):
            look.parameters = (run.runtime_config and run.runtime_config.parameters) or {}
            look.error = clean((run.error and run.error.message) or "")
            if any(then.state == "CANCELING" for then in run.state_history or []):
                look.error = "it was terminated"  # the back end then says FAILED
            if look.ended and run.finished_at and run.created_at:
                look.seconds = (run.finished_at - run.created_at).total_seconds()
            self.take_workflow(look)
            if not self.status:
                look.steps = read_tasks(tasks, self.places)
        self.last = look
        return look

    def ask(self) -> Any:
        """Return what the API says of the run; kfp's own function would wait for ever.

        Raises:
            NotTheApi: the answer tells of no run.
        """
        run = self.client._run_api.run_service_get_run(self.run_id, _request_timeout=60)
        id_of(self.client, self.host, run, "run_id")
        return run

    def read_boxes(self, run: Any) -> list[Box]:
        """Return the graph of a run's pipeline, empty where the host has it no more."""
        spec = run.pipeline_spec
        reference = run.pipeline_version_reference
        try:
            if not spec and reference:
                spec = patiently(lambda: self.version(reference), self.poll).pipeline_spec
            spec = spec.get("pipeline_spec", spec)  # beside it is what is for Kubernetes only
            return read_graph(json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec()))
        except (*REFUSED, json_format.ParseError, AttributeError, TypeError):
            return []

    def version(self, reference: Any) -> Any:
        """Return the version of a pipeline that a reference names."""
        ids = (reference.pipeline_id, reference.pipeline_version_id)
        return self.client.get_pipeline_version(*ids)

    def take_workflow(self, look: Look) -> None:
        """Read Argo's workflow of the run, which has more than the API's own list of tasks."""
        self.workflow, look.size = read_workflow(self.client, self.run_id, self.poll)
        nodes = read_nodes(self.workflow)
        look.steps = read_steps(nodes, self.places)
        look.drivers = read_drivers(nodes, self.boxes or [])
        look.message = self.status.get("message", "")

    def log(self, step: Step) -> Log | None:
        """Return the log of a step's pod, None if the host does not give it."""
        return read_log(self.client, self.host, self.run_id, self.workflow, step)


def read_workflow(client: kfp.Client, run_id: str, poll: float) -> tuple[dict[str, Any], int]:
    """Return Argo's workflow of a run and its size in bytes; empty if the host does not give it.

    The API of v1 has it; that of v2 has no pods, no messages, and says not what was cached.
    """
    path = f"/apis/v1beta1/runs/{urllib.parse.quote(run_id, safe='')}"
    try:
        answer = json.loads(patiently(lambda: get(client, path), poll, tries=3))
        text = answer["pipeline_runtime"]["workflow_manifest"]
        workflow = json.loads(text)
        packed = (workflow.get("status") or {}).get("compressedNodes")
        if packed:  # as Argo does with a large one
            nodes = gzip.decompress(base64.b64decode(packed))
            workflow["status"]["nodes"] = json.loads(nodes)
    except (*REFUSED, ValueError, LookupError, TypeError, EOFError, OSError):
        return {}, 0
    return workflow, len(text.encode())


def read_log(
    client: kfp.Client, host: str, run_id: str, workflow: dict[str, Any], step: Step
) -> Log | None:
    """Return the log of a step's pod, None if the host does not give it."""
    for path, query in log_paths(run_id, workflow, step):
        try:
            text = patiently(functools.partial(get, client, path, **query), 1.0, tries=2)
        except REFUSED:
            continue
        # The API answers 200 with its error, and a gateway with a page where one logs in.
        if not re.match(r'\s*(\{"error_message":|<)', text):
            asked = f"?{urllib.parse.urlencode(query)}" if query else ""
            return Log(text, f"{host.rstrip('/')}{path}{asked}")
    return None


def log_paths(
    run_id: str, workflow: dict[str, Any], step: Step
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where the log of a step's pod may be, each a path and its query.

    The API has it under the first; the UI hides that, but has the object store, where the log is
    when the pod has ended, and the logs of the pods that still exist.
    """
    run_part, pod_part = (urllib.parse.quote(part, safe="") for part in (run_id, step.pod))
    yield f"/apis/v1alpha1/runs/{run_part}/nodes/{pod_part}/log", {}
    namespace = (workflow.get("metadata") or {}).get("namespace", "")
    reference = (workflow.get("status") or {}).get("artifactRepositoryRef") or {}
    store = (reference.get("artifactRepository") or {}).get("s3") or {}
    if step.log and store.get("bucket"):
        kind = "s3" if "amazonaws" in store.get("endpoint", "") else "minio"
        where = {"bucket": store["bucket"], "key": step.log}
        yield "/artifacts/get", {"source": kind, "namespace": namespace, **where}
    yield "/k8s/pod/logs", {"podname": step.pod, "runid": run_id, "podnamespace": namespace}
