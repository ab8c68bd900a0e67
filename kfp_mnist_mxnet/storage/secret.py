"""Tokens and keys from the environment or a file, before they become part of a request.

`echo TOKEN | base64`, as many make a Kubernetes secret, leaves a line feed at the end. Where a
header has one in it, the error of the libraries shows the whole header.
"""

import os

from kfp_mnist_mxnet.errors import InvalidInput


def checked_secret(name: str, value: str) -> str:
    """Return a token or a key without the white space around it.

    name: what messages call it; they do not show it.

    Raises:
        InvalidInput: it has a character that no header of a request may have.
    """
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise InvalidInput(f"{name} has a line feed or another character in it that no key has")
    return value


def secret_of(*variables: str) -> str:
    """Return the token or key in the first of some environment variables that is set, else "".

    Raises:
        InvalidInput: as for checked_secret.
    """
    found = (checked_secret(name, os.environ.get(name, "")) for name in variables)
    return next(filter(None, found), "")
