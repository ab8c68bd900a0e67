"""How long a loop of a pipeline may be."""

from kfp_mnist_mxnet.errors import InvalidInput


def check_iterations(name: str, number: int, most: int) -> None:
    """Check the length of the list that a loop of a pipeline goes through.

    name: of the list, as messages call it; most: that the back end can hold, 0 for any number.

    Raises:
        InvalidInput: Argo could not keep the state of so many tasks, and the run would hang.
    """
    if most and number > most:
        raise InvalidInput(
            f"{name} has {number} entries, but a run of this pipeline can have at most {most} "
            "(Argo keeps 1 MiB of a run): give fewer, or compile the pipeline with an image of "
            "your own, which allows more"
        )
