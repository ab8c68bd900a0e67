"""How long to train: as told, or as long as the validation accuracy says that it pays.

Then training goes in rounds. In each the learning rate rises and falls to 0, so that a round ends
with a network that is ready for use, and each round is twice as long as the one before: warm
restarts, Loshchilov and Hutter, https://arxiv.org/abs/1608.03983.
"""

import dataclasses
from collections.abc import Sequence

from kfp_mnist_mxnet.training.history import Epoch

FIRST_IMAGES = 100_000  # that the first round sees, the same image often where there are few
FIRST_EPOCHS = 20  # of the first round at most
ROUNDS = 4  # at most, so 15 times the epochs of the first
SMALL_ERROR = 0.0125  # more training at best halves an error, so that it gains 0.6 points
SMALL_GAIN = 0.0025  # of accuracy from one round to the next


@dataclasses.dataclass(frozen=True)
class Plan:
    """The epochs of each round that a training may have, counted from 0 over all rounds.

    end: why it ends after the last of them.
    """

    rounds: list[range]
    end: str


def plan_rounds(epochs: int, num_images: int, num_validation: int) -> Plan:
    """Return the rounds that a training may have.

    epochs: how many exactly, in one round; 0 leaves it to reason_to_stop. num_images: to train on;
    num_validation: that are scored.
    """
    if epochs:
        return Plan([range(epochs)], "as many epochs as were asked for")
    first = min(FIRST_EPOCHS, -(-FIRST_IMAGES // num_images))
    most = first * (2**ROUNDS - 1)
    end = f"{most} epochs are the most without being asked for more"
    if 0 < num_validation * SMALL_GAIN < 1:
        # They show no small gain, and one long round ends better than the last of several.
        few = f"{num_validation} validation images are too few to end it earlier"
        return Plan([range(most)], f"{few}, and {end}")
    return Plan([range(first * (2**i - 1), first * (2 ** (i + 1) - 1)) for i in range(ROUNDS)], end)


def reason_to_stop(plan: Plan, history: Sequence[Epoch], num_validation: int) -> str:
    """Return why training ends here, at the end of a round; an empty text where it goes on.

    history: so far. num_validation: images that are scored.
    """
    done = sum(part.stop <= len(history) for part in plan.rounds)
    if done == len(plan.rounds):
        return plan.end
    if not num_validation:
        return "no validation images say whether more epochs would pay"
    scores = [history[part.stop - 1].validation_accuracy or 0.0 for part in plan.rounds[:done]]
    wrong = round((1 - scores[-1]) * num_validation)
    # Two mistakes more are counted, as few images may all be right by chance: Agresti and Coull,
    # "Approximate Is Better than Exact", The American Statistician 52 (1998).
    if (wrong + 2) / (num_validation + 4) <= SMALL_ERROR:
        return f"only {wrong:,} of {num_validation:,} validation images are wrong"
    if done > 1 and scores[-1] - scores[-2] < SMALL_GAIN:
        return (
            f"the last {len(plan.rounds[done - 1])} epochs changed the validation accuracy "
            f"by {100 * (scores[-1] - scores[-2]):+.2f} points, less than {100 * SMALL_GAIN:g}"
        )
    return ""
