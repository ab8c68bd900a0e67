import http.server
import itertools
import json
import pathlib
import re
import shutil
import threading
from typing import Any

import click
import minio
import numpy as np
import pytest
import urllib3
import yaml
from click.testing import Result
from conftest import (
    COMPILED,
    as_options,
    command,
    damage_model,
    new_data,
    write_idx,
    write_idx_set,
)
from kfp import dsl

from kfp_mnist_mxnet.cli.parameters import check_local_model, check_remote_model, local_parameters
from kfp_mnist_mxnet.components.ingest_images import ingest_images
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.components.upload import upload

FILES = ["labels.npy", "predictions.csv", "probabilities.npy"]


def ingested(artifacts, source, **parameters):
    outputs = artifacts.run(ingest_images, data_uri=str(source), **parameters)
    return outputs["Output"], outputs


def predicted(artifacts, model, data, shard=0, num_shards=1):
    predictions = artifacts.new(dsl.Dataset, f"predictions-{shard}-of-{num_shards}")
    part = {"batch_size": 8, "shard": shard, "num_shards": num_shards}
    artifacts.run(predict, model=model, data=data, predictions=predictions, **part)
    return predictions


def merged(artifacts, shards, labels, **optional):
    return artifacts.run(merge, shards=shards, labels=labels, **optional)


def content(artifact) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(pathlib.Path(artifact.path).iterdir())}


@pytest.fixture
def source(tmp_path):
    return write_idx_set(tmp_path / "idx", test=100)


@pytest.fixture
def three_shards(artifacts, trained, source):
    """The predictions of 100 images in three shards, and the output of ingest_images."""
    _, data = ingested(artifacts, source)
    shards = [predicted(artifacts, trained["model"], data["images"], i, 3) for i in range(3)]
    return shards, data


def test_ingest_images_keeps_the_bytes_and_counts_shards(artifacts, source):
    shards, data = ingested(artifacts, source, shards=5)
    images = np.load(pathlib.Path(data["images"].path, "images.npy"))
    labels = np.load(pathlib.Path(data["labels"].path, "labels.npy"))
    assert shards == [0, 1, 2, 3, 4]
    assert images.shape == (100, 1, 12, 12)
    assert images.tobytes() == (source / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert labels.tolist() == [i % 3 for i in range(100)]
    assert data["images"].metadata["num_images"] == 100


def test_labels_are_optional(artifacts, trained, source):
    (source / "t10k-labels-idx1-ubyte").unlink()
    _, data = ingested(artifacts, source, labels_file="")
    shard = predicted(artifacts, trained["model"], data["images"])
    assert merged(artifacts, [shard], data["labels"])["metrics"].metadata == {"images": 100.0}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shards": 0}, "shards must be from 1 to 1000, got 0"),
        ({"shards": 1001}, "shards must be from 1 to 1000, got 1001"),
        ({"images_file": ""}, "images_file is empty"),
        (
            {"labels_file": "train-labels-idx1-ubyte"},
            "has 64 labels, expected one for each of the 100 images",
        ),
        ({"labels_file": "none"}, "none"),
    ],
)
def test_ingest_images_refuses(artifacts, source, parameters, message):
    with pytest.raises(ValueError, match=message):
        ingested(artifacts, source, **parameters)
    assert not any(artifacts.root.glob("*"))


