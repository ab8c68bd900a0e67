"""Registering an exported model; the server is tests/registry_server.py, not Kubeflow's own."""

import asyncio
import json
import math
import pathlib
import re
import shutil
import socket
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from kfp import dsl
from registry_server import Registry
from step_process import Step

from kfp_mnist_mxnet.components.register import register
from kfp_mnist_mxnet.errors import InvalidInput, Unavailable
from kfp_mnist_mxnet.export import registration

ADDRESS = "minio://mlpipeline/v2/artifacts/mnist-train/7dc8/export/onnx_model"


@pytest.fixture
def onnx_model(reports, tmp_path) -> types.SimpleNamespace:
    """A copy of the exported model of `reports`, as a step on a cluster has it."""
    path = tmp_path / "onnx_model"
    shutil.copytree(reports["onnx_model"].path, path)
    return types.SimpleNamespace(path=str(path), uri=ADDRESS, metadata={})


@pytest.fixture(autouse=True)
def neither_token_nor_pauses(monkeypatch):
    monkeypatch.delenv(registration.TOKEN, raising=False)
    monkeypatch.setattr(registration, "RETRY_DELAYS", (0.0, 0.0, 0.0))


def do(onnx_model, registry: Registry, **parameters) -> dict[str, str]:
    return register.python_func(onnx_model=onnx_model, registry_uri=registry.url, **parameters)


def digest(onnx_model) -> str:
    return registration.entry_of(onnx_model.path, onnx_model.uri, "", {}).digest


def new_metrics(**figures) -> dsl.Metrics:
    return dsl.Metrics(metadata=figures)


def test_registers_name_version_address_and_figures(onnx_model, registry):
    figures = {"accuracy": 0.96, "images": 25, "loss": math.nan, "display_name": "metrics"}
    found = do(onnx_model, registry, metrics=new_metrics(**figures))
    (model,) = registry.stored["registered_models"]
    (version,) = registry.stored["model_versions"]
    (artifact,) = registry.stored["artifacts"]
    sha256, uri = digest(onnx_model), f"s3://{ADDRESS.partition('://')[2]}/mnist"
    assert (model["name"], version["name"]) == ("mnist", sha256[:12])
    assert version["customProperties"] == {
        "accuracy": {"double_value": 0.96, "metadataType": "MetadataDoubleValue"},
        "images": {"int_value": "25", "metadataType": "MetadataIntValue"},
        "sha256": {"string_value": sha256, "metadataType": "MetadataStringValue"},
        "model_card": {"string_value": f"{uri}/README.md", "metadataType": "MetadataStringValue"},
    }
    assert (artifact["uri"], artifact["parent"]) == (uri, version["id"])
    assert (artifact["modelFormatName"], artifact["artifactType"]) == ("onnx", "model-artifact")
    assert found == {
        "name": "mnist",
        "version": sha256[:12],
        "uri": uri,
        "model_id": model["id"],
        "version_id": version["id"],
        "artifact_id": artifact["id"],
    }


def test_registers_from_a_notebook_too(onnx_model, registry):
    async def cell() -> dict[str, str]:
        return do(onnx_model, registry)

    # In a thread, as the main one may have the loop of the tests' browser.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(lambda: asyncio.run(cell())).result()["name"] == "mnist"


def test_the_same_model_is_registered_once(onnx_model, registry):
    first = do(onnx_model, registry)
    onnx_model.uri = "minio://mlpipeline/another/run"
    assert do(onnx_model, registry) == first
    assert {kind: len(entries) for kind, entries in registry.stored.items()} == {
        "registered_models": 1,
        "model_versions": 1,
        "artifacts": 1,
    }


def test_a_model_has_several_versions(onnx_model, registry):
    first = do(onnx_model, registry, model_version="1.0")
    second = do(onnx_model, registry, model_version="1.1")
    assert first["model_id"] == second["model_id"]
    assert first["version_id"] != second["version_id"]
    assert first["artifact_id"] != second["artifact_id"]


def test_another_model_does_not_take_the_place_of_a_version(onnx_model, registry):
    do(onnx_model, registry, model_version="1.0")
    before = json.dumps(registry.stored)
    (file,) = pathlib.Path(onnx_model.path).glob("*/1/model.onnx")
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(InvalidInput, match=r"^version 1\.0 of mnist is registered with another"):
        do(onnx_model, registry, model_version="1.0")
    assert json.dumps(registry.stored) == before


@pytest.mark.parametrize("answered", range(6))
def test_a_registration_that_was_cut_short_is_completed(onnx_model, registry, answered):
    registry.faults = [200] * answered + [500] * 4
    with pytest.raises(Unavailable, match="answers with status 500; try again later"):
        do(onnx_model, registry)
    registry.faults = []
    found = do(onnx_model, registry)
    (artifact,) = registry.stored["artifacts"]
    assert found["artifact_id"] == artifact["id"]
    assert [len(entries) for entries in registry.stored.values()] == [1, 1, 1]


