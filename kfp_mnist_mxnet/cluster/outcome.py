"""Why a process failed that a step has started elsewhere."""

import contextlib
import json
import logging
import os
import pathlib
import sys
from collections.abc import Iterator

from kfp_mnist_mxnet import errors
from kfp_mnist_mxnet.errors import NodeLost

LONGEST = 2000  # bytes of a message: Kubernetes keeps 4,096, JSON may write one as two


@contextlib.contextmanager
def told_why(who: str) -> Iterator[None]:
    """End the process with 1 if the block fails, after writing why to the file ERROR_FILE.

    At once, as an orderly end of MXNet's waits for other nodes. who: fails, for the log.
    """
    try:
        yield
    except Exception as error:
        message = str(error).encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore")
        said = {"type": type(error).__name__, "message": message}
        try:
            text = json.dumps(said, ensure_ascii=False)
            pathlib.Path(os.environ["ERROR_FILE"]).write_text(text, encoding="utf-8")
        finally:
            logging.exception("%s failed", who)
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1)


def node_error(text: str, fallback: str) -> Exception:
    """Return the error that a process wrote, or a loss of it.

    text: JSON of type and message, or something else; fallback: what is said of the loss.
    """
    with contextlib.suppress(ValueError, TypeError, KeyError):
        said = json.loads(text)
        kind = getattr(errors, said["type"], RuntimeError)
        return kind(said["message"])
    return NodeLost(fallback)
