"""What goes wrong, and what holds: docs/reliability.md has the table."""

import contextlib
import datetime
import functools
import hashlib
import itertools
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import SMALL, Artifacts, write_idx, write_idx_set
from kfp import dsl
from s3_server import CONTENT
from step_process import Fault, Step, sentence

from kfp_mnist_mxnet.cli.local import run
from kfp_mnist_mxnet.cli.logs import killed_by
from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.components.ingest_images import ingest_images
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.components.upload import upload
from kfp_mnist_mxnet.data import mnist
from kfp_mnist_mxnet.data.download import HttpServer, S3Server, download
from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.data.names import SourceFile
from kfp_mnist_mxnet.errors import InvalidInput, SourceNotFound, Unavailable
from kfp_mnist_mxnet.storage.address import Address
from kfp_mnist_mxnet.storage.store import open_store

STEPS = ("ingest", "train", "compare", "evaluate", "predict", "export", "ingest_images", "merge")
SPEED = re.compile(rb"[\d,]+ images a second")  # of the export report


def changes(root: pathlib.Path) -> dict[str, bytes]:
    """Every file under a directory, without its times: not the metrics, among which they are."""
    return {
        str(path.relative_to(root)): SPEED.sub(b"", path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "executor_output.json"
    }


@pytest.fixture(scope="session")
def steps(trained, tmp_path_factory) -> dict[str, Step]:
    """Every step that writes artifacts, with inputs that are small and at hand."""
    root = tmp_path_factory.mktemp("steps")
    made = Artifacts(root)
    source = {"data_uri": str(write_idx_set(root / "idx", train=200, test=40))}
    data = made.run(ingest_images, **source)
    shard = made.run(predict, model=trained["model"], data=data["images"])["predictions"]
    judged = {"model": trained["model"], "data": trained["test_data"]}
    splits = {name: trained[name] for name in ("train_data", "validation_data")}
    return {
        "ingest": Step(ingest, {}, source),
        "train": Step(train, splits, SMALL),
        "compare": Step(compare, {"models": [trained["model"], trained["model"]]}),
        "evaluate": Step(evaluate, judged),
        "predict": Step(predict, judged),
        "export": Step(export, judged),
        "ingest_images": Step(ingest_images, {}, source),
        "merge": Step(merge, {"shards": [shard], "labels": data["labels"]}),
    }


def run_here(step: Step, root: pathlib.Path) -> None:
    """Run a step in this process with outputs under a directory, which a back end makes."""
    root.mkdir(exist_ok=True)
    Artifacts(root).run(step.component, **step.artifacts, **step.parameters)


@pytest.fixture(scope="session")
def undisturbed(steps, tmp_path_factory):
    """Return a function: the files that a step writes when nothing goes wrong."""

    @functools.cache
    def files(name: str) -> dict[str, bytes]:
        out = tmp_path_factory.mktemp(name)
        run_here(steps[name], out)
        return changes(out)

    return files


def only_whole(root: pathlib.Path, whole: dict[str, bytes]) -> bool:
    """Tell whether each artifact that stands in its place has all its files and bytes."""
    places = {name.partition("/")[0] for name in whole}
    there = {path.name for path in root.iterdir()} & places
    expected = {name: b for name, b in whole.items() if name.partition("/")[0] in there}
    found = changes(root)
    return expected == {n: b for n, b in found.items() if n.partition("/")[0] in places}


@pytest.mark.draw(6)
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("name", STEPS)
def test_a_killed_step_leaves_no_half_artifact_and_its_retry_the_same_bytes(
    name, kind, steps, undisturbed, tmp_path
):
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    out, whole = tmp_path / "out", undisturbed(name)
    out.mkdir()
    fault = Fault(kind, draw.randint(2, 1 + len(whole)), draw.choice([0, 0.01 * draw.random()]))
    done = steps[name].run(out, tmp_path, fault)
    assert done.returncode in (-kind, 0), (seed, fault, done.stdout)
    assert only_whole(out, whole), (seed, fault, sorted(changes(out)))
    done = steps[name].run(out, tmp_path)
    assert done.returncode == 0, (seed, done.stdout)
    assert changes(out) == whole, seed


@contextlib.contextmanager
def small_disk(path: pathlib.Path):
    """Mount a file system of memory; give a function that mounts it again with other options."""
    path.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting a file system is not permitted here: {done.stderr.strip()}")

    mount("size=1m")
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        # An array that is mapped there may live a little longer than the test.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize("name", STEPS)
def test_a_disk_that_is_full_or_read_only_is_one_sentence(name, steps, undisturbed, tmp_path):
    seed = random.randrange(2**32)
    out, whole = tmp_path / "out", undisturbed(name)
    size = sum(map(len, whole.values()))
    with small_disk(out) as remount:
        remount("ro")
        with pytest.raises(OSError, match=r"^\[Errno 30\] Read-only file system: .*\Z"):
            run_here(steps[name], out)
        remount(f"rw,size={4096 * random.Random(seed).randint(1, max(1, size // 4096))}")
        with pytest.raises(
            (OSError, InvalidInput), match=r"^[^\n]*(the disk of .* is full|bytes free).*\Z"
        ):
            run_here(steps[name], out)
        assert changes(out) == {}, seed
        remount("rw,size=4m")
        run_here(steps[name], out)
        assert changes(out) == whole


def test_a_model_that_mxnet_could_not_write_whole_is_refused(artifacts, trained, tmp_path):
    size = pathlib.Path(trained["model"].path, "model-0000.params").stat().st_size
    splits = {name: trained[name] for name in ("train_data", "validation_data")}
    with small_disk(tmp_path / "disk") as remount:
        remount(f"size={(size // 4096 + 1) * 4096}")  # the symbol takes a page of it
        artifacts.root = tmp_path / "disk"
        with pytest.raises(OSError, match=r"the disk of .* is full: free space or raise"):
            artifacts.train(splits, epochs=1)
        assert list((tmp_path / "disk").iterdir()) == []


def test_a_step_at_its_memory_limit_fails_in_one_sentence(tmp_path):
    source = write_idx_set(tmp_path / "idx", train=4, test=2, classes=2, shape=(2, 2))
    for name, count in (("train", 4), ("t10k", 2)):
        images = source / f"{name}-images-idx3-ubyte"
        images.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, count, 8192, 8192))
        os.truncate(images, 16 + count * 8192**2)  # sparse: no disk
    step = Step(ingest, {}, {"data_uri": str(source), "validation_fraction": 0.0})
    (tmp_path / "out").mkdir()
    done = step.run(tmp_path / "out", tmp_path, Fault(memory=150 << 20))
    assert done.returncode == 1, done.stdout
    assert "OutOfMemory: out of memory: raise the memory limit of the step" in sentence(done)
    assert changes(tmp_path / "out") == {}


