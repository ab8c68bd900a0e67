"""The files of a release: what is in them, and that they are the same whoever makes them."""

import email
import hashlib
import json
import os
import pathlib
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator

import pytest
import yaml
from click.testing import CliRunner
from conftest import COMPILED, ROOT, SMALL, as_options, write_idx_set
from packaging.requirements import Requirement

from kfp_mnist_mxnet import __version__
from kfp_mnist_mxnet.cli import options as command
from kfp_mnist_mxnet.cli.main import main
from kfp_mnist_mxnet.compiler.install import CPU_PINS, UV, pins, resource
from kfp_mnist_mxnet.compiler.target import file_name
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.pipeline import PIPELINES
from kfp_mnist_mxnet.runtime.mxnet_compatibility import INSTALL_MXNET

IMAGES = ("mxnet-cpu", "mxnet-gpu")
DIGESTS = {image: f"sha256:{hashlib.sha256(image.encode()).hexdigest()}" for image in IMAGES}
REGISTRY = "registry.example/team"


def make(checkout: pathlib.Path, directory: pathlib.Path, **environment: str) -> pathlib.Path:
    """Make every file of a release as make release-dry-run does, for images with digests."""
    program = [sys.executable, "scripts/release.py", "all", str(directory), "--registry", REGISTRY]
    for image, digest in DIGESTS.items():
        program += ["--digest", f"{image}={digest}"]
    subprocess.run(program, cwd=checkout, check=True, env={**os.environ, **environment})
    return directory


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> pathlib.Path:
    """The files of a release, made here."""
    return make(ROOT, tmp_path_factory.mktemp("release") / "dist")


@pytest.fixture(scope="session")
def wheel(release) -> Iterator[zipfile.ZipFile]:
    (path,) = release.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def metadata(wheel) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_another_checkout_at_another_time_makes_the_same_bytes(release, tmp_path):
    without = shutil.ignore_patterns(".git", ".*_cache", ".venv*", "__pycache__", "runs", "build")
    checkout = shutil.copytree(ROOT, tmp_path / "elsewhere", ignore=without)
    for path in checkout.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1e9, 1e9))
    again = make(checkout, tmp_path / "dist", SOURCE_DATE_EPOCH="1234567890", TZ="Asia/Tokyo")
    names = sorted(path.name for path in release.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    for name in names:
        assert (release / name).read_bytes() == (again / name).read_bytes(), name


def test_no_file_tells_where_it_was_made(release, wheel):
    contents = {path.name: path.read_bytes() for path in release.iterdir()}
    contents |= {name: wheel.read(name) for name in wheel.namelist()}
    (sdist,) = release.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = archive.getmembers()
        contents |= {
            file.name: archive.extractfile(file).read()  # type: ignore[union-attr]
            for file in files
            if file.isfile()
        }
    assert {(file.uname, file.gname, file.uid) for file in files} == {("", "", 0)}
    host = socket.gethostname()
    here = (str(ROOT), str(release.parent), f"{pathlib.Path.home()}/", f"@{host}", f"//{host}")
    for name, content in contents.items():
        if not name.endswith((".whl", ".gz")):  # what is in them is looked at by itself
            assert not [place for place in here if place.encode() in content], name


def test_the_checksums_are_those_of_every_other_file(release):
    listed = [line.split("  ") for line in (release / "SHA256SUMS").read_text().splitlines()]
    names = {path.name for path in release.iterdir()} - {"SHA256SUMS"}
    assert {name for _, name in listed} == names
    for digest, name in listed:
        assert hashlib.sha256((release / name).read_bytes()).hexdigest() == digest


def test_a_release_is_not_made_among_other_files(tmp_path):
    (tmp_path / "old.whl").touch()
    program = runpy.run_path(str(ROOT / "scripts" / "release.py"))["main"]
    done = CliRunner().invoke(program, ["all", str(tmp_path), "--registry", REGISTRY])
    assert done.exit_code == 2
    assert f"{tmp_path} is not empty" in done.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_in_an_image_is_listed_whole(release, image):
    locked = (ROOT / "images" / image / "requirements.txt").read_text()
    packages = set(re.findall(r"^([\w.-]+)==([\w.]+)", locked, re.MULTILINE))
    bom = json.loads((release / f"{image}.cdx.json").read_text())
    assert {(part["name"], part["version"]) for part in bom["components"]} == packages
    assert all(part["purl"].startswith("pkg:pypi/") for part in bom["components"])
    about = bom["metadata"]["component"]
    assert (about["name"], about["version"]) == ("kfp-mnist-mxnet", __version__)


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_of_an_image_has_a_licence(release, image):
    locked = (ROOT / "images" / image / "requirements.txt").read_text()
    packages = set(re.findall(r"^([\w.-]+)==([\w.]+)", locked, re.MULTILINE))
    text = (release / f"{image}-licences.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) +\| ([\w.]+) +\| (.*?) +\|", text, re.MULTILINE)
    listed = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version, _ in rows}
    assert listed - {("name", "Version")} == packages, "make licences"
    assert not [name for name, _, licence in rows if licence in ("", "UNKNOWN")]


