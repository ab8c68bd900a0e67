"""Made-up data sets that a small network can learn, as IDX files and as artifacts."""

import base64
import bz2
import contextlib
import functools
import hashlib
import inspect
import json
import logging
import os
import pathlib
import random
import re
import shutil
import socketserver
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from kfp import dsl

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.graph import read_graph
from kfp_mnist_mxnet.cli.local.page import write_page
from kfp_mnist_mxnet.cli.local.record import new_record
from kfp_mnist_mxnet.cli.main import main
from kfp_mnist_mxnet.compiler.bundle import SAFE, UNSAFE
from kfp_mnist_mxnet.compiler.target import LOCAL
from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.data.dataset import DatasetInfo, Split
from kfp_mnist_mxnet.data.writing import write_dataset

ROOT = pathlib.Path(__file__).parents[1]
# Hyperparameters of a network that trains in a moment.
SMALL: dict[str, Any] = {
    "kernels": [3],
    "filters": [8],
    "hidden_units": [16, -1],
    "batch_size": 8,
    "epochs": 1,
}
COMPILED = ROOT / "compiled"
REPORTS = [
    "data_report",
    "training_report",
    "evaluation_report",
    "preview",
    "merge_report",
    "sweep_report",
    "export_report",
]

pytest_plugins = ["browser", "s3_server", "fault_server", "registry_server"]

os.environ["no_proxy"] = "127.0.0.1,localhost"  # the servers of the tests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-cases", action="store_true", help="Run every case of the tests marked `draw`."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "draw(count): run so many of its cases, drawn for each run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Draw the cases of slow tests, unless all cases or single tests are asked for."""
    if config.getoption("all_cases") or any("::" in argument for argument in config.args):
        return
    draw = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # the same in every worker
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("draw"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out: set[pytest.Item] = set()
    for found in cases.values():
        (count,) = found[0].get_closest_marker("draw").args  # type: ignore[union-attr]
        left_out.update(draw.sample(found, max(0, len(found) - count)))
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def stack_without_source() -> Iterator[None]:
    """Have kfp look at its stack without the source of each frame.

    It looks for the name of a caller at every setting of a task. To find the source takes a second
    for each pipeline in a process of so many modules.
    """
    with pytest.MonkeyPatch.context() as patched:
        short = SimpleNamespace(stack=functools.partial(inspect.stack, 0))
        patched.setattr("kfp.dsl.pipeline_task.inspect", short)
        yield


@contextlib.contextmanager
def kept_logging() -> Iterator[None]:
    """Leave the log as it was: kfp, its client and commands set levels and handlers."""
    kept = [(log, log.level, log.handlers[:]) for log in map(logging.getLogger, ("", "urllib3"))]
    try:
        yield
    finally:
        for logger, level, handlers in kept:
            logger.setLevel(level)
            logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """No test changes what another one logs."""
    with kept_logging():
        yield


def command(*arguments: object, **environment: str) -> Result:
    """What the command line does and prints, in this process."""
    with kept_logging():
        return CliRunner(env=environment).invoke(main, [str(argument) for argument in arguments])


def as_options(parameters: dict[str, Any]) -> list[str]:
    """Parameters of a pipeline as options of the command line."""
    values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in parameters.items()}
    return [word for name, value in values.items() for word in ("-p", f"{name}={value}")]


def decode_bundles(program: str) -> list[str]:
    """The programs that are packed into the program of a step: one, or none."""
    texts = re.findall(r'b85decode\("(.*?)"', program)
    table = str.maketrans(SAFE, UNSAFE)
    return [bz2.decompress(base64.b85decode(text.translate(table))).decode() for text in texts]


def write_idx(path: pathlib.Path, array: np.ndarray) -> pathlib.Path:
    """Write a uint8 array in the IDX format, not compressed."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 0x08, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())
    return path


def write_idx_set(
    directory: pathlib.Path,
    train: int = 64,
    test: int = 25,
    classes: int = 3,
    shape: tuple[int, ...] = (12, 12),
) -> pathlib.Path:
    """Write four IDX files of noise in which a bright band stands where the label says."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name, n in (("train", train), ("t10k", test)):
        labels = (np.arange(n) % classes).astype(np.uint8)
        images = generator.integers(0, 60, (n, *shape), dtype=np.uint8)
        height = shape[0] // classes
        for image, label in zip(images, labels, strict=True):
            image[label * height : (label + 1) * height] += 150
        rank = images.ndim
        write_idx(directory / f"{name}-images-idx{rank}-ubyte", images)
        write_idx(directory / f"{name}-labels-idx1-ubyte", labels)
    return directory


def use_tls(server: socketserver.TCPServer, tmp_path: pathlib.Path) -> pathlib.Path:
    """Let a server speak TLS, with a certificate that nobody knows; return the file of that."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out"]
    subprocess.run([*make, certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return certificate


KINDS = {
    kind.schema_title: kind
    for kind in (
        *(dsl.ClassificationMetrics, dsl.Dataset, dsl.HTML),
        *(dsl.Markdown, dsl.Metrics, dsl.Model),
    )
}


class Artifacts:
    """Makes artifacts under one directory and runs components on them."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def new(self, kind: type, name: str):
        return kind(name=name, uri=str(self.root / name))

    def run(self, component, **inputs) -> dict:
        """Run a component; return its outputs by name, artifacts new where they are not given.

        What it returns, if anything, is the output `Output`.
        """
        outputs = {
            name: inputs.pop(name, None) or self.new(KINDS[spec.type.partition("@")[0]], name)
            for name, spec in component.component_spec.outputs.items()
            if "@" in spec.type  # else a value, which is returned
        }
        returned = component.python_func(**outputs, **inputs)
        return outputs if returned is None else {**outputs, "Output": returned}

    def ingest(self, source: pathlib.Path, **parameters) -> dict:
        return self.run(ingest, data_uri=str(source), **parameters)

    def train(self, data: dict, **parameters) -> dict:
        splits = {name: data[name] for name in ("train_data", "validation_data")}
        return self.run(train, **splits, **{**SMALL, "epochs": 3, **parameters})