@pytest.mark.parametrize("name", ["ingest", "train"])
def test_a_clock_that_runs_back_changes_no_byte(name, steps, undisturbed, tmp_path, monkeypatch):
    whole, clock = undisturbed(name), itertools.count(int(time.time()), -60)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: float(next(clock)))
        run_here(steps[name], tmp_path / "out")
    assert changes(tmp_path / "out") == whole


def test_a_clock_that_jumps_back_gives_every_run_a_directory_of_its_own(tmp_path, monkeypatch):
    hours = iter([3, 2, 3, 2, 3])

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 10, 25, next(hours))

    monkeypatch.setattr(run.datetime, "datetime", Clock)
    made = [run.new_run_directory(tmp_path) for _ in range(5)]
    for directory in made:
        run.point_latest_at(directory)
    assert len(set(made)) == 5
    assert (tmp_path / "latest").resolve() == made[-1]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (-9, "killed by SIGKILL, as the system does when it runs out of memory"),
        (137, "killed by SIGKILL, as the system does when it runs out of memory"),
        (-15, "killed by SIGTERM"),
        (1, ""),
    ],
)
def test_the_runner_says_which_signal_ended_a_step(status, sentence):
    assert killed_by(status) == sentence


def test_a_file_that_is_truncated_while_it_is_read_is_refused(tmp_path):
    path = write_idx(tmp_path / "file", np.zeros((8000, 28, 28), np.uint8))
    with IdxFile(path, "the file") as idx:
        os.truncate(path, 3 << 20)
        with pytest.raises(ValueError, match=r"the file is too short: its shape .* found "):
            list(idx.blocks)


@pytest.fixture
def faulty(server, keys):
    """A server of one file under every path, over HTTP and S3."""
    server.content = CONTENT
    return server


def source_of(faulty, scheme: str) -> HttpServer | S3Server:
    if scheme == "http":
        return HttpServer(Address.parse(faulty.url), timeout=0.5)
    return S3Server(Address.parse("s3://data"), faulty.url, timeout=0.5)


