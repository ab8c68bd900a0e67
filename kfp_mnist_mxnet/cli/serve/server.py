"""Serves a model on this machine by KServe's model server, in an environment of its own."""

import contextlib
import dataclasses
import json
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
import onnx
import urllib3
from uv import find_uv_bin

from kfp_mnist_mxnet.cli.local.runs import find_run
from kfp_mnist_mxnet.data.dataset import read_images
from kfp_mnist_mxnet.export.layout import INPUT, LABELS_FILE, MODEL_FILE, VERSION
from kfp_mnist_mxnet.model.info import INFO_FILE

PROGRAM = pathlib.Path(__file__).with_name("model_server.py")
REQUIREMENTS = PROGRAM.with_suffix(".txt")
HOST = "127.0.0.1"  # what is served on a laptop is for this laptop
MODELS = ("onnx_model", "best_model", "model")  # of a run, the best first
JSON = {"Content-Type": "application/json"}
TIMEOUT = 30.0  # seconds that an answer may take


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported model: the directory that has its name."""

    directory: pathlib.Path

    @property
    def name(self) -> str:
        """The name under which it is served."""
        return self.directory.name

    @property
    def file(self) -> pathlib.Path:
        """The ONNX file."""
        return self.directory / VERSION / MODEL_FILE

    def class_names(self) -> list[str]:
        """Return the names of its classes."""
        return (self.directory / LABELS_FILE).read_text(encoding="utf-8").splitlines()

    def image_shape(self) -> list[int]:
        """Return the shape (C, H, W) of its images."""
        properties = {entry.key: entry.value for entry in onnx.load(self.file).metadata_props}
        return json.loads(properties["image_shape"])


@dataclasses.dataclass(frozen=True)
class Served:
    """A model that a server on this machine offers; request: a file with a request as JSON."""

    model: Exported
    url: str
    request: pathlib.Path

    def infer(self) -> str:
        """Return where predictions are asked for."""
        return f"{self.url}/v2/models/{self.model.name}/infer"

    def curl(self) -> str:
        """Return a command line that sends the request."""
        (header,) = (f"{name}: {value}" for name, value in JSON.items())
        return (
            f"curl -s {self.infer()} -H {shlex.quote(header)} -d {shlex.quote(f'@{self.request}')}"
        )

    def ask(self) -> str:
        """Send the request; return the likeliest class with its probability.

        Raises:
            click.ClickException: the server does not predict.
        """
        content = self.request.read_bytes()
        try:
            answer = ask_directly("POST", self.infer(), body=content, headers=JSON)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise click.ClickException(f"the model server does not answer: {error}") from error
        if "outputs" not in answer:
            raise click.ClickException(f"the model server refuses: {answer.get('error', answer)}")
        (output,) = answer["outputs"]
        best = int(np.argmax(output["data"]))
        return f"{self.model.class_names()[best]} with the probability {output['data'][best]:.4f}"


def ask_directly(method: str, url: str, **options: Any) -> Any:
    """Return the JSON that a server on this machine answers; no proxy leads to it.

    Raises:
        urllib3.exceptions.HTTPError, ValueError: it does not answer in time, or no JSON.
    """
    return urllib3.request(method, url, retries=False, timeout=TIMEOUT, **options).json()


def serve(
    what: str, output_dir: pathlib.Path, port: int, scratch: pathlib.Path, once: bool
) -> None:
    """Serve a model until the server ends, and say where.

    what: a run, as find_run takes it, or a directory that export or train wrote; port: 0 for a free
    one; once: ask it once, and end.

    The request that is printed has the first test image of a run, or else a black one.

    Raises:
        click.UsageError: there is no such model.
        click.ClickException: it can't be exported, or the server does not start, or ends by itself.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # so that the server ends too
        signal.signal(number, lambda *_: sys.exit(0))
    directory, data = locate(what, output_dir)
    model = exported(directory, scratch)
    image = read_images(data)[0] if data else np.zeros(model.image_shape(), np.uint8)
    request, log = scratch / "request.json", scratch / "log.txt"
    request.write_text(json.dumps(request_of(image)))
    click.echo("starting KServe's model server, which uv installs the first time", err=True)
    with running(model, free_port(port), log) as (process, url):
        served = Served(model, url, request)
        click.echo(f"model   {url}/v2/models/{model.name}")
        click.echo(f"ready   {url}/v2/health/ready")
        click.echo(f"log     {log}")
        click.echo(f"try     {served.curl()}")
        if once:
            click.echo(f"answer  {served.ask()}")
        else:
            process.wait()
            raise ended(log)


