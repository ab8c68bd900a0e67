"""A server that answers as Kubernetes does, and runs the pods of jobs as processes."""

import contextlib
import dataclasses
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import kubernetes.client
import pytest
from conftest import ROOT

from kfp_mnist_mxnet.cluster import api
from kfp_mnist_mxnet.distributed.processes import free_ports

NAMESPACE = "team"
STEP = "step-pod"
INDEX = "batch.kubernetes.io/job-completion-index"
OWNER = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "name": "mnist-train-x7k2q",
    "uid": "w1",
    "controller": True,
}


@dataclasses.dataclass
class Pod:
    """A pod of a job: its process, where it logs, and where it writes why it fails."""

    name: str
    job: str
    index: int
    process: subprocess.Popen
    log: pathlib.Path
    message: pathlib.Path

    def as_object(self) -> dict:
        status = self.process.poll()
        state: dict[str, Any] = {"running": {}}
        if status is not None:
            said = self.message.read_text() if self.message.exists() else ""
            code = status if status >= 0 else 128 - status
            reason = "Error" if code else "Completed"
            state = {"terminated": {"exitCode": code, "reason": reason, "message": said}}
        phase = {None: "Running", 0: "Succeeded"}.get(status, "Failed")
        container = {"name": "node", "state": state, "image": "i", "imageID": "", "ready": True}
        return {
            "metadata": {"name": self.name, "annotations": {INDEX: str(self.index)}},
            "spec": {"containers": [{"name": "node"}]},
            "status": {
                "phase": phase,
                "containerStatuses": [{**container, "restartCount": 0}],
            },
        }


