"""A Kubeflow Model Registry in memory, as its OpenAPI description says.

Bodies are read and answers are written by the models that the registry's client has generated from
that description; a body with a field that it does not have is answered with 400.
"""

import contextlib
import http.server
import itertools
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from mr_openapi import models

API = "/api/model_registry/v1alpha3"
# Of what is made: the models of a request's body and of the answer. An artifact is made within a
# version.
KINDS: dict[str, tuple[Any, Any]] = {
    "registered_models": (models.RegisteredModelCreate, models.RegisteredModel),
    "model_versions": (models.ModelVersionCreate, models.ModelVersion),
    "artifacts": (models.Artifact, models.Artifact),
}
FOUND = {
    "registered_model": "registered_models",
    "model_version": "model_versions",
    "model_artifact": "artifacts",
}


def written(kind: str, entry: dict[str, Any]) -> Any:
    """An entry as an answer has it."""
    return json.loads(KINDS[kind][1].from_json(json.dumps(entry)).to_json())


class Registry(http.server.ThreadingHTTPServer):
    """stored: kind to entries as JSON, with their ids; requests: their methods, paths and headers.

    faults: statuses with which the next requests are answered instead, 0 for an answer of theirs.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.stored: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[int] = []
        self.ids = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: Registry

    def do_GET(self) -> None:
        """Find an entry by its name and what it belongs to."""
        if self.noted():
            return
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        kind = FOUND[url.path.removeprefix(f"{API}/")]
        for entry in self.server.stored[kind]:
            if entry["name"] == asked["name"] and entry["parent"] == asked.get("parentResourceId"):
                self.answer(200, written(kind, entry))
                return
        self.answer(404, {"message": "not found"})

    def do_POST(self) -> None:
        """Make an entry."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.noted():
            return
        *within, kind = self.path.removeprefix(f"{API}/").split("/")
        given = json.loads(KINDS[kind][0].from_json(body.decode()).to_json())
        if unknown := json.loads(body).keys() - given.keys():
            self.answer(400, {"message": f"there are no fields {sorted(unknown)}"})
            return
        parent = within[1] if within else given.get("registeredModelId")
        entry = {**given, "id": str(next(self.server.ids)), "parent": parent}
        self.server.stored[kind].append(entry)
        self.answer(201, written(kind, entry))

    def noted(self) -> bool:
        """Note the request; tell whether it got a fault for an answer."""
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        fault = self.server.faults.pop(0) if self.server.faults else 200
        if fault != 200:
            self.answer(fault or 200, {"message": "a fault"} if fault else ["something else"])
        return fault != 200

    def answer(self, status: int, content: Any) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@contextlib.contextmanager
def serving_registry() -> Iterator[Registry]:
    """An empty registry that answers until the end of the block."""
    server = Registry()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def registry() -> Iterator[Registry]:
    """An empty registry."""
    with serving_registry() as server:
        yield server
