"""A served model: KServe's own server on this machine, and the manifests for a cluster."""

import concurrent.futures
import dataclasses
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import jsonschema
import numpy as np
import pytest
import urllib3
import yaml
from conftest import ROOT, command

from kfp_mnist_mxnet.cli.serve.server import (
    JSON,
    Exported,
    Served,
    ask_directly,
    exported_in,
    free_port,
    running,
)
from kfp_mnist_mxnet.export.verification import synthetic_images
from kfp_mnist_mxnet.prediction.predictor import Predictor

SHAPE = [1, 12, 12]
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="session")
def served(reports, tmp_path_factory) -> Iterator[Served]:
    """The exported model of `trained`, served as `pipeline.py serve` does."""
    scratch = tmp_path_factory.mktemp("served")
    (directory,) = exported_in(pathlib.Path(reports["onnx_model"].path))
    model = Exported(directory)
    started = running(model, free_port(0), scratch / "log.txt")
    try:
        _, url = started.__enter__()
    except click.ClickException as error:
        if "fetch" in error.message or "resolve" in error.message:
            pytest.skip(f"the packages of the model server can't be had: {error.message}")
        raise
    request = scratch / "request.json"
    request.write_text(json.dumps(request_with(synthetic_images(SHAPE)[-1:])))
    yield Served(model, url, request)
    started.__exit__(None, None, None)


@pytest.fixture(scope="session")
def predictor(trained) -> Predictor:
    return Predictor(trained["model"].path, 64)


def request_with(images: np.ndarray, **changes: Any) -> dict:
    """A request for images, uint8 (N, C, H, W); changes: to what it says of its input."""
    given = {"name": "images", "shape": list(images.shape), "datatype": "UINT8"}
    return {"inputs": [{**given, "data": images.ravel().tolist(), **changes}]}


def post(served: Served, body: Any, headers=None, path: str = "") -> tuple[int, bytes, Any]:
    """Status, body and headers of the answer to a request; a dictionary is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{served.url}{path}" if path else served.infer()
    answer = urllib3.request("POST", url, body=content, headers=headers or JSON)
    return answer.status, answer.data, answer.headers


def get(served: Served, path: str) -> dict:
    return ask_directly("GET", f"{served.url}{path}")


def test_tells_its_health_and_what_it_takes_and_gives(served):
    assert get(served, "/v2/health/live") == {"live": True}
    assert get(served, "/v2/health/ready") == {"ready": True}
    assert get(served, "/v2/models/mnist/ready") == {"name": "mnist", "ready": True}
    metadata = get(served, "/v2/models/mnist")
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, *SHAPE]}]
    assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]


@pytest.mark.parametrize("count", [1, 7, 300])
def test_answers_in_json_what_the_module_predicts(served, predictor, count):
    images = synthetic_images(SHAPE)[-count:]
    status, body, _ = post(served, {"id": "42", **request_with(images)})
    answer = json.loads(body)
    (output,) = answer["outputs"]
    assert (status, answer["id"], answer["model_name"]) == (200, "42", "mnist")
    assert (output["name"], output["datatype"]) == ("probabilities", "FP32")
    expected = np.concatenate(list(predictor.probabilities(images)))
    found = np.array(output["data"]).reshape(output["shape"])
    assert np.allclose(found, expected, rtol=0, atol=1e-5)


def binary_request(images: np.ndarray, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request in the binary form, which asks for a binary answer."""
    told = request_with(images, parameters={"binary_data_size": images.nbytes}, **changes)
    del told["inputs"][0]["data"]
    told["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps(told).encode()
    return head + images.tobytes(), {**BINARY, "Inference-Header-Content-Length": str(len(head))}


def test_answers_in_binary_what_the_module_predicts(served, predictor):
    images = synthetic_images(SHAPE)[::10]
    status, body, headers = post(served, *binary_request(images))
    length = int(headers["inference-header-content-length"])
    (output,) = json.loads(body[:length])["outputs"]
    found = np.frombuffer(body[length:], np.float32).reshape(output["shape"])
    expected = np.concatenate(list(predictor.probabilities(images)))
    assert status == 200
    assert np.allclose(found, expected, rtol=0, atol=1e-5)


def test_requests_at_the_same_time_get_their_own_answers(served, predictor):
    images = synthetic_images(SHAPE)
    expected = np.concatenate(list(predictor.probabilities(images)))
    starts = [37 * i % 990 for i in range(64)]

    def answer(start: int) -> np.ndarray:
        _, body, _ = post(served, request_with(images[start : start + 1 + start % 9]))
        (output,) = json.loads(body)["outputs"]
        return np.array(output["data"]).reshape(output["shape"])

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(answer, starts))
    for start, found in zip(starts, answers, strict=True):
        part = expected[start : start + 1 + start % 9]
        assert np.allclose(found, part, rtol=0, atol=1e-5)


