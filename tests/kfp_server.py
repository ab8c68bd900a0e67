"""A server that answers as Kubeflow Pipelines does, in the shape of answers of 2.17.0."""

import base64
import contextlib
import datetime
import email
import gzip
import http.server
import json
import re
import threading
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import Any

import yaml
from conftest import COMPILED

WORKFLOW = "mnist-train-x7k2q"
STATES = {"Succeeded": "SUCCEEDED", "Failed": "FAILED", "Skipped": "SKIPPED", "Omitted": "SKIPPED"}

# A run at one time: its state in the API, and the nodes of its workflow.
Scene = tuple[str, list[dict]]


def clock(second: float) -> str:
    """The time that many seconds after the start of a run."""
    start = datetime.datetime(2026, 11, 24, 12, 0, 0)
    return f"{start + datetime.timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"


def node(name: str, kind: str, template: str, phase: str, times: tuple, **more: Any) -> dict:
    """A node of Argo's workflow; times: the seconds of its start and its end, or the start."""
    started, ended = (*times, None)[:2]
    return {
        "id": f"{WORKFLOW}-{zlib.crc32(name.encode())}",
        "name": f"{WORKFLOW}(0).{name}",
        "displayName": name.rpartition(".")[2],
        "type": kind,
        "templateName": template,
        "phase": phase,
        "startedAt": clock(started),
        "finishedAt": None if ended is None else clock(ended),
        **more,
    }


def tried(name: str, kind: str, template: str, phase: str, times: tuple, **more: Any) -> list[dict]:
    """A node and its first try, which 2.17 puts around everything."""
    waits = phase == "Pending"
    whole = node(name, "Retry", template, "Running" if waits else phase, times)
    return [whole, node(f"{name}(0)", kind, template, phase, times, **more)]


def driver(key: str, phase: str = "Succeeded", at: float = 0, within="root(0)", **values) -> list:
    """The driver of a task; values: its output parameters."""
    times = (at,) if phase in ("Pending", "Running") else (at, at + 3)
    parameters = [{"name": name.replace("_", "-"), "value": v} for name, v in values.items()]
    template = "system-container-driver" if "cached_decision" in values else "system-dag-driver"
    outputs = {"parameters": parameters}
    name = f"{within}.{key}-driver" if within else f"{key}-driver"
    return tried(name, "Pod", template, phase, times, outputs=outputs)


def step(
    key: str,
    phase: str = "Succeeded",
    at: float = 0,
    seconds: float = 10,
    message: str = "",
    within: str = "root(0)",
) -> list[dict]:
    """A step with its driver; phase: of its pod."""
    name = f"{within}.{key}"
    times = (at + 10,) if phase in ("Pending", "Running") else (at + 10, at + 10 + seconds)
    around = "Running" if phase == "Pending" else phase
    main_log = {"name": "main-logs", "s3": {"key": f"logs/{key}/main.log"}}
    outputs = {"artifacts": [main_log]} if len(times) == 2 else {}
    return [
        *driver(key, at=at, within=within, cached_decision="false"),
        *tried(name, "DAG", "system-container-executor", around, times),
        *tried(
            f"{name}(0).executor",
            *("Pod", "system-container-impl", phase, times),
            message=message,
            outputs=outputs,
        ),
    ]


def cached(key: str, at: float = 0, within: str = "root(0)") -> list[dict]:
    """A step that was taken from the cache."""
    why = "when 'true != true' evaluated false"
    return [
        *driver(key, at=at, within=within, cached_decision="true"),
        *tried(f"{within}.{key}", "DAG", "system-container-executor", "Succeeded", (at, at)),
        node(
            f"{within}.{key}(0).executor",
            *("Skipped", "system-container-impl", "Skipped", (at, at)),
            message=why,
        ),
    ]


def left_out(key: str, at: float = 0) -> list[dict]:
    """A step of a run in which another one failed before it."""
    why = {"message": "omitted: depends condition not met"}
    names = (f"root(0).{key}", f"root(0).{key}-driver")
    return [node(name, "Skipped", "any", "Omitted", (at, at), **why) for name in names]


def pod(key: str, name: str = "executor", within: str = "root(0)") -> str:
    """The name of the pod of a step, or of its driver."""
    if name == "driver":
        return pod_of(f"{within}.{key}-driver(0)", "system-container-driver")
    return pod_of(f"{within}.{key}(0).executor(0)", "system-container-impl")


def pod_of(name: str, template: str) -> str:
    """The name of a node's pod."""
    return f"{WORKFLOW}-{template}-{zlib.crc32(name.encode())}"


