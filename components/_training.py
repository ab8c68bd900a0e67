"""The training loop: batches, schedule, epochs, scores."""

from typing import Any

from components._augmentation import warper
from components._checkpoint import check_arrays, pack_progress, restore, unpack_progress
from components._model import advise, bind_module, predict_probabilities


def learning_rate_at(update: int, updates: int, chosen: dict[str, Any]) -> float:
    """Return the learning rate of one of `updates` updates, counted from 0.

    one_cycle: it rises in a line over the first fifth and falls in a line towards zero. Source:
    Smith and Topin, "Super-Convergence", https://arxiv.org/abs/1708.07120.
    """
    if chosen["schedule"] == "constant":
        return chosen["learning_rate"]
    done = (update + 1) / (updates + 1)
    return chosen["learning_rate"] * min(done / 0.2, (1 - done) / 0.8)


def check_validation(images: Any, labels: Any, about: dict[str, Any]) -> None:
    """Check validation images and labels against the training data.

    images: uint8 (N, C, H, W); labels: uint8 (N,); about: image_shape and num_classes.

    Raises:
        ValueError: the images have another shape, or a label is not among the classes.
    """
    if list(images.shape[1:]) != about["image_shape"]:
        raise ValueError(
            f"validation_data has images of shape {list(images.shape[1:])} (C, H, W), "
            f"expected {about['image_shape']} as in train_data"
        )
    if len(labels) and int(labels.max()) >= about["num_classes"]:
        raise ValueError(
            f"validation_data has the label {int(labels.max())}, "
            f"but train_data has only {about['num_classes']} classes"
        )


def prepare_module(
    network: Any, image_shape: list[int], chosen: dict[str, Any], seed: int, where: list[Any]
) -> Any:
    """Return a Module bound for training on the contexts, with its first parameters."""
    import mxnet as mx

    dtype = "float32" if chosen["augmentation"] else "uint8"
    shape = [chosen["batch_size"], *image_shape]
    module = bind_module(network, shape, for_training=True, where=where, dtype=dtype)
    mx.random.seed(seed)
    uniform = chosen["initializer"] == "uniform"
    module.init_params(mx.init.Uniform(0.01) if uniform else mx.init.MSRAPrelu(slope=0))
    return module


def start_optimizer(module: Any, chosen: dict[str, Any], updates: int, done: int) -> None:
    """Give a Module its optimizer, which goes on after `done` of `updates` updates."""
    import os

    def schedule(update: int) -> float:  # the optimizer counts from 1
        return learning_rate_at(update - 1, updates, chosen)

    schedule.base_lr = chosen["learning_rate"]  # type: ignore[attr-defined] # MXNet compares it
    # Each context updates its own copy with the summed gradients, so that the optimizer's state
    # is in the Module's updater whether there is one context or many.
    os.environ["MXNET_UPDATE_ON_KVSTORE"] = "0"
    settings = {
        "learning_rate": chosen["learning_rate"],
        "lr_scheduler": schedule,
        "wd": chosen["weight_decay"],
        "begin_num_update": done,
    }
    if chosen["optimizer"] != "adam":
        settings["momentum"] = chosen["momentum"]
    module.init_optimizer(
        kvstore="device", optimizer=chosen["optimizer"], optimizer_params=settings
    )


