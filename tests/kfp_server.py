"""A server that answers as Kubeflow Pipelines does, in the shape of answers of 2.17.0."""

import base64
import contextlib
import datetime
import email
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
NEVER = "0001-01-01T00:00:00Z"  # in place of a time that has not come
UNFINISHED = ("PENDING", "RUNNING")

# A run at one time: its state in the API, and the list of its tasks.
Scene = tuple[str, list[dict]]


def clock(second: float) -> str:
    """The time that many seconds after the start of a run."""
    start = datetime.datetime(2026, 11, 24, 12, 0, 0)
    return f"{start + datetime.timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"


def node_id(name: str) -> str:
    """The id of a node of Argo's, which is what the API gives the log of."""
    return f"{WORKFLOW}-{zlib.crc32(name.encode())}"


def task(name: str, state: str | None, start: float, end: float, child: str = "") -> dict:
    """A task as 2.17 lists it, which is a node of Argo; child: its own id is told by its parent."""
    return {
        "run_id": "x1",
        "task_id": f"{zlib.crc32(f'{name} {start} {child}'.encode()):08x}",
        "display_name": name,
        "start_time": clock(start),
        "end_time": NEVER if state in UNFINISHED else clock(end),
        **({"state": state} if state else {}),
        **({"child_tasks": [{"pod_name": node_id(child)}]} if child else {}),
    }


def driver(key: str, state: str = "SUCCEEDED", at: float = 0) -> list[dict]:
    """The driver of a step, a loop, a condition or the run, and its first try."""
    whole = "RUNNING" if state == "PENDING" else state
    first = f"{key}-driver(0)"
    return [
        task(f"{key}-driver", whole, at, at + 3, first),
        task(first, state, at, at + 3),
    ]


def step(
    key: str, state: str = "SUCCEEDED", at: float = 0, seconds: float = 10, time: int = 0
) -> list[dict]:
    """A step with its driver; state: of its pod; time: which one of a loop it is."""
    start, end = at + 10, at + 10 + seconds
    around = "RUNNING" if state == "PENDING" else state
    first = f"{key}(0) {time}" if time else f"{key}(0)"
    return [
        *driver(key, at=at),
        task(key, around, start, end, first),
        task(f"{key}(0)", around, start, end, f"{first} executor"),
        task("executor", around, start, end, f"{first} executor(0)"),
        task("executor(0)", state, start, end, ""),
    ]


def cached(key: str, at: float = 0) -> list[dict]:
    """A step that was taken from the cache."""
    return [
        *driver(key, at=at),
        task(key, "SUCCEEDED", at + 10, at + 10, f"{key}(0)"),
        task(f"{key}(0)", "SUCCEEDED", at + 10, at + 10, f"{key}(0) executor"),
        task("executor", "SKIPPED", at + 10, at + 10),
    ]


def left_out(key: str, at: float = 0) -> list[dict]:
    """A step of a run in which another one failed before it: Argo omits it, the API has no word."""
    return [task(name, None, at, at) for name in (key, f"{key}-driver")]


RUNNING: Scene = ("RUNNING", step("ingest", "RUNNING"))
SUCCEEDED: Scene = ("SUCCEEDED", step("ingest"))


class Server(http.server.ThreadingHTTPServer):
    """What the back end keeps, and how it behaves.

    scenes: of each run, one for each look at it, the last one from then on. logs: by id of a node.
    races: paths of what another client makes just before this one does.
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
        self.logs: dict[str, str] = {}
        self.races: list[str] = []
        self.instead: str | None = None  # the answer to every request in place of the API's

    def scene(self, run_id: str) -> Scene:
        """The run as the last look has found it."""
        scenes = self.scenes[run_id]
        return scenes[min(self.looks.get(run_id, 1), len(scenes)) - 1]


class Api(http.server.BaseHTTPRequestHandler):
    """Answers as the API does."""

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
            (r"/apis/v2beta1/runs/(\w+)/nodes/([\w-]+)/artifacts/main-logs:read", self.log),
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
        own = [item for item in items if (item.get("namespace") or None) == query.get("namespace")]
        self.answer({kind: filtered(query, own)})

    def run(self, query, run_id):
        if self.server.state["faults"]:
            return self.answer({"error": "try again"}, self.server.state["faults"].pop())
        if run_id not in self.server.scenes:
            return self.answer({"code": 5, "message": f"Run {run_id} not found"}, 404)
        self.server.looks[run_id] = self.server.looks.get(run_id, 0) + 1
        state, tasks = self.server.scene(run_id)
        # The cache keeps a task without a name in the same list.
        tasks = [*tasks, {"run_id": run_id, "task_id": "t0"}] if tasks else []
        return self.answer(
            {
                "run_id": run_id,
                "pipeline_version_reference": {"pipeline_id": "p1", "pipeline_version_id": "v1"},
                "runtime_config": {"parameters": {"epochs": 3}},
                "state": state,
                "created_at": clock(0),
                "finished_at": NEVER if state in UNFINISHED else clock(100),
                "run_details": {"task_details": tasks} if tasks else None,
                **self.server.answers,
            }
        )

    def log(self, query, run_id, name):
        if name not in self.server.logs:
            return self.answer({"error_message": "artifact not found"}, 404)
        data = base64.b64encode(self.server.logs[name].encode()).decode()
        return self.answer({"data": data})

    def do_POST(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.allowed():
            return
        if self.server.instead is not None:
            self.answer_text(self.server.instead)
            return
        path = url.path.removeprefix("/apis/v2beta1")
        query = dict(urllib.parse.parse_qsl(url.query))
        if path in self.server.races:
            self.server.races.remove(path)
            self.make(path, query, body)
            self.answer({"error": "already exists. Please specify a new name"}, 409)
            return
        self.answer(self.make(path, query, body))

    def make(self, path: str, query: dict, body: bytes) -> dict:
        state = self.server.state
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
        return made

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
