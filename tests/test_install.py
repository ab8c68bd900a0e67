"""What a step's container does before the program starts: installing packages with uv or pip."""

import base64
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator

import pytest

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.main import component_for
from kfp_mnist_mxnet.compiler.install import UV, Base, install_command
from kfp_mnist_mxnet.compiler.site import Site
from kfp_mnist_mxnet.compiler.target import Target

FOUND = "import pathlib, tiny; print(tiny.__name__, pathlib.Path(tiny.__file__).parent.name)"


class Index(http.server.ThreadingHTTPServer):
    """A package index over HTTP that notes who asks for what, with which credentials.

    login: `user:password` without which it answers nobody, or "".
    """

    daemon_threads = True
    login = ""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(("127.0.0.1", 0), Files)
        self.root = root
        self.asked: list[tuple[str, str, str]] = []
        self.url = f"127.0.0.1:{self.server_port}/simple"

    def by(self, agent: str) -> set[str]:
        """What a program has asked for."""
        return {path for asking, path, _ in self.asked if asking.startswith(agent)}


class Files(http.server.SimpleHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        credentials = self.headers.get("Authorization", "").removeprefix("Basic ")
        who = base64.b64decode(credentials).decode()
        self.server.asked.append((self.headers["User-Agent"], self.path, who))
        if self.server.login not in ("", who):
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        self.directory = str(self.server.root)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


def serving(root: pathlib.Path) -> Iterator[Index]:
    """An index that has the package tiny 1.0, and no uv."""
    directory = root / "simple" / "tiny"
    directory.mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
    files = {
        "tiny.py": "",
        "tiny-1.0.dist-info/METADATA": about,
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(directory / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr("tiny-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    with Index(root) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def index(tmp_path) -> Iterator[Index]:
    yield from serving(tmp_path / "index")


@pytest.fixture
def other_index(tmp_path) -> Iterator[Index]:
    """An index that has the same package, and should not be asked."""
    yield from serving(tmp_path / "other")


@pytest.fixture(scope="session")
def uv_wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel of uv that steps install."""
    directory = tmp_path_factory.mktemp("uv")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory]
    if subprocess.run([*command, UV]).returncode:
        pytest.skip("no index has uv here")
    (wheel,) = directory.iterdir()
    return wheel


@pytest.fixture
def index_with_uv(index, uv_wheel) -> Index:
    directory = index.root / "simple" / "uv"
    directory.mkdir()
    (directory / uv_wheel.name).symlink_to(uv_wheel)
    return index


def start(
    tmp_path: pathlib.Path, install: list[str], program: str = FOUND, **environment: str
) -> subprocess.CompletedProcess:
    """Run a command in place of a pod's, with `python3` and nothing else that pip is told of."""
    told = ("PIP_", "UV_", "XDG_CONFIG", "SSL_CERT_FILE", "http", "HTTP", "no_proxy", "NO_PROXY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    kept |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path), "PIP_RETRIES": "0"}
    kept |= {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    kept |= {"PIP_CONFIG_FILE": os.devnull, **environment}
    command = [*install, "python3", "-c", program]
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=120)


def test_pip_installs_where_uv_can_not_be_had(tmp_path, index):
    done = start(tmp_path, install_command(["tiny==1.0"]), PIP_INDEX_URL=f"http://{index.url}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny tmp.")  # in a directory of its own
    assert done.stderr == ""
    assert {path.rpartition("/")[2] for path in index.by("pip")} >= {"tiny-1.0-py3-none-any.whl"}


def test_uv_asks_the_index_that_pip_is_told_of(tmp_path, index_with_uv):
    url = f"http://user:secret@{index_with_uv.url}"
    done = start(tmp_path, install_command(["tiny==1.0"]), PIP_INDEX_URL=url)
    assert done.returncode == 0, done.stderr
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index_with_uv.by("uv")
    assert "user:secret" in {who for _, _, who in index_with_uv.asked}
    assert "secret" not in done.stdout + done.stderr


def test_uv_reads_what_the_file_of_pip_says(tmp_path, index_with_uv):
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = http://{index_with_uv.url}\n")
    done = start(tmp_path, install_command(["tiny==1.0"]), PIP_CONFIG_FILE=str(config))
    assert done.returncode == 0, done.stderr
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index_with_uv.by("uv")


# What fails, or installs nothing, or for another Python, where it counts.
MEANT_FOR_OTHERS = {
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": "/nonexistent/target",
    "PIP_PREFIX": "/nonexistent/prefix",
    "PIP_ROOT": "/nonexistent/root",
    "PIP_DRY_RUN": "1",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_CONSTRAINT": "/nonexistent/constraints.txt",
    "PIP_REQUIREMENT": "/nonexistent/requirements.txt",
    "PIP_NO_BINARY": ":all:",
    "PIP_PYTHON_VERSION": "2.7",
    "PIP_PLATFORM": "win32",
    "PIP_PYTHON": "/nonexistent/python",
    "PIP_CONFIG_SETTINGS": "x",
    "UV_PYTHON": "/nonexistent/python",
    "UV_SYSTEM_PYTHON": "1",
    "UV_MANAGED_PYTHON": "1",
    "UV_CONSTRAINT": "/nonexistent/constraints.txt",
    "UV_EXCLUDE": "/nonexistent/exclude.txt",
    "UV_EXCLUDE_NEWER": "2001-01-01",
    "UV_REQUIRE_HASHES": "1",
    "UV_PROJECT": "/nonexistent/project",
    "UV_LINK_MODE": "symlink",
    "VIRTUAL_ENV": "/nonexistent/environment",
}
PIP_CONF = "user = true\nrequire-virtualenv = true\ntarget = /none\nconstraint = /none\n"


@pytest.mark.draw(2)
@pytest.mark.parametrize("agent", ["pip", "uv"])
@pytest.mark.parametrize("place", ["environment", "file"])
def test_settings_for_other_installations_do_not_count(tmp_path, index, request, agent, place):
    if agent == "uv":
        request.getfixturevalue("index_with_uv")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = http://{index.url}\n{PIP_CONF}")
    found = {
        "environment": {"PIP_INDEX_URL": f"http://{index.url}", **MEANT_FOR_OTHERS},
        "file": {"PIP_CONFIG_FILE": str(config)},
    }[place]
    done = start(tmp_path, install_command(["tiny==1.0"]), **found)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny tmp.")
    assert done.stderr == ""
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index.by(agent)


def test_the_environment_comes_before_the_file_of_pip(tmp_path, index_with_uv):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\n")
    url = {"PIP_INDEX_URL": f"http://{index_with_uv.url}", "PIP_CONFIG_FILE": str(config)}
    done = start(tmp_path, install_command(["tiny==1.0"]), **url)
    assert done.returncode == 0, done.stderr
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index_with_uv.by("uv")


def test_several_indexes_in_the_file_of_pip_reach_uv(tmp_path, index_with_uv):
    url, config = f"http://{index_with_uv.url}", tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = {url}\nextra-index-url =\n  {url}/a\n  {url}/b\n")
    done = start(tmp_path, install_command(["tiny==1.0"]), PIP_CONFIG_FILE=str(config))
    assert done.returncode == 0, done.stderr
    assert {"/simple/a/tiny/", "/simple/b/tiny/"} <= index_with_uv.by("uv")


def test_packages_come_from_a_directory_where_there_is_no_index(tmp_path, index):
    links = str(index.root / "simple" / "tiny")
    done = start(tmp_path, install_command(["tiny==1.0"]), PIP_NO_INDEX="1", PIP_FIND_LINKS=links)
    assert done.returncode == 0, done.stderr
    assert not index.asked


def test_what_pip_is_told_stays_as_it_is_for_the_program(tmp_path, index):
    shown = "import os; print(os.environ['PIP_USER'], 'UV_DEFAULT_INDEX' in os.environ)"
    told = {"PIP_INDEX_URL": f"http://{index.url}", "PIP_USER": "1"}
    done = start(tmp_path, install_command(["tiny==1.0"]), program=shown, **told)
    assert done.stdout == "1 False\n", done.stderr


def told_of(other: Index, place: str, directory: pathlib.Path) -> dict[str, str]:
    """What tells pip and uv of another index, in the environment or in files of a directory."""
    url, links = f"http://{other.url}", f"http://{other.url}/tiny/"
    if place == "environment":
        pip = {"INDEX_URL": url, "EXTRA_INDEX_URL": url, "FIND_LINKS": links, "NO_INDEX": "1"}
        uv = {"DEFAULT_INDEX": url, "INDEX": url, "EXTRA_INDEX_URL": url, "FIND_LINKS": links}
        return {f"PIP_{k}": v for k, v in pip.items()} | {f"UV_{k}": v for k, v in uv.items()}
    pip_conf, uv_toml = directory / "pip.conf", directory / "home" / ".config" / "uv" / "uv.toml"
    uv_toml.parent.mkdir(parents=True)
    settings = (
        f"index-url = {url}\nextra-index-url = {url}\nfind-links = {links}\nno-index = true\n"
    )
    pip_conf.write_text(f"[global]\n{settings}")
    uv_toml.write_text(f'[[index]]\nurl = "{url}"\n[pip]\nfind-links = ["{links}"]\n')
    return {"PIP_CONFIG_FILE": str(pip_conf)}


@pytest.mark.draw(2)
@pytest.mark.parametrize("agent", ["pip", "uv"])
@pytest.mark.parametrize("place", ["environment", "file"])
def test_nothing_but_the_only_index_is_asked(tmp_path, index, other_index, request, agent, place):
    if agent == "uv":
        request.getfixturevalue("index_with_uv")
    install = install_command(["tiny==1.0"], index=f"http://{index.url}")
    done = start(tmp_path, install, **told_of(other_index, place, tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index.by(agent)
    assert other_index.asked == []


def test_the_only_index_has_the_library_too(tmp_path, index_with_uv, other_index):
    install = install_command(["tiny==1.0"], f"http://{index_with_uv.url}")
    done = start(tmp_path, install, PIP_INDEX_URL=f"http://{other_index.url}")
    assert done.returncode == 0, done.stderr
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index_with_uv.by("uv")
    assert other_index.asked == []


def test_what_the_only_index_has_not_is_not_looked_for_elsewhere(tmp_path, index, other_index):
    (index.root / "simple" / "tiny" / "tiny-1.0-py3-none-any.whl").unlink()
    install = install_command(["tiny==1.0"], index=f"http://{index.url}")
    done = start(tmp_path, install, PIP_EXTRA_INDEX_URL=f"http://{other_index.url}")
    assert done.returncode != 0
    assert other_index.asked == []


@pytest.mark.draw(2)
@pytest.mark.parametrize("agent", ["pip", "uv"])
@pytest.mark.parametrize("place", [".netrc", "mounted"])
def test_a_netrc_has_the_credentials_of_the_only_index(tmp_path, index, request, agent, place):
    if agent == "uv":
        request.getfixturevalue("index_with_uv")
    index.login = "user:secret"
    netrc = tmp_path / "home" / place
    netrc.parent.mkdir()
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    variables = {"NETRC": str(netrc)} if place == "mounted" else {}
    install = install_command(["tiny==1.0"], index=f"http://{index.url}")
    done = start(tmp_path, install, **variables)
    assert done.returncode == 0, done.stderr
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index.by(agent)


def command_of(form: str, site: Site, library: pathlib.Path) -> list[str]:
    """The command of the first step of the train pipeline in a form, or of a component alone.

    library: where the step writes the artifact of that name.
    """
    if form == "component":
        return component_for("train", site).component_spec.implementation.container.command
    package = "tiny==1.0" if form == "package" else ""
    spec = pipeline.train_pipeline(Target(package=package, site=site)).pipeline_spec
    command = list(spec.deployment_spec["executors"]["exec-ingest"]["container"]["command"])
    return command[:5] if package else [*command[:-1], str(library)]


@pytest.mark.parametrize("form", ["embedded", "package", "component"])
def test_a_compiled_step_asks_nothing_but_its_index(
    tmp_path, index, other_index, form, monkeypatch
):
    # An index of the tests has one package: it stands for those of each step.
    monkeypatch.setattr("kfp_mnist_mxnet.compiler.step.step_pins", lambda *_: ["tiny==1.0"])
    command = command_of(form, Site(Base(index=f"http://{index.url}")), tmp_path / "library")
    executor = [] if form == "package" else ["--executor_input", "{}"]
    done = start(tmp_path, [*command, *executor], PIP_EXTRA_INDEX_URL=f"http://{other_index.url}")
    if form == "package":
        assert done.returncode == 0, done.stderr
    else:  # kfp's executor, which has started, takes this for its error
        assert "arguments are required: --function_to_execute" in done.stderr
    assert "/simple/tiny/tiny-1.0-py3-none-any.whl" in index.by("pip")
    assert other_index.asked == []


def test_a_step_does_not_start_without_its_packages(tmp_path, index):
    install = install_command(["tiny==2.0"])
    done = start(tmp_path, install, PIP_INDEX_URL=f"http://{index.url}")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "tiny==2.0" in done.stderr
