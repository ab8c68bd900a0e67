"""model_uri, which names a directory on this machine and an object store's prefix on a cluster."""

from typing import Any

import click

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.info import read_whole


def check_model_here(parameters: dict[str, Any]) -> None:
    """Check that the model of a run on this machine, if it has one, is whole.

    parameters: from local_parameters, which has found its directory.

    Raises:
        click.UsageError: it is no model, or is damaged.
    """
    if "model_uri" not in parameters:
        return
    try:
        read_whole(parameters["model_uri"])
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None


def check_model_there(parameters: dict[str, Any]) -> None:
    """Check that the model of a run on a cluster, if it has one, has an address there.

    Raises:
        click.UsageError: it is a path or empty.
    """
    if "model_uri" not in parameters:
        return
    uri = parameters["model_uri"]
    if "://" not in uri or uri.startswith("file://"):
        raise click.UsageError(
            "model_uri must be the address of a model in an object store, such as "
            f"s3://bucket/model, got {uri!r}: the steps do not see this machine"
        )