@pytest.mark.parametrize("scheme", ["http", "s3"])
@pytest.mark.parametrize("fault", ["silent", "reset", "500", "short"])
def test_a_fault_of_a_server_that_passes_changes_no_byte(faulty, tmp_path, scheme, fault):
    faulty.faults = [fault, fault]
    download(source_of(faulty, scheme), "file", tmp_path / "file", "the file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("scheme", ["http", "s3"])
@pytest.mark.parametrize("fault", ["silent", "reset", "500", "403"])
def test_a_fault_of_a_server_that_stays_is_one_sentence(faulty, tmp_path, scheme, fault):
    faulty.faults = [fault] * 99
    with pytest.raises((Unavailable, FileNotFoundError)) as error:
        download(source_of(faulty, scheme), "file", tmp_path / "file", "the file", attempts=1)
    words = {
        "silent": "the server sends nothing",
        "reset": "the connection broke",
        "500": "status 500|InternalError",
        "403": "status 403|AccessDenied",
    }
    assert re.search(words[fault], str(error.value))
    assert "\n" not in str(error.value)


def test_a_source_that_changes_on_the_way_is_never_mixed_over_http(faulty, tmp_path):
    faulty.faults = ["change"]
    download(source_of(faulty, "http"), "file", tmp_path / "file", "the file")
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


def test_a_source_that_changes_on_the_way_is_never_mixed_over_s3(faulty, tmp_path):
    faulty.faults = ["change"]
    with pytest.raises(SourceNotFound, match=r"s3://data at .* answers PreconditionFailed"):
        download(source_of(faulty, "s3"), "file", tmp_path / "file", "the file")


@pytest.fixture
def predictions(artifacts):
    """An artifact to upload: one file."""
    made = artifacts.new(dsl.Dataset, "predictions")
    pathlib.Path(made.path).mkdir(parents=True)
    pathlib.Path(made.path, "file").write_bytes(CONTENT)
    return made


@pytest.fixture
def quick(monkeypatch):
    """No pause between two tries."""
    monkeypatch.setattr("kfp_mnist_mxnet.storage.http.Retry.sleep", lambda *_: None)
    monkeypatch.setattr("kfp_mnist_mxnet.storage.http.time.sleep", lambda _: None)


TRIED_AGAIN = {
    "reset": "Trying again: the connection broke",
    "500": "Trying again: the server answers with status 500",
    "429": "Trying again: the server answers with status 429",
    "short": "Trying again: the connection broke",
}


@pytest.mark.parametrize("fault", TRIED_AGAIN)
def test_an_upload_gets_past_a_fault_that_passes(faulty, predictions, quick, caplog, fault):
    faulty.faults = [fault, fault] if fault != "short" else ["", fault, fault]
    digests = upload.python_func(predictions, "s3://data/x", s3_endpoint=faulty.url)
    assert digests == {"file": hashlib.sha256(CONTENT).hexdigest()}
    assert faulty.content == CONTENT
    assert caplog.messages == [TRIED_AGAIN[fault]] * 2


@pytest.mark.parametrize(
    ("faults", "message", "asked"),
    [
        (["reset"] * 9, "can't be reached: the connection broke", 4),
        (["403"], "s3://data at .* answers AccessDenied: no", 1),
        (["500"] * 9, "answers InternalError", 4),
        (["", *["short"] * 9], "can't be reached: the connection broke", 5),
    ],
)
def test_an_upload_fails_in_one_sentence_where_the_fault_stays(
    faulty, predictions, quick, faults, message, asked
):
    faulty.faults = faults
    with pytest.raises((ValueError, ConnectionError), match=message) as error:
        upload.python_func(predictions, "s3://data/x", s3_endpoint=faulty.url)
    assert "\n" not in str(error.value)
    assert len(faulty.requests) == asked


@pytest.mark.parametrize("fault", TRIED_AGAIN)
def test_a_checkpoint_gets_past_a_fault_that_passes(faulty, quick, caplog, fault):
    store = open_store("s3://data/x", faulty.url, "checkpoint_uri")
    faulty.faults = [fault, fault]
    assert store.read("checkpoint.npz") == CONTENT
    assert caplog.messages == [TRIED_AGAIN[fault]] * 2
    faulty.faults = [fault, fault] if fault != "short" else []
    store.write("checkpoint.npz", CONTENT[::-1])
    assert faulty.content == CONTENT[::-1]


@pytest.mark.parametrize(("fault", "asked"), [("403", 1), ("500", 4)])
def test_a_checkpoint_that_can_not_be_read_is_one_sentence(faulty, quick, fault, asked):
    store = open_store("s3://data/x", faulty.url, "checkpoint_uri")
    faulty.faults = [fault] * 9
    with pytest.raises(ValueError, match=r"checkpoint\.npz at \S+ answers (AccessDenied|Internal)"):
        store.read("checkpoint.npz")
    assert len(faulty.requests) == asked


def test_two_that_fill_the_cache_at_once_leave_whole_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "file").write_bytes(CONTENT * 2)
    kept = tmp_path / "cache" / "kfp-mnist-mxnet" / "file"
    files = {"part": SourceFile(tmp_path / "file", "somewhere/file")}
    mnist.keep(files)
    with ThreadPoolExecutor(2) as threads:
        writing = [threads.submit(mnist.keep, files) for _ in range(40)]
        while not all(future.done() for future in writing):
            assert not kept.exists() or kept.read_bytes() == CONTENT * 2
    assert kept.read_bytes() == CONTENT * 2