RUNNING: Scene = ("RUNNING", step("ingest", "Running"))
SUCCEEDED: Scene = ("SUCCEEDED", step("ingest"))


class Server(http.server.ThreadingHTTPServer):
    """What the back end keeps, and how it behaves.

    scenes: of each run, one for each look at it, the last one from then on. ui: whether it is the
    UI, which hides a part of the API and has paths of its own. packed: whether Argo has packed the
    nodes, which the list of tasks does not notice. manifest: whether the API of v1 answers.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.url = f"http://127.0.0.1:{self.server_port}"
        kinds = ("pipelines", "versions", "experiments", "runs", "recurringruns")
        self.state: dict = {kind: [] for kind in kinds}
        self.state |= {"token": "", "cookie": "", "faults": [], "yaml": ""}
        self.scenes: dict[str, list[Scene]] = {"x1": [RUNNING, SUCCEEDED]}
        self.looks: dict[str, int] = {}
        self.answers: dict[str, Any] = {}  # more of what the API says of every run
        self.workflow: dict[str, Any] = {}  # more of the status of every workflow
        self.packed = False
        self.manifest = True
        self.logs: dict[str, str] = {}
        self.ui = False
        self.instead: str | None = None  # the answer to every request in place of the API's
        self.tasks: list[dict] = []

    def scene(self, run_id: str) -> Scene:
        """The run as the last look has found it."""
        scenes = self.scenes[run_id]
        return scenes[min(self.looks.get(run_id, 1), len(scenes)) - 1]


class Api(http.server.BaseHTTPRequestHandler):
    """Answers as the API does, or as the server of the UI."""

    server: Server

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not self.allowed():
            return None
        if self.server.instead is not None:
            return self.answer_text(self.server.instead)
        for pattern, method in (
            (r"/apis/v2beta1/healthz", self.health),
            (r"/apis/v2beta1/pipelines/(\w+)/versions", self.versions),
            (r"/apis/v2beta1/pipelines/(\w+)/versions/(\w+)", self.version),
            (r"/apis/v2beta1/(pipelines|experiments)", self.listing),
            (r"/apis/v2beta1/runs/(\w+)", self.run),
            (r"/apis/v1beta1/runs/(\w+)", self.run_of_v1),
            (r"/apis/v1alpha1/runs/(\w+)/nodes/([\w-]+)/log", self.log),
            (r"/apis/v1alpha1/tasks", self.cache),
            (r"/(artifacts/get|k8s/pod/logs)", self.log_in_ui),
        ):
            match = re.fullmatch(pattern, url.path)
            if match:
                return method(query, *match.groups())
        return self.answer({"error": f"no {url.path}"}, 404)

    def health(self, query):
        self.answer({"multi_user": False})

    def versions(self, query, pipeline_id):
        versions = self.server.state["versions"]
        own = [version for version in versions if version["pipeline_id"] == pipeline_id]
        self.answer({"pipeline_versions": filtered(query, own)})

    def version(self, query, pipeline_id, version_id):
        text = self.server.state["yaml"] or (COMPILED / "pipeline-cpu.yaml").read_text()
        spec, platforms = yaml.load_all(text, yaml.CSafeLoader)
        content = {"pipeline_spec": spec, "platform_spec": platforms}
        self.answer({"pipeline_version_id": version_id, "pipeline_spec": content})

    def listing(self, query, kind):
        items = self.server.state[kind]
        own = [item for item in items if item.get("namespace") == query.get("namespace")]
        self.answer({kind: filtered(query, own)})

    def run(self, query, run_id):
        if self.server.state["faults"]:
            return self.answer({"error": "try again"}, self.server.state["faults"].pop())
        if run_id not in self.server.scenes:
            return self.answer({"code": 5, "message": f"Run {run_id} not found"}, 404)
        self.server.looks[run_id] = self.server.looks.get(run_id, 0) + 1
        state, nodes = self.server.scene(run_id)
        tasks = [
            {
                "run_id": run_id,
                "task_id": node["id"],
                "display_name": node["displayName"],
                "state": STATES.get(node["phase"], node["phase"].upper()),
                "start_time": node["startedAt"],
                "end_time": node["finishedAt"] or "0001-01-01T00:00:00Z",
            }
            for node in (self.server.scenes[run_id][0][1] if self.server.packed else nodes)
        ]
        # The cache keeps a task without a name in the same list.
        tasks += [{"run_id": run_id, "task_id": "t0"}] if tasks else []
        return self.answer(
            {
                "run_id": run_id,
                "pipeline_version_reference": {"pipeline_id": "p1", "pipeline_version_id": "v1"},
                "runtime_config": {"parameters": {"epochs": 3}},
                "state": state,
                "created_at": clock(0),
                "finished_at": clock(100) if state in STATES.values() else clock(-1e9),
                "run_details": {"task_details": tasks} if tasks else None,
                **self.server.answers,
            }
        )

    def run_of_v1(self, query, run_id):
        if not self.server.manifest:
            return self.answer({"error": "no v1beta1"}, 404)
        state, nodes = self.server.scene(run_id)
        found: dict = {node["id"]: node for node in nodes}
        store = {"bucket": "mlpipeline", "endpoint": "seaweedfs.kubeflow.svc:9000"}
        status = {
            "phase": state.capitalize(),
            "artifactRepositoryRef": {"artifactRepository": {"s3": store}},
            **self.server.workflow,
        }
        if self.server.packed:
            packed = gzip.compress(json.dumps(found).encode())
            status["compressedNodes"] = base64.b64encode(packed).decode()
        elif found:
            status["nodes"] = found
        annotations = {"workflows.argoproj.io/pod-name-format": "v2"}
        metadata = {"name": WORKFLOW, "namespace": "kubeflow", "annotations": annotations}
        manifest = {"metadata": metadata, "status": status} if nodes else {}
        text = json.dumps(manifest)
        return self.answer({"run": {}, "pipeline_runtime": {"workflow_manifest": text}})

    def log(self, query, run_id, name):
        if self.server.ui:
            return self.answer_text("<!DOCTYPE html>\n<pre>Cannot GET</pre>", 404)
        error = json.dumps({"error_message": f"BadRequestError: no {name}", "error_details": ""})
        return self.answer_text(self.server.logs.get(name, error))

    def log_in_ui(self, query, path):
        if not self.server.ui:
            return self.answer_text("404 page not found", 404)
        log = self.server.logs.get(query.get("key") or query["podname"])
        if not log:
            return self.answer_text("Could not get main container logs", 500)
        return self.answer_text(log)

    def cache(self, query):
        if self.server.ui:
            return self.answer({"error": "no such path"}, 404)
        (predicate,) = json.loads(query["filter"])["predicates"]
        tasks = self.server.tasks
        found = [task for task in tasks if task[predicate["key"]] == predicate["string_value"]]
        return self.answer({"tasks": found[:1]} if found else {})

    def do_POST(self):
        state, url = self.server.state, urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.allowed():
            return
        if self.server.instead is not None:
            self.answer_text(self.server.instead)
            return
        path = url.path.removeprefix("/apis/v2beta1")
        query = dict(urllib.parse.parse_qsl(url.query))
        if path == "/pipelines":
            made = {**json.loads(body), "pipeline_id": f"p{len(state['pipelines']) + 1}"}
            state["pipelines"].append(made)
        elif path == "/pipelines/upload_version":
            made = {
                "pipeline_id": query["pipelineid"],
                "pipeline_version_id": f"v{len(state['versions']) + 1}",
                "display_name": query["name"],
            }
            state["versions"].append(made)
            state["yaml"] = self.uploaded(body)
        else:
            kind = {"/experiments": "experiment", "/runs": "run", "/recurringruns": "recurring_run"}
            made = {**json.loads(body), f"{kind[path]}_id": "x1"}
            state[path[1:]].append(made)
        self.answer(made)

    def allowed(self) -> bool:
        token, cookie = self.server.state["token"], self.server.state["cookie"]
        if (token and self.headers.get("authorization") != f"Bearer {token}") or (
            cookie and self.headers.get("cookie") != cookie
        ):
            self.answer({"error": "not logged in"}, 401)
            return False
        return True

    def uploaded(self, body: bytes) -> str:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body)
        (part,) = (part for part in message.walk() if part.get_filename())
        return part.get_payload(decode=True).decode()  # type: ignore[union-attr]

    def answer(self, content: dict, status: int = 200) -> None:
        self.answer_text(json.dumps(content), status, "application/json")

    def answer_text(self, text: str, status: int = 200, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def filtered(query: dict, items: list) -> list:
    """The items that the filter of a query lets through."""
    if "filter" not in query:
        return items
    (predicate,) = json.loads(query["filter"])["predicates"]
    return [item for item in items if item[predicate["key"]] == predicate["stringValue"]]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server that runs until the end of the block."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
