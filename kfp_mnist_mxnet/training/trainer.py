"""The training loop: epochs, schedule, scores."""

import collections
import logging
import time
from collections.abc import Callable, Iterator

import numpy as np

from kfp_mnist_mxnet.data.dataset import Split
from kfp_mnist_mxnet.errors import Diverged, NotFinite
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.model.module import bind_module
from kfp_mnist_mxnet.model.network import build_network
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training.batches import batches_together, training_batches
from kfp_mnist_mxnet.training.checkpoint import Checkpoint, Identity, restore_states
from kfp_mnist_mxnet.training.duration import plan_rounds, reason_to_stop
from kfp_mnist_mxnet.training.history import Epoch
from kfp_mnist_mxnet.training.module import TrainingModule
from kfp_mnist_mxnet.training.schedule import learning_rate_at
from kfp_mnist_mxnet.training.scoring import cross_entropies, score
from kfp_mnist_mxnet.training.trainable import check_trainable

LINES = 10  # of the log, in an epoch of a round of at most as many epochs; else one


class Trainer:
    """Trains a network epoch after epoch, from its first parameters or from a checkpoint.

    training, validation: what it learns from, and what is scored after each epoch (may be empty).
    chosen: adapted to the data. contexts: share each batch.

    Raises:
        InvalidInput: the network can't be trained on such images, or not be loaded afterwards.
    """

    def __init__(
        self,
        training: Split,
        validation: Split,
        chosen: Hyperparameters,
        seed: int,
        contexts: list[mx.Context],
    ) -> None:
        self.training, self.validation = training, validation
        self.chosen, self.seed, self.contexts = chosen, seed, contexts
        self.network = build_network(chosen)
        image_shape, num_classes = training.image_shape, training.info.num_classes
        check_trainable(self.network, chosen, image_shape, num_classes)
        self.module = self.bound_module()
        self.batches = -(-len(training.images) // chosen.batch_size)  # of an epoch
        self.plan = plan_rounds(chosen.epochs, len(training.images), len(validation.images))
        self.history: list[Epoch] = []
        self.stop_reason = ""  # why training ended

    @property
    def num_contexts(self) -> int:
        """How many contexts share a batch."""
        return len(self.contexts)

    @property
    def part(self) -> slice:
        """The part of each batch that is trained on here: all of it."""
        return slice(0, self.chosen.batch_size)

    @property
    def module_class(self) -> Callable[..., TrainingModule]:
        """What makes the Module that trains."""
        return TrainingModule

    @property
    def identity(self) -> Identity:
        """What a checkpoint must belong to for this training to go on from it."""
        return {
            **self.chosen.to_dict(),
            "seed": self.seed,
            "devices": self.num_contexts,
            "training images": len(self.training.images),
            "their sha256": self.training.info.sha256,
            "validation images": len(self.validation.images),
            "validation sha256": self.validation.info.sha256,
        }

    def bound_module(self) -> TrainingModule:
        """Return a Module bound for training, with its first parameters."""
        dtype = "float32" if self.chosen.augmentation else "uint8"
        shape = [self.part.stop - self.part.start, *self.training.images.shape[1:]]
        module = bind_module(
            self.network,
            shape,
            for_training=True,
            contexts=self.contexts,
            dtype=dtype,
            module_class=self.module_class,
        )
        mx.random.seed(self.seed)
        uniform = self.chosen.initializer == "uniform"
        module.init_params(mx.init.Uniform(0.01) if uniform else mx.init.MSRAPrelu(slope=0))
        return module

    def fit(self, checkpoint: Checkpoint | None = None) -> None:
        """Train round after round; with a checkpoint go on from it, and save each epoch in it.

        Raises:
            Diverged: the loss, a parameter or an output became NaN or infinite.
            InvalidInput: the checkpoint is damaged or belongs to a different training run.
        """
        self.resume(checkpoint)
        for epochs in self.plan.rounds:
            while len(self.history) < epochs.stop:
                self.history.append(self.train_and_score())
                if checkpoint:
                    self.save(checkpoint)
            so_far = self.history[: epochs.stop]
            self.stop_reason = reason_to_stop(self.plan, so_far, len(self.validation.images))
            if self.agreed(bool(self.stop_reason)):
                break
        logging.info("Training ends after epoch %d: %s", len(self.history), self.stop_reason)

    def agreed(self, stop: bool) -> bool:
        """Return whether training stops; stop: by the scores that were found here."""
        return stop

    def save(self, checkpoint: Checkpoint) -> None:
        """Save the training after an epoch."""
        checkpoint.save(self.module, self.identity, self.history)

    def round_of(self, epoch: int) -> range:
        """Return the epochs of the round that an epoch is in."""
        return next(epochs for epochs in self.plan.rounds if epoch in epochs)

    def train_and_score(self) -> Epoch:
        """Train for the next epoch, score the validation images, and log both.

        Raises:
            Diverged: the loss, a parameter or an output became NaN or infinite.
        """
        epoch = self.train_epoch()
        number = len(self.history)
        self.check_parameters(number)
        logging.info("Epoch[%d] Train-accuracy=%f", number, epoch.train_accuracy)
        logging.info("Epoch[%d] Time cost=%.3f", number, epoch.seconds)
        if len(self.validation.images):
            images, labels, _ = self.validation
            try:
                scores = score(self.module, images, labels)
            except NotFinite as error:
                raise self.diverged("an output of the network", "NaN", number) from error
            epoch.validation_accuracy, epoch.validation_loss = scores
            logging.info("Epoch[%d] Validation-accuracy=%f", number, epoch.validation_accuracy)
        return epoch

    def resume(self, checkpoint: Checkpoint | None) -> None:
        """Start the optimizer, where the checkpoint ends if there is one.

        Raises:
            InvalidInput: the checkpoint is damaged or belongs to a different training run.
        """
        progress = checkpoint.load(self.identity) if checkpoint else None
        if checkpoint and progress:
            self.history = progress.history
            logging.info("Resuming after epoch %d of %s", len(self.history), checkpoint.name)
            checkpoint.restore_parameters(self.module, progress.arrays)
        self.start_optimizer()
        if checkpoint and progress:
            restore_states(self.module, progress.arrays)

    def learning_rate_at(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0 over all epochs."""
        epochs = self.round_of(update // self.batches)
        update -= epochs.start * self.batches
        return learning_rate_at(update, len(epochs) * self.batches, self.chosen)

    def start_optimizer(self) -> None:
        """Give the Module its optimizer, which goes on after the epochs in the history."""
        chosen = self.chosen

        def schedule(update: int) -> float:  # the optimizer counts from 1
            return self.learning_rate_at(update - 1)

        schedule.base_lr = chosen.learning_rate  # type: ignore[attr-defined] # MXNet compares it
        settings = {
            "learning_rate": chosen.learning_rate,
            "lr_scheduler": schedule,
            "wd": chosen.weight_decay,
            "rescale_grad": 1 / chosen.batch_size,
            "begin_num_update": len(self.history) * self.batches,
        }
        if chosen.optimizer != "adam":
            settings["momentum"] = chosen.momentum
        self.module.start_optimizer(chosen.optimizer, settings)

    def train_epoch(self) -> Epoch:
        """Train for the next epoch, log as the tutorial does, and return what happened.

        Raises:
            Diverged: the loss became NaN or infinite.
        """
        epoch = len(self.history)
        # Contexts start an epoch alike, as after a restart: each has moving averages of its own.
        self.module.set_params(*self.module.get_params())
        # Dropout draws from MXNet's generator, whose state can't be saved: it starts anew.
        mx.random.seed(self.dropout_seed(epoch))
        # Batches that one line of the log covers.
        many = len(self.round_of(epoch)) > LINES
        line = self.batches if many else max(1, self.batches // LINES)
        sizes, losses, hits = np.zeros((3, self.batches))
        curve = []
        started = line_started = time.perf_counter()
        for batch, (probabilities, labels) in enumerate(self.outputs(epoch)):
            sizes[batch] = len(labels)
            hits[batch] = (probabilities.argmax(1) == labels).mean()
            losses[batch] = cross_entropies(probabilities, labels).mean()
            self.check_loss(losses[batch], epoch, batch)
            if (batch + 1) % line == 0:
                now = time.perf_counter()
                part = slice(batch + 1 - line, batch + 1)
                loss, accuracy = float(losses[part].mean()), float(hits[part].mean())
                self.log_line(epoch, part, accuracy, now - line_started)
                line_started = now
                updates = epoch * self.batches + part.stop
                rate = self.learning_rate_at(updates - 1)
                curve.append([updates / self.batches, loss, accuracy, rate])
        mx.nd.waitall()
        seconds = time.perf_counter() - started
        return Epoch(
            train_accuracy=float(np.average(hits, weights=sizes)),
            train_loss=float(np.average(losses, weights=sizes)),
            seconds=seconds,
            samples_per_second=len(self.training.images) / seconds,
            curve=curve,
        )

    def dropout_seed(self, epoch: int) -> int:
        """Return the seed of what an epoch drops out."""
        return (self.seed + epoch * 1_000_003) % 2**31

    def outputs(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Train for one epoch; yield what the network said of each batch, and the true labels.

        Yields probabilities, float32 (n, classes), and labels, uint8 (n,), n the batch size, but
        for the last batch what was left. They come some batches late, while MXNet's own threads
        work on the next ones, and several at a time, as each reading disturbs these threads.
        """
        together = batches_together(self.training.images, self.chosen.batch_size)
        pending: collections.deque[tuple[mx.nd.NDArray, np.ndarray]] = collections.deque()
        first = self.contexts[0]
        # On the CPU images are warped by a thread of its own.
        warping = first if first.device_type == "gpu" else mx.cpu(self.num_contexts)
        for batch in training_batches(
            self.training, self.chosen, self.seed, epoch, warping, self.part
        ):
            labels = mx.nd.from_numpy(batch.labels[self.part].astype(np.float32))
            self.module.forward_backward(mx.io.DataBatch([batch.data], [labels]))
            self.module.update()
            pending.append((self.module.get_outputs()[0].copy(), batch.labels[: batch.new]))
            if len(pending) == 2 * together:
                for _ in range(together):
                    output, true = pending.popleft()
                    yield output.asnumpy()[: len(true)], true
        for output, true in pending:
            yield output.asnumpy()[: len(true)], true

    def check_loss(self, loss: float, epoch: int, batch: int) -> None:
        """Check the loss of a batch.

        Raises:
            Diverged: it is NaN or infinite.
        """
        if not np.isfinite(loss):
            raise self.diverged("the loss", str(loss), epoch, f", batch {batch}")

    def check_parameters(self, epoch: int) -> None:
        """Check the parameters, moving averages among them, after an epoch.

        Raises:
            Diverged: one is NaN or infinite, as it can be while the loss is finite.
        """
        for parameters in self.module.get_params():
            for name, array in parameters.items():
                values = array.asnumpy()
                if not np.isfinite(values).all():
                    worst = "NaN" if np.isnan(values).any() else "infinite"
                    raise self.diverged(f"the parameter {name}", worst, epoch)

    def diverged(self, what: str, value: str, epoch: int, batch: str = "") -> Diverged:
        """Return the error that ends training; what: became NaN or infinite."""
        return Diverged(
            f"{what} became {value} in epoch {epoch + 1}{batch}: lower learning_rate, which is "
            f"{self.chosen.learning_rate}, or raise batch_size, which is {self.chosen.batch_size}"
        )

    def log_line(self, epoch: int, part: slice, accuracy: float, seconds: float) -> None:
        """Log what the tutorial logs of a part of an epoch's batches, and the time left.

        seconds: what the part took.
        """
        number = part.stop - part.start
        left = self.round_of(epoch).stop * self.batches - (epoch * self.batches + part.stop)
        logging.info(
            "Epoch[%d] Batch [%d-%d]\tSpeed: %.2f samples/sec\taccuracy=%f\t%.0f s left",
            epoch,
            part.start,
            part.stop,
            number * self.chosen.batch_size / seconds,
            accuracy,
            left * seconds / number,
        )

    def metrics(self) -> dict[str, float]:
        """Return the metrics: the last epoch's scores, number of epochs, speed, time and size."""
        last = self.history[-1].to_json()
        del last["curve"]
        seconds = sum(epoch.seconds for epoch in self.history)
        samples = sum(epoch.samples_per_second * epoch.seconds for epoch in self.history)
        last["seconds"], last["samples_per_second"] = seconds, samples / seconds
        arguments, _ = self.module.get_params()
        parameters = sum(array.size for array in arguments.values())
        return {**last, "epochs": len(self.history), "parameters": parameters}

    def first_filters(self) -> np.ndarray | None:
        """Return the weights of the first convolution, float32 (F, C, H, W), None without one."""
        weights = self.module.get_params()[0].get("conv0_weight")
        return None if weights is None else weights.asnumpy()
