"""Secrets stay out of everything that a run writes."""

import json
import pathlib
import re
import shutil

import pytest
from conftest import COMPILED, SMALL, as_options, command, write_idx_set

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.local.redaction import scrub, secret_words
from kfp_mnist_mxnet.compiler.target import file_name
from kfp_mnist_mxnet.data.names import STANDARD_NAMES
from kfp_mnist_mxnet.data.sources import Mirror, fetch
from kfp_mnist_mxnet.export.registration import TOKEN
from kfp_mnist_mxnet.storage.address import without_secrets
from kfp_mnist_mxnet.storage.destinations import parse_destination
from kfp_mnist_mxnet.storage.store import open_store

# The credentials of the test server, and what else may stand in the environment of a run.
SECRETS = {
    "AWS_ACCESS_KEY_ID": "right",
    "AWS_SECRET_ACCESS_KEY": "hidden-secret",
    "MINIO_SECRET_KEY": "hid-minio",
    "KFP_TOKEN": "hid-token",
    "DATABASE_PASSWORD": "hid-password",
    "HTTP_PASSWORD": "hid-http",
}
LEAK = re.compile(rb"hid(?:den)?-[a-z]+|AWS_SECRET_ACCESS_KEY=|X-Amz-Signature")


def leaks(paths) -> dict[str, bytes]:
    """File to the first secret in it."""
    found = {str(path): LEAK.search(path.read_bytes()) for path in paths if path.is_file()}
    return {name: match[0] for name, match in found.items() if match}


@pytest.fixture
def secrets(monkeypatch) -> None:
    """Secrets in the environment."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def run(name: str, output: pathlib.Path, parameters: dict) -> dict:
    """Run a pipeline and return run.json; what the terminal shows is kept beside it."""
    options = [*as_options(parameters), "--output-dir", output]
    done = command("run", "--pipeline", name, *options)
    (output / "terminal").write_text(done.output)
    record = json.loads((output / "latest" / "run.json").read_text())
    assert record["status"] == ("FAILED" if done.exit_code else "SUCCEEDED")
    return record


def test_every_step_keeps_secrets_out_of_all_that_it_writes(
    tmp_path, s3, keys, secrets, trained, registry, monkeypatch
):
    (tmp_path / "token").write_text("hid-token")
    monkeypatch.setenv(TOKEN, str(tmp_path / "token"))
    store = {"data_uri": "s3://data/idx", "s3_endpoint": f"http://{s3}"}
    presigned = "http://me:hid-user@127.0.0.1:9/x?X-Amz-Signature=hid-signature"
    data = {**store, "data_uri": f"{presigned} s3://data/idx"}
    model = shutil.copytree(trained["model"].path, tmp_path / "model")
    records = [
        run(
            "train",
            tmp_path / "train",
            {
                **data,
                **SMALL,
                "checkpoint_uri": "s3://data/kept",
                "registry_uri": registry.url,
            },
        ),
        run("sweep", tmp_path / "sweep", {**store, "trials": [SMALL], "export_onnx": False}),
        run(
            "batch_predict",
            tmp_path / "batch",
            {
                **data,
                "model_uri": str(model),
                "shards": 1,
                "batch_size": 8,
                "destination_uri": "s3://data/leaks",
            },
        ),
    ]
    assert [record["status"] for record in records] == ["SUCCEEDED"] * 3
    steps = {re.sub(r"-\d+$", "", step["name"]) for record in records for step in record["steps"]}
    assert steps == {
        *("ingest", "plan", "train", "compare", "evaluate", "predict", "export", "register"),
        *("ingest-images", "merge", "upload"),
    }
    assert {headers["Authorization"] for _, _, headers in registry.requests} == {"Bearer hid-token"}
    written = [
        path for name in ("train", "sweep", "batch") for path in (tmp_path / name).rglob("*")
    ]
    assert sum(path.name == "terminal" for path in written) == 3
    assert leaks(written) == {}
    assert b"http://127.0.0.1:9/x" in (tmp_path / "train" / "terminal").read_bytes()


def test_a_leak_is_found(tmp_path):
    (tmp_path / "file").write_text("password hid-password")
    assert leaks(tmp_path.iterdir()) == {str(tmp_path / "file"): b"hid-password"}


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_a_compiled_pipeline_holds_nothing_of_the_environment(name, tmp_path, secrets):
    path = tmp_path / "compiled.yaml"
    assert command("compile", "--pipeline", name, "--output", path).exit_code == 0
    assert leaks([path]) == {}
    assert path.read_text() == (COMPILED / file_name(name, True)).read_text()


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("checkpoint_uri", "s3://me:hid-word@bucket/prefix"),
        ("data_uri", "s3://me:hid-word@bucket/prefix?X-Amz-Signature=hid-signature"),
    ],
)
def test_a_password_in_any_parameter_stays_out_of_a_failed_run(name, uri, tmp_path, secrets):
    source = {"data_uri": str(write_idx_set(tmp_path / "idx"))}
    given = {**source, "s3_endpoint": "me:hid-other@127.0.0.1:9", name: uri}
    record = run("train", tmp_path / "runs", given)
    assert record["status"] == "FAILED"
    assert leaks((tmp_path / "runs").rglob("*")) == {}


@pytest.mark.parametrize(
    "uri", ["s3://me:hid-word@bucket/prefix", "s3://bucket/prefix?sig=hid-signature"]
)
@pytest.mark.parametrize(
    "use", [lambda uri: open_store(uri, "", "checkpoint_uri"), parse_destination]
)
def test_an_object_store_is_named_without_credentials(use, uri):
    with pytest.raises(ValueError, match="without credentials") as error:
        use(uri)
    assert "hid-" not in str(error.value)


def test_a_source_in_an_object_store_is_named_without_credentials(tmp_path):
    with pytest.raises(ValueError, match="must have no user and password") as error:
        fetch(Mirror("s3://me:hid-word@bucket/prefix", {}), STANDARD_NAMES, tmp_path, "")
    assert "hid-" not in str(error.value)


@pytest.mark.parametrize(
    ("pipeline", "name"),
    [("train", "checkpoint_uri"), ("batch_predict", "model_uri")],
)
def test_a_signature_that_is_refused_at_once_is_not_shown(tmp_path, pipeline, name):
    uri = "s3://me:hid-word@bucket/prefix?X-Amz-Signature=hid-signature"
    options = ["-p", f"{name}={uri}", "--output-dir", tmp_path / "runs"]
    done = command("run", "--pipeline", pipeline, *options)
    assert done.exit_code == 2
    assert "hid-" not in done.output
    assert not (tmp_path / "runs").exists()


def test_hides_an_endpoint_with_a_password():
    assert without_secrets("me:hid-word@host:9000") == "host:9000"
    assert without_secrets("/data/me:too@home") == "/data/me:too@home"
    assert without_secrets("me@home/data") == "me@home/data"
    hidden = secret_words({"trials": [{"checkpoint_uri": "s3://me:hid-word@bucket/x"}]})
    assert scrub("got s3://me:hid-word@bucket/x", hidden) == "got s3://bucket/x"