def images_of(path: pathlib.Path) -> set[str]:
    spec = next(yaml.safe_load_all(path.read_text()))
    executors = spec["deploymentSpec"]["executors"].values()
    return {executor["container"]["image"] for executor in executors if "container" in executor}


def test_yamls_of_a_release_name_the_images_by_digest_and_hold_no_code(release):
    cpu, gpu = (f"{REGISTRY}/{image}@{digest}" for image, digest in DIGESTS.items())
    files = {file_name(name, gpu) for name in PIPELINES for gpu in (True, False)}
    files |= {f"component-{name}.yaml" for name in COMPONENTS}
    assert {path.name for path in release.glob("*.yaml")} == {f"installed-{f}" for f in files}
    for file in files:
        path = release / f"installed-{file}"
        trains_on_gpu = file in {file_name(name, True) for name in PIPELINES} - {
            file_name("batch_predict", True)
        }
        assert images_of(path) == ({cpu, gpu} if trains_on_gpu else {cpu}), file
        assert f'if installed != \\"{__version__}\\"' in path.read_text()
        assert "base64" not in path.read_text()


def test_the_wheel_is_small_and_has_only_what_runs(wheel):
    assert pathlib.Path(wheel.filename).stat().st_size < 400_000
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    info = f"kfp_mnist_mxnet-{__version__}.dist-info"
    assert tops == {"kfp_mnist_mxnet", info}
    modules = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "kfp_mnist_mxnet").rglob("*.py")
    }
    assert modules <= set(wheel.namelist())


def test_what_is_needed_is_apart(wheel):
    needs: dict[str, set[str]] = {"": set()}
    for text in metadata(wheel).get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        extra = re.search(r'extra == "(\w+)"', str(requirement.marker))
        needs.setdefault(extra[1] if extra else "", set()).add(requirement.name)
    assert needs[""] == {pin.partition("==")[0] for pin in pins(CPU_PINS)} | {"numpy"}
    assert needs["laptop"] == {"docker", "kfp-kubernetes", "markdown-it-py", "rich"}
    assert needs["serve"] == {"uv"}
    assert {"pytest", "playwright", "kfp-mnist-mxnet"} <= needs["dev"]


def test_pip_installs_mxnet_where_it_can_and_the_rest_everywhere(wheel):
    needs = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist") or ()]
    for python in ("3.11", "3.12", "3.13", "3.14"):
        names = {
            need.name
            for need in needs
            if not need.marker or need.marker.evaluate({"python_version": python, "extra": ""})
        }
        assert ("mxnet" in names) == (python in ("3.11", "3.12")), python
        assert ("setuptools" in names) == (python != "3.11"), python


def test_pins_that_stand_twice_agree():
    locked = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (numpy,) = re.findall(r"^numpy.*", "\n".join(resource(CPU_PINS)), re.MULTILINE)
    mxnet = next(pin for pin in pins(CPU_PINS) if pin.startswith("mxnet=="))
    assert project["tool"]["uv"]["override-dependencies"] == [mxnet, numpy]
    assert INSTALL_MXNET.endswith(f" {mxnet}")
    for pin in (*pins(CPU_PINS), *project["build-system"]["requires"], UV):
        assert re.search(rf"^{re.escape(pin)} ", locked, re.MULTILINE), pin


@pytest.fixture(scope="session")
def installed(release, tmp_path_factory) -> dict[str, str]:
    """An environment in which Python finds the wheel before this checkout."""
    (path,) = release.glob("*.whl")
    directory = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(directory), str(path)], check=True)
    return {**os.environ, "PYTHONPATH": str(directory), "PATH": f"{directory}/bin:/usr/bin:/bin"}


def test_the_installed_command_compiles_what_is_committed(installed, tmp_path):
    for options, file in (
        (["--pipeline", "batch_predict"], "batch_predict.yaml"),
        (["--target", "cpu"], "pipeline-cpu.yaml"),
        (["--component", "evaluate"], "components/evaluate.yaml"),
    ):
        program = ["kfp-mnist-mxnet", "compile", *options]
        subprocess.run(program, env=installed, cwd=tmp_path, check=True)
        written = tmp_path / pathlib.Path(file).name
        assert written.read_bytes() == (COMPILED / file).read_bytes()


