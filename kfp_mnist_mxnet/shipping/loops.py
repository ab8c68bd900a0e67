"""How many iterations of a loop the back end can hold, said before the loop starts.

The compiler knows what an iteration weighs; the step that makes the list knows how long it is. The
number goes from one to the other in the step's environment. On a laptop there is no limit.
"""

import os

from kfp_mnist_mxnet.errors import InvalidInput

MOST = "KFP_MNIST_MXNET_MOST_ITERATIONS"


def check_iterations(name: str, number: int) -> None:
    """Check the length of the list that a loop of the pipeline goes through.

    name: of the list, as messages call it.

    Raises:
        InvalidInput: Argo could not keep the state of so many tasks, and the run would hang.
    """
    most = os.environ.get(MOST)
    if most is not None and number > int(most):
        raise InvalidInput(
            f"{name} has {number} entries, but the back end holds at most {most} of this pipeline "
            "(1 MiB a run): give fewer, or compile the pipeline with an image of your own, which "
            "holds more"
        )
