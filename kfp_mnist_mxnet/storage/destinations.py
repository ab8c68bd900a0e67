"""Addresses of what a run gives something to: an object store, a registry."""

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.address import OBJECT_STORES, Address, refusal


def parse_destination(uri: str) -> Address:
    """Return the address of s3://bucket/prefix or minio://bucket/prefix.

    Raises:
        InvalidInput: it is no such URI.
    """
    address = Address.parse(uri)
    if address.scheme not in OBJECT_STORES or not address.host or "@" in uri:
        raise refusal("destination_uri must be s3://bucket/prefix or minio://", address)
    return address


def parse_server(uri: str, name: str) -> Address:
    """Return the address of an HTTP server that is given as a parameter.

    Raises:
        InvalidInput: it is none, or has what may be a password in it.
    """
    address = Address.parse(uri)
    try:
        address.check_server()
    except InvalidInput as error:
        raise InvalidInput(f"{name} must be http(s)://host:port: {error}") from error
    if address.has_secrets:
        raise InvalidInput(
            f"{name} must have no password and no query, got {address.shown} and more"
        )
    return address
