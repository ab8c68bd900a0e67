"""What the v2beta1 API of a host tells of a run: its steps, its logs."""

import base64
import functools
import json
import urllib.parse
from typing import Any

import kfp
import kfp_server_api
import urllib3
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_mnist_mxnet.cli.cluster.client import NotTheApi, address, get, kind_of, retry
from kfp_mnist_mxnet.cli.cluster.snapshot import RunSnapshot, Step, read_snapshot
from kfp_mnist_mxnet.cli.graph import Box, StepRef, read_graph, step_refs

REFUSED = (kfp_server_api.ApiException, urllib3.exceptions.HTTPError)


class Run:
    """A run on a host, as its API tells of it; poll: seconds until it is asked again."""

    def __init__(self, client: kfp.Client, host: str, run_id: str, poll: float) -> None:
        self.client, self.host, self.run_id, self.poll = client, host, run_id, poll
        self.boxes: list[Box] | None = None
        self.last = RunSnapshot("")

    @property
    def address(self) -> str:
        """Where the UI shows it."""
        return address(self.host, self.run_id)

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/apis/v2beta1/runs/{urllib.parse.quote(self.run_id, safe='')}"

    @property
    def step_refs(self) -> list[StepRef]:
        """The steps of its pipeline."""
        return list(step_refs(self.boxes or []))

    def snapshot(self) -> RunSnapshot:
        """Return the run as it is now.

        Raises:
            kfp_server_api.ApiException: the host answers with an error.
            urllib3.exceptions.HTTPError: it does not answer.
            NotTheApi: what answers is something else, as when a session has ended.
        """
        run = retry(self.ask, self.poll)
        if self.boxes is None:
            self.boxes = self.read_boxes(run)
        self.last = read_snapshot(run, self.boxes)
        return self.last

    def ask(self) -> dict[str, Any]:
        """Return what the API says of the run.

        Raises:
            NotTheApi: the answer tells of no run.
        """
        text = get(self.client, self.path, view="FULL")  # which KFP 2.17 does not need
        try:
            run = json.loads(text)
        except ValueError:
            run = None
        if isinstance(run, dict) and run.get("run_id") and isinstance(run["run_id"], str):
            return run
        raise NotTheApi(self.host, "without run_id" if isinstance(run, dict) else kind_of(text))

    def read_boxes(self, run: dict[str, Any]) -> list[Box]:
        """Return the graph of a run's pipeline, empty if the host no longer has it."""
        spec = run.get("pipeline_spec")
        reference = run.get("pipeline_version_reference") or {}
        try:
            if not spec:
                path = "/apis/v2beta1/pipelines/{pipeline_id}/versions/{pipeline_version_id}"
                path = path.format(**reference)
                spec = json.loads(retry(lambda: get(self.client, path), self.poll))
                spec = spec["pipeline_spec"]
            spec = spec.get("pipeline_spec", spec)  # beside it is what is for Kubernetes only
            return read_graph(json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec()))
        except (
            *REFUSED,
            json_format.ParseError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ):
            return []

    def log_path(self, step: Step) -> str:
        """Return where the API has the log of a step: as `data`, in base64."""
        node = urllib.parse.quote(step.node, safe="")
        return f"{self.path}/nodes/{node}/artifacts/main-logs:read"

    def log(self, step: Step) -> str:
        """Return the log of a step, empty if the host does not give it."""
        try:
            ask = functools.partial(get, self.client, self.log_path(step))
            answer = json.loads(retry(ask, 1.0, tries=2)) if step.node else {}
            return base64.b64decode(answer["data"]).decode(errors="replace")
        except (*REFUSED, ValueError, LookupError, TypeError):
            return ""
