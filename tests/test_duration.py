import itertools

import pytest

from kfp_mnist_mxnet.model.recipes import choose_hyperparameters
from kfp_mnist_mxnet.training.duration import plan_rounds, reason_to_stop
from kfp_mnist_mxnet.training.history import Epoch


def history(epochs: int, *scores: float | None) -> list[Epoch]:
    """Return epochs of a training whose validation accuracy ends as the scores say."""
    shown = [*itertools.repeat(0.1, epochs - len(scores)), *scores]
    return [Epoch(0.5, 1.0, 1.0, 1.0, [[1.0] * 4], score) for score in shown]


def test_a_number_of_epochs_is_kept_to():
    plan = plan_rounds(7, 54_000, 6000)
    assert plan.rounds == [range(7)]
    assert reason_to_stop(plan, history(7, 0.2), 6000) == "as many epochs as were asked for"


@pytest.mark.parametrize(
    ("num_images", "lengths"),
    [(600_000, [1, 2, 4, 8]), (54_000, [2, 4, 8, 16]), (9_000, [12, 24, 48, 96])]
    + [(n, [20, 40, 80, 160]) for n in (1, 40, 1_800)],
)
@pytest.mark.parametrize("num_validation", [0, 400, 6000])
def test_each_round_is_twice_as_long_as_the_one_before(num_images, lengths, num_validation):
    plan = plan_rounds(0, num_images, num_validation)
    assert [len(part) for part in plan.rounds] == lengths
    assert list(itertools.chain(*plan.rounds)) == list(range(sum(lengths)))


@pytest.mark.parametrize("num_validation", [1, 150, 399])
def test_few_validation_images_end_nothing_early(num_validation):
    plan = plan_rounds(0, 1_350, num_validation)
    assert plan.rounds == [range(300)]
    assert reason_to_stop(plan, history(300, 1.0), num_validation) == (
        f"{num_validation} validation images are too few to end it earlier, and "
        "300 epochs are the most without being asked for more"
    )


@pytest.mark.parametrize(
    ("scores", "images", "stop_reason"),
    [
        ((0.993,), 6000, "only 42 of 6,000 validation images are wrong"),
        ((1.0,), 400, "only 0 of 400 validation images are wrong"),
        ((0.99,), 400, ""),  # as few may be right by chance
        ((0.98,), 6000, ""),
        ((0.98, 0.983), 6000, ""),
        (
            (0.98, 0.9822),
            6000,
            "the last 4 epochs changed the validation accuracy by +0.22 points, less than 0.25",
        ),
        (
            (0.98, 0.97),
            6000,
            "the last 4 epochs changed the validation accuracy by -1.00 points, less than 0.25",
        ),
        ((0.5, 0.6, 0.7), 6000, ""),
        ((0.5, 0.6, 0.7, 0.8), 6000, "30 epochs are the most without being asked for more"),
        ((None,), 0, "no validation images say whether more epochs would pay"),
    ],
)
def test_training_ends_when_the_validation_accuracy_says_so(scores, images, stop_reason):
    plan = plan_rounds(0, 54_000, images)
    so_far: list[Epoch] = []
    for part, score in zip(plan.rounds, scores, strict=False):
        so_far += history(len(part), score)
    assert reason_to_stop(plan, so_far, images) == stop_reason


def test_only_the_default_recipe_leaves_it_open():
    epochs = {name: choose_hyperparameters(name, {}).epochs for name in ("default", "best")}
    assert epochs["default"] == 0 < epochs["best"]
    assert choose_hyperparameters("best", {"epochs": 0}).epochs == 0