@pytest.mark.parametrize("num_shards", [1, 7])
def test_any_number_of_shards_gives_the_same_bytes(artifacts, trained, source, num_shards):
    _, data = ingested(artifacts, source)
    whole = predicted(artifacts, trained["model"], data["images"])
    shards = [
        predicted(artifacts, trained["model"], data["images"], i, num_shards)
        for i in range(num_shards)
    ]
    result = content(merged(artifacts, shards, data["labels"])["predictions"])
    assert list(result) == FILES
    assert result == content(whole)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_merges_in_the_order_of_the_images(artifacts, three_shards, order):
    shards, data = three_shards
    outputs = merged(artifacts, [shards[i] for i in order], data["labels"])
    rows = (pathlib.Path(outputs["predictions"].path) / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["index", *map(str, range(100))]


def test_merge_reports_the_accuracy_where_there_are_labels(artifacts, three_shards):
    shards, data = three_shards
    values = merged(artifacts, shards, data["labels"])["metrics"].metadata
    assert values == {"images": 100, "errors": 0, "accuracy": 1.0}


def test_the_report_of_merged_predictions_judges_them(artifacts, three_shards):
    shards, data = three_shards
    page = pathlib.Path(merged(artifacts, shards, data["labels"])["merge_report"].path).read_text()
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "Accuracy 100.00 % (95 % interval 96.30 to 100.00), 0 of 100 wrong." in page
    for title in ("Confidence", "The least certain predictions", "Accuracy and coverage"):
        assert f"<h2>{title}</h2>" in page


def test_merge_shows_and_judges_the_images_as_predict_does_of_them_all(artifacts, trained, caplog):
    images = 255 - np.load(pathlib.Path(trained["test_data"].path, "images.npy"))
    data = new_data(artifacts, images, np.zeros(len(images), np.uint8), 3)
    judged = {"model": trained["model"], "data": data}
    parts = [predicted(artifacts, **judged, shard=i, num_shards=2) for i in range(2)]
    caplog.clear()
    report = merged(artifacts, parts, data, images=data, model=judged["model"])["merge_report"]
    assert "Far from the training data" in caplog.text
    merge_page, preview = (
        pathlib.Path(page.path).read_text()
        for page in (report, artifacts.run(predict, **judged)["preview"])
    )
    for shown in ('<p class="warning">.*?</p>', "<figure>.*?</figure>"):
        found = [re.findall(shown, page, re.DOTALL) for page in (merge_page, preview)]
        assert found[0]
        assert found[0] == found[1]


def test_merge_refuses_images_that_are_not_those_of_the_shards(artifacts, trained, three_shards):
    shards, data = three_shards
    with pytest.raises(ValueError, match="images has 25 images, expected 100"):
        merged(artifacts, shards, data["labels"], images=trained["test_data"])


def test_more_shards_than_batches(artifacts, trained, tmp_path):
    _, data = ingested(artifacts, write_idx_set(tmp_path / "few", test=3))
    shards = [predicted(artifacts, trained["model"], data["images"], i, 4) for i in range(4)]
    assert merged(artifacts, shards, data["labels"])["metrics"].metadata["images"] == 3


def test_no_images_give_no_predictions(artifacts, trained, tmp_path):
    write_idx(tmp_path / "none-idx3-ubyte", np.zeros((0, 12, 12), np.uint8))
    parameters = {"images_file": "none-idx3-ubyte", "labels_file": ""}
    _, data = ingested(artifacts, tmp_path, **parameters)
    shards = [predicted(artifacts, trained["model"], data["images"], i, 2) for i in range(2)]
    outputs = merged(artifacts, shards, data["labels"])
    directory = pathlib.Path(outputs["predictions"].path)
    assert np.load(directory / "probabilities.npy").shape == (0, 3)
    assert (directory / "predictions.csv").read_text() == "index,label,probability\n"


def cut_short(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def another_class(path: pathlib.Path) -> None:
    array = np.load(path)
    np.save(path, np.pad(array, ((0, 0), (0, 1))))


@pytest.mark.parametrize(
    ("chosen", "damage", "message"),
    [
        ([0, 2], None, "begins with image 64, expected 32: a shard is missing or duplicated"),
        ([1, 2], None, "begins with image 32, expected 0"),
        ([0, 1], None, "the shards have 64 images, expected 100"),
        ([0, 1, 1, 2], None, "begins with image 32, expected 64"),
        ([0, 1, 2], ("probabilities.npy", cut_short), "probabilities.npy is not a valid .npy file"),
        ([0, 1, 2], ("labels.npy", cut_short), "labels.npy is not a valid .npy file"),
        ([0, 1, 2], ("labels.npy", pathlib.Path.unlink), "labels.npy is not a valid .npy file"),
        ([0, 1, 2], ("predictions.csv", cut_short), "predictions.csv was cut short"),
        ([0, 1, 2], ("predictions.csv", pathlib.Path.unlink), "predictions.csv is missing"),
        ([0, 1, 2], ("probabilities.npy", another_class), "differ in their classes"),
    ],
)
def test_merge_refuses(artifacts, three_shards, chosen, damage, message):
    shards, data = three_shards
    if damage:
        name, change = damage
        change(pathlib.Path(shards[1].path, name))
    with pytest.raises(ValueError, match=message):
        merged(artifacts, [shards[i] for i in chosen], data["labels"])
    assert not (artifacts.root / "predictions").exists()


def bucket_of(s3: str) -> minio.Minio:
    pool = urllib3.PoolManager(retries=False, timeout=5)
    return minio.Minio(
        s3, "right", "hidden-secret", secure=False, region="us-east-1", http_client=pool
    )


@pytest.mark.parametrize("uri", ["s3://data/results/first", "minio://data/results/first/"])
def test_upload_stores_every_file(s3, keys, three_shards, uri):
    shards, _ = three_shards
    digests = upload.python_func(shards[0], uri, s3_endpoint=f"http://{s3}")
    assert list(digests) == FILES
    for name, value in content(shards[0]).items():
        with bucket_of(s3).get_object("data", f"results/first/{name}") as response:
            assert response.read() == value


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/tmp/here", "destination_uri must be s3://bucket/prefix or minio://bucket/prefix"),
        ("s3:///prefix", "destination_uri must be"),
        ("s3://user:hidden@data/x", "without credentials"),
        ("s3://missing/x", "s3://missing at .* answers NoSuchBucket"),
    ],
)
def test_upload_refuses(s3, keys, three_shards, uri, message):
    with pytest.raises(ValueError, match=message) as caught:
        upload.python_func(three_shards[0][0], uri, s3_endpoint=f"http://{s3}")
    assert "hidden" not in str(caught.value)


