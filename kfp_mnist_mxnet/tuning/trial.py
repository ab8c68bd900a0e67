"""A trial of a search: `python -m kfp_mnist_mxnet.tuning.trial`.

It reads from the environment ASSIGNMENT and HYPERPARAMETERS (JSON), TRIAL_NAME, and ERROR_FILE,
where it writes why it fails. It leaves its model in the working store, and its validation accuracy
in its log, where Katib finds it. What trains is imported where it runs: whoever starts trials needs
no MXNet.
"""

import dataclasses
import json
import logging
import os
import pathlib
import tempfile
import types

from kfp_mnist_mxnet.cluster.outcome import told_why
from kfp_mnist_mxnet.data.remote import local_copy
from kfp_mnist_mxnet.model.info import INFO_FILE
from kfp_mnist_mxnet.runtime.log import log_to_stdout
from kfp_mnist_mxnet.storage.archive import pack
from kfp_mnist_mxnet.storage.store import open_store
from kfp_mnist_mxnet.training.assignment import Assignment

PROGRAM = ("python3", "-m", "kfp_mnist_mxnet.tuning.trial")


def main() -> None:
    """Train as the environment says, and end with 1 and a sentence in ERROR_FILE if that fails."""
    log_to_stdout(timed=True)
    assignment = Assignment.from_json(os.environ["ASSIGNMENT"])
    values = json.loads(os.environ["HYPERPARAMETERS"])
    request = dataclasses.replace(assignment.request, trial=values)
    with told_why("The trial"), tempfile.TemporaryDirectory() as directory:
        work(
            dataclasses.replace(assignment, request=request),
            os.environ["TRIAL_NAME"],
            pathlib.Path(directory),
        )


def work(assignment: Assignment, name: str, directory: pathlib.Path) -> None:
    """Fetch the data, train, hand over the model; name: of the trial."""
    from kfp_mnist_mxnet.training.session import train_and_save

    request = assignment.request
    train = local_copy(assignment.train_data, directory / "train_data", request.s3_endpoint)
    validation = local_copy(
        assignment.validation_data, directory / "validation_data", request.s3_endpoint
    )
    model = types.SimpleNamespace(path=str(directory / "model"))
    report = types.SimpleNamespace(path=str(directory / "training_report.html"))
    trained = train_and_save(request, train, validation, model, report)
    store = open_store(assignment.working_uri, request.s3_endpoint, "the working directory")
    store.write(f"{name}.zip", pack(directory / "model"))
    info = json.loads((directory / "model" / INFO_FILE).read_text(encoding="utf-8"))
    told = {"info": info, "seconds": trained.get("seconds")}
    store.write(f"{name}.json", json.dumps(told).encode())
    if not trained:  # it diverged, which Katib should know for a bad choice
        logging.info("Validation-accuracy=0")


if __name__ == "__main__":
    main()
