"""Why a node failed."""

import contextlib
import json

from kfp_mnist_mxnet import errors
from kfp_mnist_mxnet.errors import NodeLost


def node_error(text: str, fallback: str) -> Exception:
    """Return the error that a node wrote, or a loss of it.

    text: JSON of type and message, or something else; fallback: what is said of the loss.
    """
    with contextlib.suppress(ValueError, TypeError, KeyError):
        said = json.loads(text)
        kind = getattr(errors, said["type"], RuntimeError)
        return kind(said["message"])
    return NodeLost(fallback)