@pytest.mark.parametrize("answered", range(6))
@pytest.mark.parametrize("fault", [409, 500, 503])
def test_a_registration_gets_past_a_fault_that_passes(
    onnx_model, registry, caplog, answered, fault
):
    registry.faults = [200] * answered + [fault]
    do(onnx_model, registry)
    assert [len(entries) for entries in registry.stored.values()] == [1, 1, 1]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"Trying again: {registry.url}")


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (400, InvalidInput, 'answers with status 400: {"message": "a fault"}'),
        (401, InvalidInput, "answers with status 401"),
        (403, InvalidInput, "answers with status 403"),
        (404, InvalidInput, "is no model registry: it answers with status 404"),
        (409, Unavailable, "something else registers this model now; try again"),
        (0, InvalidInput, "is no model registry: it answers something else"),
    ],
)
def test_a_refusal_is_one_sentence(onnx_model, registry, fault, error, sentence):
    registry.faults = [fault] * 9
    with pytest.raises(error) as raised:
        do(onnx_model, registry)
    assert str(raised.value).startswith(registry.url)
    assert sentence in str(raised.value)


def test_a_registry_that_is_away_is_one_sentence(onnx_model):
    with pytest.raises(Unavailable, match=r"^http://127\.0\.0\.1:9 does not answer: "):
        register.python_func(onnx_model=onnx_model, registry_uri="http://127.0.0.1:9")


def test_a_registry_that_hangs_is_given_up(onnx_model, monkeypatch):
    monkeypatch.setattr(registration, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Unavailable, match=r"does not answer within 0\.3 s"):
            register.python_func(onnx_model=onnx_model, registry_uri=uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("registry:8080", "the scheme is 'registry'"),
        ("ftp://registry", "the scheme is 'ftp'"),
        ("http://", "there is no host"),
        ("http://registry:99999", "the port is no number"),
        ("http://me:hush@registry", "have no password and no query, got http://registry and more"),
        ("https://registry/?token=hush", "have no password and no query, got https://registry/"),
    ],
)
def test_what_is_no_address_of_a_registry_is_refused(onnx_model, uri, said):
    with pytest.raises(InvalidInput, match=f"^registry_uri must .*?{re.escape(said)}") as raised:
        register.python_func(onnx_model=onnx_model, registry_uri=uri)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("version", ["a b", "x" * 101, "1/2", "\n"])
def test_a_version_that_is_no_word_is_refused(onnx_model, registry, version):
    with pytest.raises(InvalidInput, match=r"^model_version must be at most 100 letters"):
        do(onnx_model, registry, model_version=version)
    assert registry.requests == []


@pytest.mark.parametrize(("names", "count"), [((), 0), (("a", "b"), 2)])
def test_a_directory_has_one_exported_model(registry, tmp_path, names, count):
    for name in names:
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "model.onnx").write_bytes(b"x")
    with pytest.raises(InvalidInput, match=f"has {count} exported models, expected the one"):
        do(dsl.Model(uri=str(tmp_path)), registry)


def test_a_link_is_no_exported_model(onnx_model, registry, tmp_path):
    (file,) = pathlib.Path(onnx_model.path).glob("*/1/model.onnx")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match=r"model\.onnx is a symbolic link"):
        do(onnx_model, registry)


@pytest.mark.parametrize("text", [b"hush\nhush", b"hush\x00", b"hush\xff", "hush\u2019".encode()])
def test_a_token_that_no_header_can_have_is_not_shown(
    onnx_model, registry, monkeypatch, tmp_path, text
):
    (tmp_path / "token").write_bytes(text)
    monkeypatch.setenv(registration.TOKEN, str(tmp_path / "token"))
    with pytest.raises(InvalidInput, match=registration.TOKEN) as caught:
        do(onnx_model, registry)
    assert "hush" not in str(caught.value) + str(caught.value.__cause__)
    assert not registry.requests


def test_the_token_goes_out_only_if_it_is_named(onnx_model, registry, monkeypatch, tmp_path):
    do(onnx_model, registry)
    assert not any("Authorization" in headers for _, _, headers in registry.requests)
    (tmp_path / "token").write_text("a token\n")
    monkeypatch.setenv(registration.TOKEN, str(tmp_path / "token"))
    registry.requests.clear()
    do(onnx_model, registry)
    assert {headers["Authorization"] for _, _, headers in registry.requests} == {"Bearer a token"}
    monkeypatch.setenv(registration.TOKEN, str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match=f"of {registration.TOKEN}, can't be read"):
        do(onnx_model, registry)


def test_the_embedded_program_needs_nothing_else(onnx_model, registry, tmp_path):
    model = dsl.Model(name="onnx_model", uri=onnx_model.path)
    step = Step(register, {"onnx_model": model}, {"registry_uri": registry.url})
    done = step.run(tmp_path / "out", tmp_path / "scratch")
    assert done.returncode == 0, done.stdout
    (artifact,) = registry.stored["artifacts"]
    assert artifact["uri"] == f"{onnx_model.path}/mnist"


def test_without_a_registry_it_does_nothing_and_says_so(onnx_model, caplog):
    with caplog.at_level("INFO"):
        assert register.python_func(onnx_model=onnx_model, registry_uri="") == {}
    assert caplog.messages == ["skipped: registry_uri is not set"]


def test_nothing_is_lost_if_the_registry_is_away(onnx_model):
    def files() -> dict[str, bytes]:
        root = pathlib.Path(onnx_model.path)
        return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    before = files()
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9 does not answer"):
        register.python_func(onnx_model=onnx_model, registry_uri="http://127.0.0.1:9")
    assert files() == before
    assert any(path.endswith("mnist/1/model.onnx") for path in before)
