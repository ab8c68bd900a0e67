"""A server on loopback that has files over HTTP and S3, and does the faults that it is told."""

import hashlib
import http.server
import pathlib
import threading
import urllib.parse
from collections.abc import Iterator

import pytest
from s3_server import CONTENT

SENT = {"short": 2, "change": 2, "stall": 3}  # of a file: a half, a half, a third
CODES = {"403": "AccessDenied", "412": "PreconditionFailed", "429": "SlowDown"}


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a directory, or one content under every path.

    faults: of the next requests, "" for none. silent: no answer; reset: the connection is closed;
    short: after a half of the file, too; stall: nothing comes after a third; change: short, and
    from then on the file is another; elsewhere: another part than the one asked for; html: a page;
    loop: a redirect to itself; a status: as S3 says it. page: what is sent for a missing file, with
    the status 200. ranges: whether a part can be asked for.
    """

    daemon_threads = True

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.directory = directory
        self.content: bytes | None = None  # under every path, instead of the files
        self.faults: list[str] = []
        self.page: bytes | None = None
        self.requests: list[Handler] = []
        self.ranges = True
        self.stop = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def read(self, path: str) -> bytes | None:
        """What is there under a path, or under a whole URL, which a proxy is asked for."""
        if self.content is not None:
            return self.content
        name = urllib.parse.unquote(urllib.parse.urlsplit(path).path).lstrip("/")
        file = self.directory / name
        return file.read_bytes() if file.is_file() else None

    def handle_error(self, request, address) -> None:
        """A connection that breaks off is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_PUT(self) -> None:
        """Store the content."""
        self.server.content = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer_unless_faulty(b"")

    def do_GET(self) -> None:
        """Give a file, or a part of it."""
        self.answer_unless_faulty(self.server.read(self.path))

    def answer_unless_faulty(self, content: bytes | None) -> None:
        server = self.server
        server.requests.append(self)
        fault = server.faults.pop(0) if server.faults else ""
        self.close_connection = True
        if fault == "silent":
            server.stop.wait(5)
        elif fault == "reset":
            self.connection.close()
        elif fault == "html":
            self.answer(200, b"<!DOCTYPE html><p>Moved</p>")
        elif fault == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif fault.isdigit():
            self.refuse(int(fault))
        elif content is None:
            self.answer(404 if server.page is None else 200, server.page or b"")
        else:
            self.give(content, fault)

    def give(self, content: bytes, fault: str) -> None:
        """Send a file from where it is asked for, if it is the one that is meant."""
        server, tag = self.server, self.tag(content)
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        if not server.ranges or self.headers.get("If-Range", tag) != tag:
            start = 0
        if self.headers.get("If-Match", tag) != tag:
            self.refuse(412)
            return
        start = 5 if fault == "elsewhere" else start
        self.answer(206 if start else 200, content, start, SENT.get(fault, 1))
        if fault == "stall":
            server.stop.wait(5)
        elif fault == "change":
            server.content = content[::-1]

    def refuse(self, status: int) -> None:
        """Answer with a status, in the words of S3."""
        code = CODES.get(str(status), "InternalError")
        error = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
        self.answer(status, error.encode(), kind="application/xml")

    def tag(self, content: bytes) -> str:
        return f'"{hashlib.sha256(content).hexdigest()}"'

    def answer(
        self,
        status: int,
        content: bytes,
        start: int = 0,
        parts: int = 1,
        kind: str = "binary/octet-stream",
    ) -> None:
        """Send the first of so many parts of a content from a start on."""
        rest = content[start:]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("Connection", "close")  # as it does: else a client may use it again
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.ranges:
            self.send_header("ETag", self.tag(content))
        self.end_headers()
        self.wfile.write(rest[: len(rest) // parts])

    def log_message(self, *_) -> None:
        """Be quiet."""


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    """A server of a directory with one file, `file`."""
    directory = tmp_path / "served"
    directory.mkdir()
    (directory / "file").write_bytes(CONTENT)
    with Server(directory) as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield started
        started.stop.set()
        started.shutdown()
        thread.join()