ONE = np.zeros((1, *SHAPE), np.uint8)
BAD: dict[str, tuple[Any, str]] = {
    "another type": (request_with(ONE, datatype="FP32"), "must be of type UINT8, got FP32"),
    "no such type": (request_with(ONE, datatype="PIXEL"), "must be of type UINT8, got PIXEL"),
    "no batch": (
        request_with(ONE, shape=SHAPE),
        r"must have the shape \[N, 1, 12, 12\], .*got \[1, 12, 12\]",
    ),
    "another size": (request_with(np.zeros((1, 1, 5, 5), np.uint8)), r"must have the shape \[N, "),
    "no image": (request_with(ONE[:0]), "N from 1 to 1024"),
    "too many images": (request_with(ONE, shape=[10**12, *SHAPE]), "N from 1 to 1024"),
    "a negative shape": (request_with(ONE, shape=[-1, *SHAPE]), "N from 1 to 1024"),
    "a shape of texts": (request_with(ONE, shape=["a"]), "no request of version 2: .*integer"),
    "too few pixels": (request_with(ONE, data=[1, 2]), "must have 144 whole numbers from 0 to 255"),
    "pixels above 255": (request_with(ONE, data=[256] * 144), "must have 144 whole numbers"),
    "pixels below 0": (request_with(ONE, data=[-1] * 144), "must have 144 whole numbers"),
    "pixels of 40 digits": (request_with(ONE, data=[10**40] * 144), "must have 144 whole numbers"),
    "pixels that are fractions": (request_with(ONE, data=[0.5] * 144), "must have 144 whole"),
    "pixels that are texts": (request_with(ONE, data=["a"] * 144), "must have 144 whole numbers"),
    "pixels that are true": (request_with(ONE, data=[True] * 144), "must have 144 whole numbers"),
    "lists of different lengths": (request_with(ONE, data=[[1], [2, 3]]), "must have 144 whole"),
    "data that is a text": (request_with(ONE, data="abc"), "no request of version 2: .*list"),
    "another input": (request_with(ONE, name="x"), "expected the one input 'images', got 'x'"),
    "no input": ({"inputs": []}, "expected the one input 'images', got none"),
    "nothing": ({}, "no request of version 2: .*inputs: Field required"),
    "a list": ([], "no request of version 2"),
    "no JSON": (b"{", "no request of version 2: .*JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_in_one_sentence(served, case):
    body, message = BAD[case]
    status, answer, _ = post(served, body)
    assert status == 400
    sentence = json.loads(answer)["error"]
    assert re.search(message, sentence), sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("length", "cut", "message"),
    [
        ("", 0, "header is missing"),
        ("x", 0, "no request of version 2"),
        ("3", 0, "Unrecognized request format"),
        (None, 100, "no request of version 2"),
    ],
)
def test_a_bad_binary_request_is_refused_in_one_sentence(served, length, cut, message):
    body, headers = binary_request(ONE)
    if length is not None:
        headers["Inference-Header-Content-Length"] = length
    if not headers["Inference-Header-Content-Length"]:
        del headers["Inference-Header-Content-Length"]
    status, answer, _ = post(served, body[: len(body) - cut], headers)
    assert status == 400
    assert message in json.loads(answer)["error"]


def test_another_model_is_not_found_and_the_old_protocol_is_refused(served):
    status, answer, _ = post(served, request_with(ONE), path="/v2/models/other/infer")
    assert (status, json.loads(answer)["error"]) == (404, "Model with name other does not exist.")
    status, answer, _ = post(served, {"instances": [[0]]}, path="/v1/models/mnist:predict")
    assert (status, json.loads(answer)["error"]) == (
        400,
        "use version 2 of the protocol: /v2/models/mnist/infer",
    )


def test_goes_on_after_a_bad_request(served):
    post(served, request_with(ONE, data=["a"]))
    assert post(served, request_with(ONE))[0] == 200


def test_the_line_that_is_printed_works(served):
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    done = subprocess.run(
        ["bash", "-c", served.curl()], check=True, stdout=subprocess.PIPE, text=True
    )
    assert json.loads(done.stdout)["outputs"][0]["shape"] == [1, 3]
    assert re.fullmatch(r"[012] with the probability [01]\.\d{4}", served.ask())


def test_what_the_server_refuses_is_one_sentence(served, tmp_path):
    (tmp_path / "request.json").write_text(json.dumps(request_with(np.zeros((1, 1, 3, 3)))))
    with pytest.raises(click.ClickException, match=r"^the model server refuses: images must "):
        dataclasses.replace(served, request=tmp_path / "request.json").ask()


def test_a_server_that_is_gone_is_one_sentence(served):
    with pytest.raises(click.ClickException, match=r"^the model server does not answer: "):
        dataclasses.replace(served, url="http://127.0.0.1:9").ask()


def test_a_run_is_served_and_asked_once(served, made_run):
    directory = made_run()
    done = command("serve", directory, "--port", 0, "--once")
    assert done.exit_code == 0, done.output
    assert re.search(r"^ready   http://127\.0\.0\.1:\d+/v2/health/ready$", done.stdout, re.M)
    assert "answer  0 with the probability " in done.stdout  # the first test image is a 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_model_that_was_not_exported_is_exported_and_served_until_it_is_told_to_end(
    served, trained, number
):
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = [sys.executable, "pipeline.py", "serve", trained["model"].path, "--port", "0"]
    serving = ["env", "--default-signal=INT", *program]
    process = subprocess.Popen(serving, cwd=ROOT, text=True, **pipe)  # type: ignore[call-overload]
    with process:
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(number)
        assert process.wait(30) == 0
        assert len(process.stderr.read().splitlines()) == 1  # that it starts
    port = int(re.search(r":(\d+)/", lines[0])[1])  # type: ignore[index]
    assert lines[3].startswith("try     curl -s http://127.0.0.1:")
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("none", "no run 'none' in"),
        ("empty", "no run '.*empty' in"),
        ("several", "has 2 exported models, expected one"),
    ],
)
def test_what_can_not_be_served_is_named(tmp_path, model, message):
    path = tmp_path / model
    for name in {"several": "ab"}.get(model, ""):
        (path / name / "1").mkdir(parents=True)
        (path / name / "1" / "model.onnx").touch()
    asked = path if model != "none" else model
    done = command("serve", asked, "--output-dir", tmp_path / "runs")
    assert done.exit_code == 2
    assert re.search(message, done.stderr.replace("\n", " "))