def test_upload_refuses_wrong_credentials(s3, keys, three_shards):
    keys.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(ValueError, match="SignatureDoesNotMatch") as caught:
        upload.python_func(three_shards[0][0], "s3://data/x", s3_endpoint=f"http://{s3}")
    assert "wrong-secret" not in str(caught.value)


class Forgetful(http.server.BaseHTTPRequestHandler):
    """Takes every object and gives back another."""

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"other")

    def log_message(self, *arguments):
        pass


def test_upload_finds_that_other_bytes_were_stored(keys, three_shards):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ValueError, match=r"labels\.npy at .* has 5 bytes with the SHA-256"):
            upload.python_func(three_shards[0][0], "s3://data/x", s3_endpoint=endpoint)
        server.shutdown()


def test_upload_names_a_store_that_does_not_answer(keys, three_shards):
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9 can't be reached"):
        upload.python_func(three_shards[0][0], "s3://data/x", s3_endpoint="http://127.0.0.1:9")


def run_batch(output: pathlib.Path, **parameters: Any) -> Result:
    options = [*as_options(parameters), "--output-dir", output]
    return command("run", "--pipeline", "batch_predict", *options)


def test_the_pipeline_predicts_merges_and_uploads(tmp_path, trained, source, s3, keys):
    output = tmp_path / "runs"
    model = shutil.copytree(trained["model"].path, tmp_path / "my model")
    done = run_batch(
        output,
        model_uri=model.as_uri(),
        data_uri=f"file://{source}",
        shards=2,
        batch_size=8,
        destination_uri="s3://data/batch",
        s3_endpoint=f"http://{s3}",
    )
    assert done.exit_code == 0, done.output
    record = json.loads((output / "latest" / "run.json").read_text())
    steps = {step["name"]: step for step in record["steps"]}
    first, *shards, merged, last = [step["name"] for step in record["steps"]]
    assert [first, *sorted(shards), merged, last] == [
        *("ingest-images", "predict-1", "predict-2", "merge", "upload")
    ]
    assert {step["status"] for step in record["steps"]} == {"SUCCEEDED"}
    assert record["accuracy"] == 1.0
    assert "accuracy 1.0000, 0 errors" in done.stdout
    predictions = pathlib.Path(steps["merge"]["outputs"]["predictions"])
    assert len(np.load(predictions / "labels.npy")) == 100
    with bucket_of(s3).get_object("data", "batch/predictions.csv") as response:
        assert response.read() == (predictions / "predictions.csv").read_bytes()


def test_the_pipeline_needs_a_model(tmp_path):
    done = run_batch(tmp_path / "runs")
    assert done.exit_code == 2
    assert "give -p model_uri=VALUE" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_destination_that_is_none_is_refused_before_anything_runs(tmp_path):
    done = run_batch(tmp_path / "runs", model_uri="/m", destination_uri="results/first")
    assert done.exit_code == 2
    assert "destination_uri must be s3://bucket/prefix" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_an_address_of_a_model_that_would_be_cut_is_refused_before_anything_runs(tmp_path):
    done = run_batch(tmp_path / "runs", model_uri=f"file://{tmp_path}/model#2")
    assert done.exit_code == 2
    assert "/model is followed by ? or #" in done.stderr


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://bucket/model", "must be the directory of a model on this machine, the id of a run"),
        ("https://me:hidden@host/model?sig=hidden", "got 'https://host/model'"),
        ("gs://bucket/model", "got 'gs://bucket/model'"),
        ("", "got ''"),
        (" ", "no run ' '"),
        ("file://host/model", "file://host/model is no path on this machine"),
    ],
)
def test_a_model_that_is_not_on_this_machine_is_refused_at_once(tmp_path, uri, message):
    with pytest.raises(click.UsageError) as caught:
        local_parameters({"model_uri": uri}, tmp_path)
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "model", "/path/to/model", "file:///path/to/model"])
def test_a_model_that_a_cluster_can_not_see_is_refused_at_once(uri):
    with pytest.raises(click.UsageError, match="must be the address of a model in an object sto"):
        check_remote_model({"model_uri": uri})


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_directory_that_is_no_model_is_refused_at_once(tmp_path, scheme):
    with pytest.raises(click.UsageError, match="is not a model: it has no file"):
        check_local_model(local_parameters({"model_uri": f"{scheme}{tmp_path}"}, tmp_path))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_model_that_is_not_there_is_refused_at_once(tmp_path, scheme):
    uri = f"{scheme}{tmp_path}/none"
    with pytest.raises(click.UsageError, match=f"no run '{uri}' in {tmp_path}"):
        check_local_model(local_parameters({"model_uri": uri}, tmp_path))