def locate(what: str, output_dir: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path | None]:
    """Return the directory of a model, exported or not, and that of test images, if it is a run's.

    Raises:
        click.UsageError: there is none.
    """
    path = pathlib.Path(what)
    if (path / INFO_FILE).is_file() or exported_in(path):
        return path, None
    run = find_run(output_dir, what)
    models = [found for name in MODELS if (found := run.output(name))]
    if not models:
        raise click.UsageError(f"the run {run.name} has no model")
    return models[0], run.output("test_data")


def exported_in(directory: pathlib.Path) -> list[pathlib.Path]:
    """Return the exported models in a directory."""
    return sorted(path.parents[1] for path in directory.glob(f"*/{VERSION}/{MODEL_FILE}"))


def exported(directory: pathlib.Path, scratch: pathlib.Path) -> Exported:
    """Return the one exported model in a directory; a model that train wrote is exported first.

    Raises:
        click.UsageError: there are several.
        click.ClickException: the model can't be exported.
    """
    if (directory / INFO_FILE).is_file():
        directory = export_model(directory, scratch)
    found = exported_in(directory)
    if len(found) != 1:
        raise click.UsageError(f"{directory} has {len(found)} exported models, expected one")
    return Exported(found[0].absolute())


def export_model(directory: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """Export a model that train wrote; return the directory.

    Raises:
        click.ClickException: it can't be exported.
    """
    from kfp import dsl  # here alone: what was exported needs neither kfp nor MXNet

    from kfp_mnist_mxnet.components.export import export

    kinds = {
        "onnx_model": dsl.Model,
        "model_card": dsl.Markdown,
        "metrics": dsl.Metrics,
        "export_report": dsl.HTML,
    }
    outputs = {name: kind(uri=str(scratch / name)) for name, kind in kinds.items()}
    try:
        export.python_func(model=dsl.Model(uri=str(directory)), **outputs)
    except (OSError, RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    return scratch / "onnx_model"


def request_of(image: np.ndarray) -> dict[str, Any]:
    """Return a request of version 2 of KServe's protocol for an image, uint8 (C, H, W)."""
    given = {"name": INPUT, "shape": [1, *image.shape], "datatype": "UINT8"}
    return {"inputs": [{**given, "data": image.ravel().tolist()}]}


def free_port(port: int) -> int:
    """Return a port of this machine that nothing listens to: the one that is wished for, if any.

    port: 0 for any.

    Raises:
        click.UsageError: it is taken.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, port))
        except OSError as error:
            raise click.UsageError(
                f"port {port}: {error.strerror}; --port 0 is a free one"
            ) from None
        return bound.getsockname()[1]


@contextlib.contextmanager
def running(
    model: Exported, port: int, log: pathlib.Path
) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run a server; give its process, and its URL once it is ready.

    The first time uv installs what it needs, which it keeps.

    Raises:
        click.ClickException: it ended before it was ready.
    """
    url = f"http://{HOST}:{port}"
    uv = [find_uv_bin(), "run", "--quiet", "--no-project", "--isolated"]
    command = [*uv, "--python", sys.executable, "--with-requirements", str(REQUIREMENTS)]
    # Isolated from the directory of the program, from PYTHONPATH and its like.
    command += [
        "python",
        "-I",
        str(PROGRAM),
        "--model_name",
        model.name,
        "--model_file",
        str(model.file),
    ]
    command += ["--http_port", str(port), "--host", HOST]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            while not is_ready(url):
                if process.poll() is not None:
                    raise ended(log)
                time.sleep(0.1)
            yield process, url
        finally:
            process.terminate()
            process.wait()


def ended(log: pathlib.Path) -> click.ClickException:
    """Return the error of a server that ended by itself, with the last line of its log."""
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    return click.ClickException(f"the model server ended: {' '.join(last)}")


def is_ready(url: str) -> bool:
    """Tell whether a server answers that it is ready."""
    try:
        return ask_directly("GET", f"{url}/v2/health/ready")["ready"]
    except (urllib3.exceptions.HTTPError, ValueError, KeyError):  # nobody listens, or someone else
        return False
