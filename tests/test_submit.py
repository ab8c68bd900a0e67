"""`pipeline.py submit` against a server that answers as the KFP v2beta1 API does."""

import email
import http.server
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.parse

import pytest
import yaml

import pipeline

ROOT = pathlib.Path(pipeline.__file__).parent


class Server(http.server.ThreadingHTTPServer):
    """What the API keeps, and how it behaves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.url = f"http://127.0.0.1:{self.server_port}"
        kinds = ("pipelines", "versions", "experiments", "runs", "recurringruns")
        self.state: dict = {kind: [] for kind in kinds}
        self.state |= {"looks": 0, "last": "SUCCEEDED", "token": "", "cookie": "", "faults": []}


class Api(http.server.BaseHTTPRequestHandler):
    """Answers as the KFP v2beta1 API does."""

    server: Server

    def do_GET(self):
        state, url = self.server.state, urllib.parse.urlsplit(self.path)
        if not self.allowed():
            return
        path = url.path.removeprefix("/apis/v2beta1")
        if path == "/healthz":
            self.answer({"multi_user": False})
        elif match := re.fullmatch(r"/pipelines/(\w+)/versions", path):
            versions = [v for v in state["versions"] if v["pipeline_id"] == match[1]]
            self.answer({"pipeline_versions": self.filtered(url, versions)})
        elif path in ("/pipelines", "/experiments"):
            namespace = dict(urllib.parse.parse_qsl(url.query)).get("namespace")
            own = [item for item in state[path[1:]] if item.get("namespace") == namespace]
            self.answer({path[1:]: self.filtered(url, own)})
        elif path.startswith("/runs/") and state["faults"]:
            self.answer({"error": "try again"}, state["faults"].pop())
        elif path.startswith("/runs/"):
            state["looks"] += 1
            self.answer(self.run_after(state["looks"]))
        else:
            self.answer({"error": f"no {path}"}, 404)

    def do_POST(self):
        state, url = self.server.state, urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.allowed():
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

    def filtered(self, url, items: list) -> list:
        text = dict(urllib.parse.parse_qsl(url.query)).get("filter")
        if not text:
            return items
        (predicate,) = json.loads(text)["predicates"]
        return [i for i in items if i[predicate["key"]] == predicate["stringValue"]]

    def uploaded(self, body: bytes) -> str:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body)
        (part,) = (part for part in message.walk() if part.get_filename())
        return part.get_payload(decode=True).decode()  # type: ignore[union-attr]

    def run_after(self, looks: int) -> dict:
        last = self.server.state["last"]
        run = [*["RUNNING"] * 2, last][min(looks, 3) - 1]
        # Two tasks of a loop have one name; the first is done when the second begins.
        states = [[], [("t1", "SUCCEEDED"), ("t2", "RUNNING")], [("t1", "SUCCEEDED"), ("t2", last)]]
        tasks = [
            {"task_id": task, "display_name": "train", "state": state}
            for task, state in states[min(looks, 3) - 1]
        ]
        error = {"message": "train failed"} if run == "FAILED" else None
        return {
            "run_id": "x1",
            "state": run,
            "run_details": {"task_details": tasks},
            "error": error,
        }

    def answer(self, content: dict, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def submit(host: str, *options, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "pipeline.py", "submit", "--host", host, "--poll", "0.01", *options]
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)


def test_uploads_the_committed_yaml_and_starts_a_run(api):
    done = submit(api.url, "-p", "epochs=3", "-p", "kernels=[3, 3]", "--experiment", "digits")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"run  {api.url}/#/runs/details/x1\n"
    assert api.state["yaml"] == (ROOT / "pipeline.yaml").read_text()
    (run,) = api.state["runs"]
    assert run["runtime_config"]["parameters"] == {"epochs": 3, "kernels": [3, 3]}
    assert run["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    assert api.state["experiments"][0]["display_name"] == "digits"


def test_the_same_yaml_is_the_same_version(api):
    submit(api.url)
    submit(api.url)
    submit(api.url, "--target", "cpu")
    assert len(api.state["pipelines"]) == 1
    assert len(api.state["versions"]) == 2
    assert len(api.state["runs"]) == 3


def test_a_pipeline_is_looked_for_in_its_namespace(api):
    for namespace in ("mine", "mine", "yours"):
        assert submit(api.url, "--namespace", namespace).returncode == 0
    assert [made["namespace"] for made in api.state["pipelines"]] == ["mine", "yours"]
    assert [made["pipeline_id"] for made in api.state["versions"]] == ["p1", "p2"]


def test_uploads_the_pipeline_for_the_chosen_images(api):
    submit(api.url, "--target", "cpu", "--image", "example.org/cpu:1")
    spec, _ = yaml.safe_load_all(api.state["yaml"])
    executors = spec["deploymentSpec"]["executors"].values()
    assert {e["container"]["image"] for e in executors} == {"example.org/cpu:1"}


def test_waits_with_progress(api):
    done = submit(api.url, "--wait")
    assert done.returncode == 0
    lines = [line.split("  ")[-1] for line in done.stdout.splitlines()[1:]]
    assert lines == [
        *("run: RUNNING", "train: SUCCEEDED", "train#2: RUNNING"),
        *("train#2: SUCCEEDED", "run: SUCCEEDED"),
    ]


def test_a_failed_run_is_a_failed_command(api):
    api.state["last"] = "FAILED"
    done = submit(api.url, "--wait")
    assert done.returncode == 1
    assert done.stderr == "train failed\n"
    assert "train: FAILED" not in done.stdout
    assert "train#2: FAILED" in done.stdout


def test_asks_again_where_a_fault_may_pass(api):
    api.state["faults"] = [502, 429, 503]
    assert submit(api.url, "--wait").returncode == 0


def test_does_not_ask_again_where_the_answer_is_no(api):
    api.state["faults"] = [404]
    done = submit(api.url, "--wait")
    assert done.returncode == 1
    assert done.stderr == f'Error: {api.url} answered 404: {{"error": "try again"}}\n'


def test_schedules_runs(api):
    done = submit(api.url, "--cron", "0 0 3 * * *", "-p", "seed=5")
    assert done.stdout == f"schedule  {api.url}/#/recurringrun/details/x1\n"
    (schedule,) = api.state["recurringruns"]
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert schedule["runtime_config"]["parameters"] == {"seed": 5}


def test_sends_the_token_and_does_not_show_it(api):
    api.state["token"] = "abc-secret"
    refused = submit(api.url)
    accepted = submit(api.url, KFP_TOKEN="abc-secret")
    assert refused.returncode == 1
    assert refused.stderr == f'Error: {api.url} answered 401: {{"error": "not logged in"}}\n'
    assert accepted.returncode == 0
    assert "abc-secret" not in accepted.stdout + accepted.stderr + refused.stderr


def test_sends_the_cookies_of_a_session(api):
    api.state["cookie"] = "authservice_session=abc"
    assert submit(api.url).returncode == 1
    assert submit(api.url, KFP_COOKIES="authservice_session=abc").returncode == 0


def test_checks_the_certificate_unless_told_otherwise(api, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out"]
    subprocess.run([*make, certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    api.socket = context.wrap_socket(api.socket, server_side=True)
    host = api.url.replace("http:", "https:")
    refused = submit(host)
    assert refused.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr.splitlines()[-1]
    assert submit(host, "--ssl-ca-cert", str(certificate)).returncode == 0
    assert submit(host, "--insecure").returncode == 0


def test_a_host_without_a_scheme_is_asked_over_https():
    done = submit("127.0.0.1:9")
    assert done.stderr.splitlines()[-1].startswith("Error: https://127.0.0.1:9 can't be reached: ")
    assert "Warning" not in done.stderr


def test_a_host_that_does_not_answer_is_one_sentence():
    done = submit("http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: http://127.0.0.1:9 can't be reached: ")
    assert "Traceback" not in done.stderr


def test_refuses_to_wait_for_a_schedule(api):
    done = submit(api.url, "--wait", "--cron", "0 0 3 * * *")
    assert done.returncode == 2
    assert "--wait is for a run" in done.stderr