def test_a_model_that_can_be_had_is_taken(trained, tmp_path):
    path = pathlib.Path(trained["model"].path)
    for uri in (str(path), path.as_uri()):
        check_local_model(local_parameters({"model_uri": uri}, tmp_path))
    for uri in ("s3://bucket/model", "minio://bucket/model", "gs://bucket/model"):
        check_remote_model({"model_uri": uri})


def test_a_model_that_is_none_ends_the_command_before_anything_runs(tmp_path):
    done = run_batch(tmp_path / "runs", model_uri="s3://bucket/model")
    assert done.exit_code == 2
    assert "model_uri must be the directory of a model" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.json", lambda _: None, "is not a model: it has no file model.json"),
        ("model-0000.params", lambda _: None, "it has no file model-0000.params"),
        ("model.json", lambda _: b"[]", "model.json is damaged"),
        ("model-symbol.json", lambda content: content[:-1], "was cut short or changed"),
    ],
)
def test_a_model_that_can_not_be_read_is_found_before_the_shards(
    artifacts, trained, source, name, change, message
):
    model = damage_model(artifacts, trained["model"], name, change)
    with pytest.raises(ValueError, match=message):
        ingested(artifacts, source, model=model)
    assert not (artifacts.root / "images").exists()


def test_images_of_another_shape_are_found_before_the_shards(artifacts, trained, tmp_path):
    write_idx(tmp_path / "large-idx3-ubyte", np.zeros((2, 14, 14), np.uint8))
    parameters = {"images_file": "large-idx3-ubyte", "labels_file": ""}
    with pytest.raises(ValueError, match=r"shape \(1, 14, 14\) .* the model takes \(1, 12, 12\)"):
        ingested(artifacts, tmp_path, model=trained["model"], **parameters)
    assert not (artifacts.root / "images").exists()


def test_a_destination_that_can_be_written_is_left_as_it_was(s3, keys, artifacts, source):
    where = {"destination_uri": "s3://data/checked", "s3_endpoint": f"http://{s3}"}
    shards, _ = ingested(artifacts, source, **where)
    assert shards == [0, 1, 2, 3]
    assert not list(bucket_of(s3).list_objects("data", "checked", recursive=True))


@pytest.mark.parametrize(
    ("uri", "secret", "message"),
    [
        ("s3://missing/x", "hidden-secret", "s3://missing at .* answers NoSuchBucket"),
        ("s3://data/x", "wrong-secret", "answers SignatureDoesNotMatch"),
        ("s3://data/x", "", "AccessDenied: .*; the environment has neither AWS_ACCESS"),
        ("/tmp/here", "hidden-secret", "destination_uri must be s3://bucket/prefix"),
    ],
)
def test_a_destination_that_can_not_be_written_is_found_before_the_shards(
    s3, keys, artifacts, source, uri, secret, message
):
    keys.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if not secret:
        keys.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ValueError, match=message):
        ingested(artifacts, source, destination_uri=uri, s3_endpoint=f"http://{s3}")
    assert not (artifacts.root / "images").exists()


def test_upload_is_never_cached():
    spec, *_ = yaml.safe_load_all((COMPILED / "batch_predict.yaml").read_text())
    merging = spec["root"]["dag"]["tasks"]["merge"]
    uploading = spec["root"]["dag"]["tasks"]["upload"]
    assert merging["cachingOptions"] == {"enableCache": True}
    assert uploading["cachingOptions"] == {}


def test_each_shard_is_a_task_of_its_own():
    spec, *_ = yaml.safe_load_all((COMPILED / "batch_predict.yaml").read_text())
    tasks = spec["root"]["dag"]["tasks"]
    loop = tasks["for-loop-1"]
    assert loop["taskInfo"]["name"] == "each shard"
    assert loop["dependentTasks"] == ["importer", "ingest-images"]
    assert list(spec["components"]["comp-for-loop-1"]["dag"]["tasks"]) == ["predict"]
    assert "for-loop-1" in tasks["merge"]["dependentTasks"]
    assert tasks["upload"]["dependentTasks"] == ["ingest-images", "merge"]  # for the library