class Kubernetes:
    """The objects of a namespace, and what is done with them.

    forbidden: plurals of kinds that may not be created or read; missing: those that the cluster has
    not. pending: why no pod of a job starts; empty for pods that start.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.objects: dict[tuple[str, str], dict] = {}
        self.pods: list[Pod] = []
        self.forbidden: set[str] = set()
        self.missing: set[str] = set()
        self.pending = ""
        self.failures = 0  # how many more requests the server has no answer to
        self.deleted: list[str] = []
        self.step = {
            "metadata": {"name": STEP, "uid": "p1", "ownerReferences": [OWNER]},
            "spec": {
                "serviceAccountName": "pipeline-runner",
                "containers": [
                    {
                        "name": "main",
                        "image": "example.org/mxnet:1",
                        "env": [
                            {"name": "AWS_ACCESS_KEY_ID", "value": "right"},
                            {"name": "KFP_POD_NAME", "value": STEP},
                        ],
                    }
                ],
            },
        }

    def find(self, plural: str, name: str) -> dict | None:
        return self.objects.get((plural, name))

    def create(self, plural: str, body: dict) -> None:
        name = body["metadata"]["name"]
        body["metadata"]["uid"] = f"uid-of-{name}"
        self.objects[plural, name] = body
        if plural == "jobs" and not self.pending:
            spec = body["spec"]
            for index in range(spec["completions"]):
                self.start(name, index, spec["template"]["spec"]["containers"][0])

    def start(self, job: str, index: int, container: dict) -> None:
        """Start the process of a pod."""
        variables = {each["name"]: each["value"] for each in container["env"]}
        name = f"{job}-{index}-{len(self.pods)}"
        if not index:
            self.port = free_ports()
        log, message = self.directory / f"{name}.log", self.directory / f"{name}.json"
        variables["FIRST_NODE"] = f"localhost:{self.port}"
        variables["ERROR_FILE"] = str(message)
        variables["JOB_COMPLETION_INDEX"] = str(index)
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *container["command"][1:]]
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        self.pods.append(Pod(name, job, index, process, log, message))

    def state(self, plural: str, name: str) -> dict | None:
        """An object as it is now."""
        found = self.find(plural, name)
        if found is None or plural != "jobs" or self.pending:
            return found
        statuses = [pod.process.poll() for pod in self.pods if pod.job == name]
        ended = "Failed" if any(statuses) else "Complete" if None not in statuses else ""
        conditions = [{"type": ended, "status": "True", "message": "told"}] if ended else []
        return {**found, "status": {"conditions": conditions}}

    def delete(self, plural: str, name: str) -> None:
        """Delete an object, and the pods that belong to it; it is gone a moment later."""
        found = self.objects[plural, name]
        if "deletionTimestamp" in found["metadata"]:
            return
        found["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
        threading.Timer(0.3, self.objects.pop, [(plural, name)]).start()
        self.deleted.append(name)
        for pod in [pod for pod in self.pods if pod.job == name]:
            pod.process.kill()
            pod.process.wait()
            self.pods.remove(pod)

    def list_pods(self, selector: str) -> list[dict]:
        job = selector.rpartition("=")[2]
        if self.pending and ("jobs", job) in self.objects:
            why = {"type": "PodScheduled", "status": "False", "message": self.pending}
            status = {"phase": "Pending", "conditions": [why]}
            spec = {"containers": [{"name": "node"}]}
            return [{"metadata": {"name": f"{job}-0"}, "spec": spec, "status": status}]
        return [pod.as_object() for pod in self.pods if pod.job == job]

    def list_objects(self, plural: str, selector: str) -> list[dict]:
        """The objects of a kind that have a label."""
        key, _, value = selector.partition("=")
        of_kind = [each for (kind, _), each in self.objects.items() if kind == plural]
        return [each for each in of_kind if each["metadata"].get("labels", {}).get(key) == value]


def refusal(code: int, message: str) -> tuple[int, dict]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "message": message}


def answer(state: Kubernetes, method: str, path: str, query: str, body: dict) -> tuple[int, dict]:
    """What is answered to a request."""
    parts = re.fullmatch(rf"/apis?/(.*)/namespaces/{NAMESPACE}/(\w+)(?:/([^/]+))?", path)
    assert parts, path
    _, plural, name = parts.groups()
    if plural in state.missing:
        return refusal(404, "the server could not find the requested resource")
    if plural in state.forbidden:
        return refusal(403, f"{plural} is forbidden: User cannot {method.lower()} it")
    if plural == "pods":
        if name:
            return 200, state.step
        selector = urllib.parse.parse_qs(query)["labelSelector"][0]
        return 200, {"kind": "PodList", "items": state.list_pods(selector)}
    if method == "POST":
        if state.find(plural, body["metadata"]["name"]):
            return refusal(409, "it is there")
        state.create(plural, body)
        return 201, body
    if name is None:
        selector = urllib.parse.parse_qs(query)["labelSelector"][0]
        return 200, {"items": state.list_objects(plural, selector)}
    found = state.state(plural, name)
    if found is None:
        code, status = refusal(404, f'{plural} "{name}" not found')
        return code, {**status, "details": {"name": name, "kind": plural}}
    if method == "DELETE":
        state.delete(plural, name)
    return 200, found


def handler(state: Kubernetes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path.endswith("/log"):
                self.send_log(path.split("/")[-2])
                return
            content = json.loads(body) if body and self.command == "POST" else {}
            if state.failures:
                state.failures -= 1
                code, answered = refusal(503, "etcdserver: leader changed")
            else:
                code, answered = answer(state, self.command, path, query, content)
            text = json.dumps(answered).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def send_log(self, name: str) -> None:
            """Send what a pod logs until it ends."""
            pod = next(pod for pod in state.pods if pod.name == name)
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            with pod.log.open("rb") as file, contextlib.suppress(OSError):
                ended = False
                while not ended:
                    ended = pod.process.poll() is not None
                    self.wfile.write(file.read())
                    threading.Event().wait(0.05)

        def do_GET(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            self.respond()

        def do_DELETE(self) -> None:
            self.respond()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Iterator[Kubernetes]:
    """A cluster, and this process as the pod of a step in it."""
    account = tmp_path / "account"
    account.mkdir()
    (account / "namespace").write_text(NAMESPACE)
    pods = tmp_path / "pods"
    pods.mkdir()
    state = Kubernetes(pods)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def configure() -> None:
        configuration = kubernetes.client.Configuration()
        configuration.host = f"http://127.0.0.1:{server.server_address[1]}"
        kubernetes.client.Configuration.set_default(configuration)

    monkeypatch.setattr("kubernetes.config.load_incluster_config", configure)
    monkeypatch.setattr(api, "ACCOUNT", account)
    monkeypatch.setattr("kfp_mnist_mxnet.cluster.job.POLL", 0.1)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KFP_POD_NAME", STEP)
    try:
        yield state
    finally:
        for pod in state.pods:
            pod.process.kill()
            pod.process.wait()
        server.shutdown()
        server.server_close()
        kubernetes.client.Configuration.set_default(None)