def batches_together(images: Any, batch_size: int) -> int:
    """Return how many batches of images, uint8 (N, C, H, W), are made and read at once: 1 MiB.

    Most of the cost of making or reading one batch does not grow with its size.
    """
    return max(1, 2**20 // (batch_size * images[0].size))


def training_batches(
    images: Any, labels: Any, chosen: dict[str, Any], seed: int, epoch: int, where: Any
) -> Any:
    """Yield the batches of one epoch: images (NDArray), labels uint8 (numpy), how many are new.

    images: uint8 (N, C, H, W); labels: uint8 (N,). Each image comes once, in an order that
    seed and epoch alone decide; the last batch is filled up from the start of the order.
    """
    import mxnet as mx
    import numpy as np

    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = generator.permutation(np.arange(len(images), dtype=np.uint32))
    batch_size = chosen["batch_size"]
    advise(images, "RANDOM")
    warp = None
    if chosen["augmentation"]:
        warp = warper(list(images.shape[1:]), chosen["augmentation"], where)
    images_together = batches_together(images, batch_size) * batch_size
    for start in range(0, len(order), images_together):
        picked = order[start : start + images_together]
        missing = -len(picked) % batch_size
        if missing:
            picked = np.concatenate([picked, order[:missing]])
        # Without a copy, as a copy waits for MXNet's threads, which are at the last batch.
        data = warp(images[picked], generator) if warp else mx.nd.from_numpy(images[picked])
        for i in range(0, len(picked), batch_size):
            batch = slice(i, i + batch_size)
            new = min(batch_size, len(order) - start - i)
            yield data[batch], labels[picked[batch]], new
        # A page fault maps 16 pages, so 4096 scattered images may take 256 MiB.
        if start // 4096 != (start + images_together) // 4096:
            advise(images, "DONTNEED")


def training_outputs(
    module: Any, images: Any, labels: Any, chosen: dict[str, Any], seed: int, epoch: int
) -> Any:
    """Train for one epoch and yield what the network said of each batch, and the true labels.

    images: uint8 (N, C, H, W); labels: uint8 (N,). Yields likelihoods, float32 (n, classes),
    and labels, uint8 (n,), n the batch size, but for the last batch what was left. They come
    some batches late, while MXNet's own threads work on the next ones, and several at a time, as
    each reading disturbs these threads.
    """
    import collections

    import mxnet as mx
    import numpy as np

    together = batches_together(images, chosen["batch_size"])
    pending: Any = collections.deque()
    stream = training_batches(images, labels, chosen, seed, epoch, module._context[0])
    for data, label, new in stream:
        labels_of_batch = mx.nd.from_numpy(label.astype(np.float32))
        module.forward_backward(mx.io.DataBatch([data], [labels_of_batch]))
        module.update()
        pending.append((module.get_outputs()[0].copy(), label[:new]))
        if len(pending) == 2 * together:
            for _ in range(together):
                output, label = pending.popleft()
                yield output.asnumpy()[: len(label)], label
    for output, label in pending:
        yield output.asnumpy()[: len(label)], label


def train_epoch(
    module: Any, images: Any, labels: Any, chosen: dict[str, Any], seed: int, epoch: int
) -> dict[str, Any]:
    """Train for one epoch, log as the tutorial does, and return the epoch's record.

    It has train_accuracy, train_loss, seconds, samples_per_second, and curve: for each line of
    the log [epochs done, loss, accuracy, learning rate].

    Raises:
        FloatingPointError: the loss became NaN or infinite.
    """
    import time

    import mxnet as mx
    import numpy as np

    # Dropout draws from MXNet's generator, whose state can't be saved: it starts anew each epoch.
    mx.random.seed((seed + epoch * 1_000_003) % 2**31)
    batches = -(-len(images) // chosen["batch_size"])
    line = max(1, batches // 10)  # batches that one line of the log covers
    sizes, losses, hits = np.zeros((3, batches))
    curve = []
    started = line_started = time.perf_counter()
    outputs = training_outputs(module, images, labels, chosen, seed, epoch)
    for batch, (likelihoods, label) in enumerate(outputs):
        sizes[batch] = len(label)
        hits[batch] = (likelihoods.argmax(1) == label).mean()
        losses[batch] = -np.log(likelihoods[np.arange(len(label)), label] + 1e-12).mean()
        if not np.isfinite(losses[batch]):
            raise FloatingPointError(
                f"the loss became {losses[batch]} in epoch {epoch}, batch {batch}: "
                f"lower learning_rate, which is {chosen['learning_rate']}"
            )
        if (batch + 1) % line == 0:
            now = time.perf_counter()
            part = slice(batch + 1 - line, batch + 1)
            log_line(chosen, epoch, part, batches, float(hits[part].mean()), now - line_started)
            line_started = now
            done = epoch * batches + part.stop
            rate = learning_rate_at(done - 1, chosen["epochs"] * batches, chosen)
            loss, accuracy = float(losses[part].mean()), float(hits[part].mean())
            curve.append([done / batches, loss, accuracy, rate])
    mx.nd.waitall()
    seconds = time.perf_counter() - started
    return {
        "train_accuracy": float(np.average(hits, weights=sizes)),
        "train_loss": float(np.average(losses, weights=sizes)),
        "seconds": seconds,
        "samples_per_second": len(images) / seconds,
        "curve": curve,
    }


def log_line(
    chosen: dict[str, Any], epoch: int, part: slice, batches: int, accuracy: float, seconds: float
) -> None:
    """Log what the tutorial logs of a part of an epoch's batches, and the time left in training.

    seconds: what the part took; batches: of an epoch.
    """
    import logging

    number = part.stop - part.start
    left = chosen["epochs"] * batches - (epoch * batches + part.stop)
    logging.info(
        "Epoch[%d] Batch [%d-%d]\tSpeed: %.2f samples/sec\taccuracy=%f\t%.0f s left",
        epoch,
        part.start,
        part.stop,
        number * chosen["batch_size"] / seconds,
        accuracy,
        left * seconds / number,
    )


def score(module: Any, images: Any, labels: Any) -> float:
    """Return the accuracy of a Module's parameters on images, uint8 (N, C, H, W), N at least 1.

    A new Module for prediction scores each time. The one that trains would have oneDNN reorder
    its weights at a moment that differs from run to run, and the sums of the next updates with
    it; and a Module that has predicted keeps its first weights in MXNet's fused operators,
    whatever set_params gives it.
    """
    shape = [min(1000, len(images)), *images.shape[1:]]
    scorer = bind_module(module.symbol, shape, for_training=False)
    scorer.set_params(*module.get_params())
    correct = 0
    for start in range(0, len(images), 10_000):
        part = slice(start, start + 10_000)
        correct += count_correct(scorer, images[part], labels[part])
        advise(images, "DONTNEED")
    return correct / len(images)


def count_correct(module: Any, images: Any, labels: Any) -> int:
    """Return how many images, uint8 (N, C, H, W), get their own label, uint8 (N,)."""
    start = correct = 0
    for probabilities in predict_probabilities(module, images):
        stop = start + len(probabilities)
        correct += int((probabilities.argmax(1) == labels[start:stop]).sum())
        start = stop
    return correct


def fit(
    module: Any,
    images: Any,
    labels: Any,
    validation: Any,
    chosen: dict[str, Any],
    seed: int,
    checkpoint: Any = None,
    training: Any = None,
) -> list[dict[str, Any]]:
    """Train a bound Module and return one record for each epoch.

    images: uint8 (N, C, H, W); labels: uint8 (N,); validation: such a pair, N may be 0.
    checkpoint: from open_checkpoint; training goes on from it and saves each epoch in it.
    training: what identifies this training in a checkpoint. A record is that of train_epoch
    and, with validation images, validation_accuracy.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
        ValueError: the checkpoint is damaged or of another training.
    """
    import logging

    arrays: Any = None
    history: list[dict[str, Any]] = []
    if checkpoint:
        name, read, write = checkpoint
        content = read()
        if content is not None:
            arrays, history = unpack_progress(content, name, training)
            logging.info("Going on after epoch %d of %s", len(history) - 1, name)
    batches = -(-len(images) // chosen["batch_size"])
    start_optimizer(module, chosen, chosen["epochs"] * batches, len(history) * batches)
    if arrays is not None:
        check_arrays(module, arrays, name)
        restore(module, arrays)
    for epoch in range(len(history), chosen["epochs"]):
        # Contexts start an epoch alike, as after a restart: each has moving averages of its own.
        module.set_params(*module.get_params())
        record = train_epoch(module, images, labels, chosen, seed, epoch)
        logging.info("Epoch[%d] Train-accuracy=%f", epoch, record["train_accuracy"])
        logging.info("Epoch[%d] Time cost=%.3f", epoch, record["seconds"])
        if len(validation[0]):
            record["validation_accuracy"] = score(module, *validation)
            logging.info("Epoch[%d] Validation-accuracy=%f", epoch, record["validation_accuracy"])
        history.append(record)
        if checkpoint:
            try:
                write(pack_progress(module, training, history))
            except (OSError, ValueError) as error:  # training is worth more than its checkpoint
                logging.warning("The checkpoint was not saved: %s", error)
    return history


def summarize(module: Any, history: list[dict[str, Any]]) -> dict[str, float]:
    """Return the metrics of a training: the last epoch's scores, speed, time and size."""
    final = {name: value for name, value in history[-1].items() if name != "curve"}
    final["seconds"] = sum(record["seconds"] for record in history)
    samples = sum(record["samples_per_second"] * record["seconds"] for record in history)
    final["samples_per_second"] = samples / final["seconds"]
    final["parameters"] = sum(array.size for array in module.get_params()[0].values())
    return final


def brief_history(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return of each epoch what the same seed gives again: losses and accuracies, no times."""
    names = ("train_loss", "train_accuracy", "validation_accuracy")
    return [{name: record[name] for name in names if name in record} for record in history]


def first_filters(module: Any) -> Any:
    """Return the weights of the first convolution, float32 (filters, C, H, W), None without one."""
    weights = module.get_params()[0].get("conv0_weight")
    return None if weights is None else weights.asnumpy()
