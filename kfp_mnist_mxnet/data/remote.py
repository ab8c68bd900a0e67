"""Data sets in an object store, for pods that kfp gives no artifacts."""

import pathlib
from typing import Protocol

from kfp_mnist_mxnet.data.dataset import INFO_FILE
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.address import OBJECT_STORES, Address
from kfp_mnist_mxnet.storage.s3 import s3_client, translate_errors


class Data(Protocol):
    """An artifact of a step, as kfp hands it over."""

    name: str
    path: str
    uri: str


def address_of(data: Data) -> str:
    """Return where another pod finds a data set; an empty text if there is none.

    Raises:
        InvalidInput: it is in a store that other pods don't know.
    """
    if not data.path or Address.parse(data.uri).scheme in OBJECT_STORES:
        return data.uri if data.path else ""
    raise InvalidInput(
        f"other pods read their data from s3:// or minio://, but {data.name} is at {data.uri}: "
        "choose such a pipeline root"
    )


def local_copy(uri: str, directory: pathlib.Path, endpoint: str) -> str:
    """Return where a data set is on this machine, after fetching it if it is in a store.

    Raises:
        InvalidInput, Unavailable: the store refuses it, or does not answer.
    """
    address = Address.parse(uri)
    if address.scheme not in OBJECT_STORES:
        return uri
    client, host = s3_client(endpoint, timeout=60, retries=3)
    for name in ("images.npy", "labels.npy", INFO_FILE):
        with translate_errors(f"{uri}/{name} at {host}"):
            client.fget_object(address.bucket, address.key(name), str(directory / name))
    return str(directory)