def test_the_installed_command_does_not_care_what_a_project_has(installed, tmp_path):
    write_idx_set(tmp_path / "idx")
    for package in ("components", "cli", "tests", "scripts"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('the project's')")
    for module in ("pipeline", "runner"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the project's')")
    options = as_options({**SMALL, "learning_rate": 1e-9, "min_accuracy": 1})  # to end early
    program = ["kfp-mnist-mxnet", "run", "--data-uri", "idx", *options]
    subprocess.run(program, env=installed, cwd=tmp_path, check=True)
    program = [sys.executable, "-c", "from kfp_mnist_mxnet.components import evaluate"]
    subprocess.run(program, env=installed, cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pipeline", "trian"], "'trian' is not one of 'batch_predict', 'sweep', 'train'"),
        (["--component", "evaluat"], "no component 'evaluat': did you mean 'evaluate'?"),
        (
            ["--component", "evaluate", "--image", "i:1"],
            "is compiled for the public image or that of",
        ),
    ],
)
def test_what_can_not_be_compiled_is_named(arguments, message):
    done = CliRunner().invoke(main, ["compile", *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_the_names_of_the_pipelines_are_known_without_them():
    assert set(command.PIPELINES) == set(PIPELINES)


def test_help_loads_neither_kfp_nor_numpy(installed):
    program = "import sys, kfp_mnist_mxnet.cli.main; print(*{'kfp', 'numpy'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], env=installed, stdout=subprocess.PIPE)
    assert loaded.stdout == b"\n"


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("rich", "laptop", ["submit", "--host", "http://localhost"]),
        ("kfp.kubernetes", "laptop", ["submit", "--host", "http://localhost"]),
        ("uv", "serve", ["serve", "latest"]),
    ],
)
def test_a_command_says_which_extra_it_needs(package, extra, arguments):
    program = (
        f"import sys; sys.modules[{package!r}] = None; from kfp_mnist_mxnet.cli.main import main; "
    )
    program += "main()"
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {package}")
    way_out = f"in a clone of kfp-mnist-mxnet, pip install '.[{extra}]'"
    assert line.endswith(f" is not installed: {way_out}")


def test_a_user_who_can_not_install_the_wheel_gets_one_sentence():
    program = [sys.executable, "scripts/smoke_test_wheel.py", "--engine", ""]
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.startswith("Python 3.")
    assert "in a new environment on this machine, as no container engine answers" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: python3 -m pip ")
    assert " ended with 1: ERROR: No matching distribution found for " in line


def test_every_place_has_the_same_version(wheel, trained):
    assert metadata(wheel)["Version"] == __version__
    assert CliRunner().invoke(main, ["--version"]).output == f"{__version__}\n"
    model = json.loads((pathlib.Path(trained["model"].path) / "model.json").read_text())
    assert model["versions"]["kfp-mnist-mxnet"] == __version__
    for path in COMPILED.rglob("*.yaml"):
        assert f"# Made by: kfp-mnist-mxnet {__version__}\n" in path.read_text(), path.name
    printing = ["make", "--silent", "--eval=print: ; @echo $(TAG)", "print"]
    assert subprocess.check_output(printing, cwd=ROOT, text=True) == f"{__version__}\n"
    for image in IMAGES:
        dockerfile = (ROOT / "images" / image / "Dockerfile").read_text()
        assert 'org.opencontainers.image.version="${VERSION}"' in dockerfile
    (newest, *_) = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == __version__


def test_the_documents_name_this_version():
    named = re.compile(r"(?:mxnet-[cg]pu:|kfp-mnist-mxnet==|kfp_mnist_mxnet-)(\d[\w.]*\d)")
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("docs/*.yaml")]
    found = {version for path in documents for version in named.findall(path.read_text())}
    assert found == {__version__}


@pytest.mark.parametrize(
    ("tag", "dated", "message"),
    [
        (f"v{__version__}", True, ""),
        ("v9.9.9", True, f"the tag v9.9.9 is not of the version {__version__}"),
        (f"v{__version__}", False, f"CHANGELOG.md does not begin with {__version__} and its date"),
    ],
)
def test_a_release_is_of_its_tag_and_has_a_date(tmp_path, monkeypatch, tag, dated, message):
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds its own
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    date = "2026-01-31" if dated else "unreleased"
    changes = f"# Changelog\n\n## [{__version__}] - {date}\n\n- All of it.\n\n## [0.1.0] - x\n"
    (tmp_path / "CHANGELOG.md").write_text(changes)
    program = runpy.run_path(str(tmp_path / "scripts" / "release.py"))["main"]
    checked = CliRunner().invoke(program, ["check", tag])
    assert checked.stderr == (f"Error: {message}\n" if message else "")
    assert checked.exit_code == bool(message)
    assert CliRunner().invoke(program, ["notes"]).output == "- All of it.\n"
