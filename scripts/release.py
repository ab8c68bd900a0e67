"""Write the files of a release into an empty directory: run `make release-dry-run`.

    kfp_mnist_mxnet-VERSION-py3-none-any.whl, .tar.gz   the wheel and the sdist
    installed-*.yaml       the pipelines and components for the images, by digest where it is known
    *.cdx.json             what is in each image, as CycloneDX
    *-licences.md          under which licences
    SHA256SUMS

The same commit gives the same bytes.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import click

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from kfp_mnist_mxnet import __version__
from kfp_mnist_mxnet.compiler.install import PROJECT
from kfp_mnist_mxnet.compiler.step import STEPS
from kfp_mnist_mxnet.compiler.target import Target, file_name, write_yaml
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.pipeline import PIPELINES

ROOT = pathlib.Path(__file__).parents[1]
IMAGES = ("mxnet-cpu", "mxnet-gpu")
EPOCH = 1_580_601_600  # 2020-02-02: of every file, so that the same commit gives the same bytes
SOURCES = ("kfp_mnist_mxnet", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
DIRECTORY = click.Path(file_okay=False, path_type=pathlib.Path)


def build(directory: pathlib.Path, *forms: str) -> None:
    """Build the wheel and the sdist, or one of them, of a clean copy of the sources."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), *forms]
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch, "source")
        source.mkdir()
        copy_sources(source)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
        subprocess.run(
            [*command, str(source)], check=True, stdout=subprocess.DEVNULL, env=environment
        )
    for path in directory.glob("*.tar.gz"):
        rewrite(path)


def copy_sources(directory: pathlib.Path) -> None:
    """Copy what the wheel and the sdist are made of; modes and links are not the checkout's."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, directory / name, ignore=without)
        else:
            shutil.copyfile(ROOT / name, directory / name)
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def rewrite(path: pathlib.Path) -> None:
    """Write a .tar.gz again, without the time and the user that setuptools puts into it."""
    with tarfile.open(path) as archive:
        content = {member: archive.extractfile(member) for member in archive.getmembers()}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as written:
            for member, file in sorted(content.items(), key=lambda item: item[0].name):
                same = tarfile.TarInfo(member.name)
                same.type, same.size, same.mode = member.type, member.size, member.mode
                same.mtime = EPOCH
                written.addfile(same, file)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=EPOCH))


def write_installed(directory: pathlib.Path, cpu: str, gpu: str) -> None:
    """Write the YAML of every pipeline and component in the form for the images.

    cpu, gpu: the images.
    """
    for name, made in PIPELINES.items():
        for target in (Target(image=cpu), Target(gpu=True, image=cpu, gpu_image=gpu)):
            file = file_name(name, target.gpu)
            write_yaml(made(target), directory / f"installed-{file}")
    for name in COMPONENTS:
        path = directory / f"installed-component-{name}.yaml"
        write_yaml(STEPS[name].installed(cpu), path)


def write_sbom(directory: pathlib.Path, image: str) -> None:
    """Write what an image installs, with the library itself as what it is installed for."""
    path = directory / f"{image}.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    command += ["--output-file", str(path)]
    subprocess.run([*command, f"images/{image}/requirements.txt"], check=True, cwd=ROOT)
    bom = json.loads(path.read_text())
    about = {"type": "application", "name": PROJECT, "version": __version__}
    bom["metadata"]["component"] = {"bom-ref": "root-component", **about}
    path.write_text(json.dumps(bom, indent=2) + "\n")


def write_checksums(directory: pathlib.Path) -> None:
    """Write the SHA-256 of every file, as sha256sum reads it."""
    paths = sorted(path for path in directory.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (directory / "SHA256SUMS").write_text("".join(lines))


@click.group()
def main() -> None:
    """Make what a release consists of."""
    os.environ.pop("SOURCE_DATE_EPOCH", None)  # else it would stand in the lists of packages


@main.command()
@click.argument("directory", type=DIRECTORY)
def wheel(directory: pathlib.Path) -> None:
    """Write the wheel into DIRECTORY, with the bytes that it has in a release."""
    build(directory, "--wheel")


@main.command()
@click.argument("tag")
def check(tag: str) -> None:
    """Check that TAG is the version's, and that the changelog has its date."""
    if tag != f"v{__version__}":
        raise click.ClickException(f"the tag {tag} is not of the version {__version__}")
    if not re.match(rf"{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d\n", newest_section()):
        raise click.ClickException(f"CHANGELOG.md does not begin with {__version__} and its date")


@main.command()
def notes() -> None:
    """Print what the changelog says of the newest version."""
    click.echo(newest_section().partition("\n")[2].strip())


def newest_section() -> str:
    """Return the first section of the changelog, from its version on."""
    return (ROOT / "CHANGELOG.md").read_text().split("\n## [")[1]


@main.command("all")
@click.argument("directory", type=DIRECTORY)
@click.option("--registry", required=True, help="Where the images are.")
@click.option("--digest", multiple=True, metavar="IMAGE=sha256:...", help="Of a pushed image.")
def every_file(directory: pathlib.Path, registry: str, digest: tuple[str, ...]) -> None:
    """Write every file of a release into DIRECTORY, which must be empty or not there.

    An image without a digest is named by its version.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty")
    digests = dict(text.split("=", 1) for text in digest)
    names = [
        f"{registry}/{image}" + (f"@{digests[image]}" if image in digests else f":{__version__}")
        for image in IMAGES
    ]
    build(directory)
    write_installed(directory, *names)
    for image in IMAGES:
        write_sbom(directory, image)
        shutil.copyfile(ROOT / "images" / image / "licences.md", directory / f"{image}-licences.md")
    write_checksums(directory)


if __name__ == "__main__":
    main()
