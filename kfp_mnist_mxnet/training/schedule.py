"""The learning rate over time."""

from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters


def learning_rate_at(update: int, updates: int, chosen: Hyperparameters) -> float:
    """Return the learning rate of one of `updates` updates, counted from 0.

    one_cycle: it rises in a line over the first fifth and falls in a line towards zero. Source:
    Smith and Topin, "Super-Convergence", https://arxiv.org/abs/1708.07120.
    """
    if chosen.schedule == "constant":
        return chosen.learning_rate
    share = (update + 1) / (updates + 1)
    return chosen.learning_rate * min(share / 0.2, (1 - share) / 0.8)
