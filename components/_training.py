"""The training loop and what it needs: checked hyperparameters, a schedule, a report."""

from typing import Any

from components._model import bind_module, predict_probabilities
from components._report import figure_svg, new_figure, section, write_report


def recipe_hyperparameters(recipe: str) -> dict[str, Any]:
    """Return every hyperparameter of a named recipe.

    Raises:
        ValueError: there is no such recipe.
    """
    recipes = {
        "default": {
            "epochs": 1,
            "batch_size": 100,
            "learning_rate": 0.05,
            "activation": "relu",
            "kernels": [5, 5],
            "filters": [16, 48],
            "hidden_units": [512, -1],
        },
    }
    if recipe not in recipes:
        raise ValueError(f"recipe must be one of {', '.join(recipes)}, got {recipe!r}")
    return recipes[recipe]


def choose_hyperparameters(recipe: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's hyperparameters with those that are given in their place, checked.

    given: name to value, where -1, an empty text or an empty list stands for the recipe's.

    Raises:
        ValueError: a value is out of range, unknown, or lists do not fit each other.
    """
    import math

    chosen = dict(recipe_hyperparameters(recipe))
    chosen.update({name: value for name, value in given.items() if value not in (-1, "", [])})
    for name in ("epochs", "batch_size"):
        if chosen[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {chosen[name]}")
    rate = chosen["learning_rate"]
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate must be a positive number, got {rate}")
    activations = ("relu", "sigmoid", "softrelu", "softsign", "tanh")
    if chosen["activation"] not in activations:
        raise ValueError(
            f"activation must be one of {', '.join(activations)}, got {chosen['activation']!r}"
        )
    if len(chosen["kernels"]) != len(chosen["filters"]):
        raise ValueError(
            "kernels and filters must have one entry for each convolution, "
            f"got {chosen['kernels']} and {chosen['filters']}"
        )
    for name in ("kernels", "filters", "hidden_units"):
        # kfp hands lists of whole numbers over as lists of floats.
        whole = [int(size) if size == int(size) else 0 for size in chosen[name]]
        inferred = name == "hidden_units" and whole[-1:] == [-1]
        if any(size < 1 for size in (whole[:-1] if inferred else whole)):
            raise ValueError(f"{name} must be positive whole numbers, got {chosen[name]}")
        chosen[name] = whole
    return chosen


def check_network_fits(chosen: dict[str, Any], about: dict[str, Any]) -> None:
    """Check the hyperparameters against a data set (the content of its dataset.json).

    Raises:
        ValueError: the image is too small for the convolutions, the last dense layer is not as
            wide as there are classes, or there are fewer images than a batch has.
    """
    _, *size = about["image_shape"]
    for i, kernel in enumerate(chosen["kernels"]):
        if min(size) - kernel + 1 < 2:
            raise ValueError(
                f"kernels[{i}] is {kernel}, but {size[0]} x {size[1]} pixels are left of the image "
                "there, and convolution and pooling must leave at least one"
            )
        size = [(n - kernel + 1) // 2 for n in size]
    if chosen["hidden_units"][-1] not in (-1, about["num_classes"]):
        raise ValueError(
            f"the last of hidden_units is {chosen['hidden_units'][-1]}, expected "
            f"{about['num_classes']}, the number of classes, or -1, which stands for it"
        )
    if chosen["batch_size"] > about["num_images"]:
        raise ValueError(
            f"batch_size is {chosen['batch_size']}, but there are only {about['num_images']} "
            "training images"
        )


def one_cycle(peak: float, update: int, updates: int) -> float:
    """Return the learning rate of one of `updates` updates, counted from 0.

    It rises in a line over the first fifth and falls in a line towards zero. Source: Smith and
    Topin, "Super-Convergence", https://arxiv.org/abs/1708.07120.
    """
    done = (update + 1) / (updates + 1)
    return peak * min(done / 0.2, (1 - done) / 0.8)


def fit(
    module: Any,
    images: Any,
    labels: Any,
    validation: Any,
    chosen: dict[str, Any],
    seed: int,
) -> list[dict[str, float]]:
    """Train a bound Module, log as the tutorial does, and return one record for each epoch.

    images: uint8 (N, C, H, W); labels: uint8 (N,); validation: such a pair, N may be 0.
    Each epoch sees every image in an order of its own; the last batch is filled up from the
    start of that order. A record has train_accuracy, train_loss, seconds, samples_per_second
    and, with validation images, validation_accuracy.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
    """
    import logging
    import time

    import mxnet as mx
    import numpy as np

    batch_size, epochs = chosen["batch_size"], chosen["epochs"]
    batches = -(-len(images) // batch_size)
    optimizer = mx.optimizer.NAG(momentum=0.9, wd=1e-4, rescale_grad=1 / batch_size)
    module.init_optimizer(
        kvstore="device" if len(module._context) > 1 else None, optimizer=optimizer
    )
    # Scoring with the module that trains would let oneDNN reorder its weights at a moment that
    # differs from run to run, and the sums of the next updates with it.
    scorer = bind_module(module.symbol, [1000, *images.shape[1:]], for_training=False)
    generator = np.random.Generator(np.random.PCG64(seed))
    line = max(1, batches // 10)  # batches that one line of the log covers
    history = []
    for epoch in range(epochs):
        order = np.resize(generator.permutation(len(images)), batches * batch_size)
        started = line_started = time.perf_counter()
        losses, hits = [], []
        for batch in range(batches):
            chosen_images = order[batch * batch_size : (batch + 1) * batch_size]
            label = labels[chosen_images]
            data = mx.nd.array(images[chosen_images], dtype="uint8")
            optimizer.set_learning_rate(
                one_cycle(chosen["learning_rate"], epoch * batches + batch, epochs * batches)
            )
            module.forward_backward(mx.io.DataBatch([data], [mx.nd.array(label)]))
            module.update()
            probabilities = module.get_outputs()[0].asnumpy()
            hits.append(np.mean(probabilities.argmax(1) == label))
            losses.append(-np.log(probabilities[np.arange(batch_size), label] + 1e-12).mean())
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(
                    f"the loss became {losses[-1]} in epoch {epoch}, batch {batch}: "
                    f"lower learning_rate, which is {chosen['learning_rate']}"
                )
            if (batch + 1) % line == 0:
                now = time.perf_counter()
                logging.info(
                    "Epoch[%d] Batch [%d-%d]\tSpeed: %.2f samples/sec\taccuracy=%f",
                    epoch,
                    batch + 1 - line,
                    batch + 1,
                    line * batch_size / (now - line_started),
                    np.mean(hits[-line:]),
                )
                line_started = now
        seconds = time.perf_counter() - started
        record = {
            "train_accuracy": float(np.mean(hits)),
            "train_loss": float(np.mean(losses)),
            "seconds": seconds,
            "samples_per_second": batches * batch_size / seconds,
        }
        logging.info("Epoch[%d] Train-accuracy=%f", epoch, record["train_accuracy"])
        logging.info("Epoch[%d] Time cost=%.3f", epoch, seconds)
        if len(validation[0]):
            scorer.set_params(*module.get_params())
            correct = count_correct(scorer, *validation)
            record["validation_accuracy"] = correct / len(validation[0])
            logging.info("Epoch[%d] Validation-accuracy=%f", epoch, record["validation_accuracy"])
        history.append(record)
    return history


def count_correct(module: Any, images: Any, labels: Any) -> int:
    """Return how many images, uint8 (N, C, H, W), get their own label, uint8 (N,)."""
    start = correct = 0
    for probabilities in predict_probabilities(module, images):
        stop = start + len(probabilities)
        correct += int((probabilities.argmax(1) == labels[start:stop]).sum())
        start = stop
    return correct


def write_training_report(
    path: Any, history: list[dict[str, float]], chosen: dict[str, Any], metrics: dict[str, Any]
) -> None:
    """Write the training report: accuracy and loss of each epoch, and the hyperparameters."""
    epochs = range(1, len(history) + 1)
    curves = new_figure(7, 3)
    accuracy, loss = curves.subplots(1, 2)
    for name in ("train_accuracy", "validation_accuracy"):
        if name in history[0]:
            label = name.partition("_")[0]
            accuracy.plot(epochs, [record[name] for record in history], marker="o", label=label)
    accuracy.set_title("accuracy")
    accuracy.legend(frameon=False)
    loss.plot(epochs, [record["train_loss"] for record in history], marker="o")
    loss.set_title("training loss")
    for axes in (accuracy, loss):
        axes.set_xlabel("epoch")
        axes.set_xticks(list(epochs) if len(history) <= 10 else [1, len(history)])
    write_report(
        path,
        "Training",
        {name.replace("_", " "): f"{value:,.6g}" for name, value in metrics.items()},
        [
            section(
                "Accuracy and loss",
                figure=figure_svg(curves, "Accuracy and loss of each epoch"),
            ),
            section(
                "Hyperparameters",
                head=("name", "value"),
                rows=tuple(chosen.items()),
            ),
        ],
    )