@pytest.fixture
def artifacts(tmp_path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> dict:
    """The outputs of ingest and train on a small data set; tests only read them."""
    root = tmp_path_factory.mktemp("trained")
    made = Artifacts(root)
    data = made.ingest(write_idx_set(root / "idx", train=600), validation_fraction=0.1)
    return {**data, **made.train(data)}


@pytest.fixture(scope="session")
def reports(trained, tmp_path_factory) -> dict:
    """Report name to artifact: the reports of all steps on a small data set."""
    made = Artifacts(tmp_path_factory.mktemp("reports"))
    judged = {"model": trained["model"], "data": trained["test_data"]}
    outputs = {**trained, **made.run(evaluate, **judged), **made.run(predict, **judged)}
    shards = {"shards": [outputs["predictions"]], "labels": trained["test_data"]}
    outputs |= made.run(merge, **shards, predictions=made.new(dsl.Dataset, "merged"))
    outputs |= made.run(compare, models=[trained["model"], trained["model"]])
    return {**outputs, **made.run(export, **judged)}


@pytest.fixture
def made_run(reports, tmp_path) -> Callable[..., pathlib.Path]:
    """A function that makes the directory of a run of the train pipeline, as the runner does.

    Its steps have the real artifacts of `reports`; changes: to what run.json says.
    """
    made = {
        "ingest": ["test_data", "data_report"],
        "train": ["model", "training_report"],
        "evaluate": ["confusion_matrix", "evaluation_report"],
        "predict": ["predictions", "preview"],
        "export": ["onnx_model", "model_card", "export_report"],
    }

    def make(run_id: str = "2026-01-31-120000", **changes) -> pathlib.Path:
        directory = tmp_path / "runs" / run_id
        steps = []
        for seconds, (step, names) in enumerate(made.items(), start=1):
            root = directory / "artifacts" / "mnist-train" / step
            root.mkdir(parents=True)
            outputs = {name: str(root / name) for name in names}
            content = {}
            for name, uri in outputs.items():
                if pathlib.Path(reports[name].path).is_dir():
                    shutil.copytree(reports[name].path, uri)
                elif pathlib.Path(reports[name].path).is_file():
                    shutil.copyfile(reports[name].path, uri)
                content[name] = {"artifacts": [{"metadata": reports[name].metadata}]}
            (root / "executor_output.json").write_text(json.dumps({"artifacts": content}))
            record = {"name": step, "status": "SUCCEEDED", "seconds": float(seconds)}
            steps.append({**record, "outputs": outputs, "metrics": {"images": 25, "loss": 0.5}})
        build_pipeline = pipeline.train_pipeline(LOCAL)
        record = new_record(build_pipeline, {"epochs": 3, "data_uri": "/a <b>"}, {})
        record.update(status="SUCCEEDED", accuracy=0.96, seconds=10.0, steps=steps)
        record.update(changes)
        (directory / "run.json").write_text(json.dumps(record))
        write_page(directory, record, read_graph(build_pipeline.pipeline_spec))
        return directory

    return make


def as_split(images: np.ndarray, labels: np.ndarray, num_classes: int = 10) -> Split:
    """Images, uint8 (N, C, H, W), and labels, uint8 (N,), as the library takes a data set."""
    _, channels, height, width = images.shape
    shape = (channels, height, width)
    return Split(images, labels, DatasetInfo(len(images), shape, num_classes, [], "made up", ""))


def new_data(artifacts, images, labels, num_classes: int, name: str = "data"):
    """A data set artifact of images, uint8 (N, C, H, W), and labels, uint8 (N,)."""
    data = artifacts.new(dsl.Dataset, name)
    pathlib.Path(data.path).parent.mkdir(parents=True, exist_ok=True)
    write_dataset(pathlib.Path(data.path), images, labels, num_classes, "made up")
    return data


def unknown_operator(artifacts, model):
    """A copy of a model with an operator that no network has, and the digest of what it is."""

    def change(content: bytes) -> bytes:
        return content.replace(b'"Flatten"', b'"Custom"')

    return damage_model(artifacts, model, "model-symbol.json", change, forge=True)


def damage_model(artifacts, model, name: str, change, forge: bool = False):
    """A copy of a model whose file of this name is what `change` makes of it, None for no file.

    forge: model.json gets the digest of the changed file.
    """
    copy = artifacts.new(dsl.Model, "damaged")
    directory = pathlib.Path(shutil.copytree(model.path, copy.path))
    content = change((directory / name).read_bytes())
    if content is None:
        (directory / name).unlink()
    else:
        (directory / name).write_bytes(content)
    if forge:
        about = json.loads((directory / "model.json").read_text())
        about["sha256"][name] = hashlib.sha256(content).hexdigest()
        (directory / "model.json").write_text(json.dumps(about))
    return copy
