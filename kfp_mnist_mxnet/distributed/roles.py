"""The processes of a training: `python -m kfp_mnist_mxnet.distributed.roles ROLE`.

node: trains. parameter_server: a scheduler or a server of MXNet, as DMLC_ROLE says. What they need
is imported where it runs: whoever starts them has no MXNet.
"""

import pickle
import sys
from typing import NoReturn

from kfp_mnist_mxnet.cluster.outcome import told_why
from kfp_mnist_mxnet.distributed.watchdog import end_with_parent

MODULE = "kfp_mnist_mxnet.distributed.roles"
NODE = ("python3", "-m", MODULE, "node")
PARAMETER_SERVER = ("-m", MODULE, "parameter_server")


def node() -> None:
    """Train, or end with 1 and a sentence in ERROR_FILE."""
    with told_why("The node"):
        from kfp_mnist_mxnet.distributed.node import main

        main()


def parameter_server() -> None:
    """Serve, which happens inside the import of MXNet and ends with the nodes.

    MXNet's server unpickles what it takes for an optimizer, whoever sends it. Nodes send none.
    """
    pickle.loads = refuse
    import kfp_mnist_mxnet.runtime.engine  # noqa: F401


def refuse(*_: object, **__: object) -> NoReturn:
    """Refuse to unpickle."""
    raise pickle.UnpicklingError("nothing is unpickled here")


if __name__ == "__main__":
    end_with_parent()
    {"node": node, "parameter_server": parameter_server}[sys.argv[1]]()