def test_a_server_that_does_not_start_is_one_sentence(served, tmp_path):
    file = Exported(tmp_path / "mnist").file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no model")
    with (
        pytest.raises(click.ClickException, match=r"^the model server ended: .*Protobuf"),
        running(Exported(tmp_path / "mnist"), free_port(0), tmp_path / "log.txt"),
    ):
        raise AssertionError("it is ready")


def test_a_port_that_is_taken_is_named(served):
    with pytest.raises(click.UsageError, match=r"port \d+: Address already in use; --port 0"):
        free_port(int(served.url.rpartition(":")[2]))


def strict(schema: Any) -> Any:
    """A schema in which an object has no other properties than those that it names."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(part) for key, part in schema.items()}
    closed = {"additionalProperties": False} if isinstance(made.get("properties"), dict) else {}
    return {**closed, **made}


# Of KServe 0.15.2, config/crd/full, without descriptions and what no manifest here could need.
SCHEMAS = strict(json.loads((ROOT / "tests" / "kserve-0.15.2.json").read_text()))
for schema in SCHEMAS.values():
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own
MANIFESTS = [
    manifest
    for name in ("kserve.yaml", "kserve-openvino.yaml")
    for manifest in yaml.safe_load_all((ROOT / "docs" / name).read_text())
]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_a_manifest_is_what_kserve_takes(manifest):
    if manifest["kind"] in SCHEMAS:
        jsonschema.validate(manifest, SCHEMAS[manifest["kind"]])
    else:
        assert manifest["apiVersion"] == "v1"


def test_a_field_that_kserve_does_not_have_is_found():
    (service, *_) = (m for m in MANIFESTS if m["kind"] == "InferenceService")
    spec = {
        "predictor": {"model": {**service["spec"]["predictor"]["model"], "storageURI": "s3://"}}
    }
    with pytest.raises(jsonschema.ValidationError, match="'storageURI' was unexpected"):
        jsonschema.validate({**service, "spec": spec}, SCHEMAS["InferenceService"])


def test_the_manifests_belong_together():
    named = {(m["kind"], m["metadata"]["name"]): m for m in MANIFESTS}
    assert len(named) == len(MANIFESTS)
    for (kind, _), manifest in named.items():
        if kind == "InferenceService":
            predictor = manifest["spec"]["predictor"]
            account = named["ServiceAccount", predictor["serviceAccountName"]]
            assert ("Secret", account["secrets"][0]["name"]) in named
            runtime = predictor["model"].get("runtime")
            assert runtime is None or ("ServingRuntime", runtime) in named
            assert predictor["model"]["storageUri"].endswith("/onnx_model")
