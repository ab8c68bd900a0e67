"""Install the wheel on a bare Python and use it as its user would: run `make smoke-test-wheel`.

pip installs the wheel from a directory and the rest from its index, a pipeline runs on the digits
of scikit-learn, its page opens, and the YAMLs that the wheel writes go into pipelines. It is all in
a container; without a container engine in a new environment, an empty directory and an empty home,
on the libraries of this machine.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import click
import yaml
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from kfp_mnist_mxnet import __version__

ROOT = pathlib.Path(__file__).parents[1]
IMAGE = "docker.io/library/python:3.11"
FOREIGN = "docs/foreign_pipeline.py"  # what a user copies from the docs
SMALL = ("epochs=2", "batch_size=32", "kernels=[3]", "filters=[16]")
CHANCE = 0.1  # the accuracy of a guess among ten classes
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# How pip gets at its index, which the machine may say by variables.
NETWORK = ("PIP_", "SSL_", "http_", "https_", "no_proxy", "HTTP_", "HTTPS_", "NO_PROXY")


@dataclasses.dataclass
class Place:
    """A bare Python in the user's directory.

    start: the words before a command that start it there.
    variables: the environment of those words, None for this process's.
    """

    description: str
    start: list[str]
    variables: dict[str, str] | None = None

    def do(self, *command: str) -> str:
        """Run a command and return what it prints, without the last line break.

        Raises:
            click.ClickException: it fails; with the last line that it wrote.
        """
        return called([*self.start, *command], " ".join(command), self.variables)

    def megabytes(self, directory: str) -> int:
        """Return what a directory takes on the disk, in units of 10^6 bytes."""
        return int(self.do("du", "--summarize", "--block-size=1000000", directory).split()[0])


def called(command: list[str], name: str, variables: dict[str, str] | None = None) -> str:
    """Run a command and return what it prints; name is what a failure calls it."""
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise click.ClickException(f"{name} ended with {done.returncode}: {lines[-1]}")
    return done.stdout.removesuffix("\n")


def bring(directory: pathlib.Path) -> None:
    """Put into an empty directory what a user has: the wheel, in dist, digits, a pipeline."""
    called(
        [sys.executable, str(ROOT / "scripts/release.py"), "wheel", f"{directory}/dist"], "wheel"
    )
    for name in ("docs", "compiled/components"):
        (directory / name).mkdir(parents=True)
    shutil.copyfile(ROOT / FOREIGN, directory / FOREIGN)
    called([sys.executable, str(ROOT / "docs/digits.py"), f"{directory}/digits"], "digits.py")


@contextlib.contextmanager
def container(engine: str, directory: pathlib.Path) -> Iterator[Place]:
    """A container of the public image, with a copy of the directory."""
    run = [engine, "run", "--detach", "--rm", IMAGE, "sleep", "infinity"]
    name = called(run, f"{engine} run {IMAGE}").splitlines()[-1]
    try:
        called([engine, "cp", f"{directory}/.", f"{name}:/user"], f"{engine} cp")
        start = [engine, "exec", "--workdir", "/user", name]
        yield Place(f"in a container of {IMAGE}", start)
    finally:
        called([engine, "kill", name], f"{engine} kill")


@contextlib.contextmanager
def environment(directory: pathlib.Path) -> Iterator[Place]:
    """A new environment of this Python, with an empty home."""
    with tempfile.TemporaryDirectory() as home:
        called([sys.executable, "-m", "venv", f"{home}/venv"], "python3.11 -m venv")
        variables = {name: text for name, text in os.environ.items() if name.startswith(NETWORK)}
        variables |= {"HOME": home, "PIP_CACHE_DIR": f"{home}/cache"}
        variables["PATH"] = f"{home}/venv/bin:/usr/bin:/bin"
        where = "in a new environment on this machine, as no container engine answers"
        yield Place(where, ["env", f"--chdir={directory}"], variables)


def answers(engine: str) -> bool:
    """Tell whether there is a container engine under this name."""
    return bool(engine) and not subprocess.run([engine, "info"], capture_output=True).returncode


def install(place: Place) -> None:
    """Install the wheel as the documents say, by pip's own index but for the wheel itself."""
    prefix = place.do("python3", "-c", "import sysconfig; print(sysconfig.get_path('data'))")
    before, start = place.megabytes(prefix), time.monotonic()
    wanted = f"kfp-mnist-mxnet[laptop]=={__version__}"
    pip = ("python3", "-m", "pip", "install", "--disable-pip-version-check")
    said = place.do(*pip, "--progress-bar", "off", "--find-links", "dist", wanted)
    seconds = time.monotonic() - start
    click.echo(
        f"pip install {wanted}: {seconds:.0f} s, {downloaded(said):.0f} MB downloaded,"
        f" {place.megabytes(prefix) - before} MB on the disk"
    )


def downloaded(said: str) -> float:
    """Return the megabytes that pip says it has downloaded, file by file."""
    sizes = re.findall(r"^ *Downloading \S+ \(([\d.]+) (bytes|kB|MB)\)", said, re.MULTILINE)
    return sum(float(size) * {"bytes": 1e-6, "kB": 1e-3, "MB": 1}[unit] for size, unit in sizes)


def run(place: Place) -> float:
    """Run the pipeline on the digits; return the accuracy."""
    start = time.monotonic()
    options = [word for value in SMALL for word in ("-p", value)]
    place.do("kfp-mnist-mxnet", "run", "--data-uri", "digits", *options)
    record = json.loads(place.do("cat", "runs/latest/run.json"))
    status, accuracy = record["status"], record["accuracy"]
    if status != "SUCCEEDED" or accuracy is None or not 2 * CHANCE < accuracy <= 1:
        raise click.ClickException(f"the run ended {status} with the accuracy {accuracy}")
    click.echo(f"run: {status}, accuracy {accuracy:.3f}, {time.monotonic() - start:.0f} s")
    return accuracy


def look(page: pathlib.Path, accuracy: float) -> None:
    """Open the page of the run, and see whether it shows how the run ended."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        click.echo("page: it is there; not opened, as there is no Chromium here")
        return
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(offline=True)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(page.as_uri())
        shown = tab.inner_text("body")
        browser.close()
    if errors:
        raise click.ClickException(f"the page of the run has an error: {errors[0]}")
    if f"{accuracy:.4f}" not in shown or "SUCCEEDED" not in shown:
        raise click.ClickException(f"the page of the run does not say SUCCEEDED and {accuracy:.4f}")
    click.echo("page: it opens and shows the accuracy")


def steps(place: Place, file: str) -> set[str]:
    """Return the names of the steps in a compiled pipeline."""
    spec = next(yaml.safe_load_all(place.do("cat", file)))
    return {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]}


def load_components(place: Place) -> None:
    """Compile a pipeline of one's own that loads two components from the YAMLs of the wheel."""
    for name in ("ingest", "evaluate"):
        output = f"compiled/components/{name}.yaml"
        place.do("kfp-mnist-mxnet", "yaml", "--component", name, "--output", output)
    file = "foreign.yaml"
    place.do("kfp", "dsl", "compile", "--py", FOREIGN, "--output", file)
    if not {"ingest", "evaluate", "train-softmax"} <= (found := steps(place, file)):
        raise click.ClickException(f"the pipeline of one's own has the steps {sorted(found)} only")
    click.echo("a pipeline of one's own with ingest and evaluate: it compiles")


def compile_installed(place: Place) -> None:
    """Compile the pipeline in the form in which steps install the wheel."""
    wanted = f"kfp-mnist-mxnet=={__version__}"
    file = "pipeline-cpu.yaml"
    place.do("kfp-mnist-mxnet", "compile", "--target", "cpu", "--package", wanted)
    if wanted not in place.do("cat", file):
        raise click.ClickException(f"the steps of {file} do not install {wanted}")
    click.echo(f"{file} with {wanted}: it compiles, {len(steps(place, file))} steps")


@click.command()
@click.option("--engine", default="", help="docker or podman.")
def main(engine: str) -> None:
    """Install the wheel on a bare Python and use it, up to the first thing that is wrong."""
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory = scratch / "user"
        bring(directory)
        there = container(engine, directory) if answers(engine) else environment(directory)
        place = stack.enter_context(there)
        click.echo(f"{place.do('python3', '--version')} {place.description}")
        install(place)
        accuracy = run(place)
        page = scratch / "index.html"
        page.write_text(place.do("cat", "runs/latest/index.html"))
        look(page, accuracy)
        load_components(place)
        compile_installed(place)


if __name__ == "__main__":
    main()
