"""Upload a pipeline to Kubeflow Pipelines, start or schedule a run of it."""

import contextlib
import datetime
import functools
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import click
import kfp
import kfp_server_api

from kfp_mnist_mxnet.cli.cluster.client import NotTheApi, address, brief, kind_of
from kfp_mnist_mxnet.compiler.target import write_yaml

CONFLICT = 409  # another request has made it


def submit(
    client: kfp.Client,
    host: str,
    pipeline: Any,
    parameters: dict[str, Any],
    experiment: str,
    cron: str = "",
    namespace: str | None = None,
) -> str:
    """Upload a pipeline and start a run of it, or schedule runs; return the id of what was made.

    cron: six fields, the first of them seconds, as the back end reads them.

    Raises:
        NotTheApi: an answer is not that of the API.
    """
    with contextlib.redirect_stdout(None):  # kfp prints links of its own
        pipeline_id, version_id = upload(client, host, pipeline, namespace)
        make = functools.partial(client.create_experiment, experiment, namespace=namespace)
        found = find_or_create(make, make)  # kfp looks for it itself
        experiment_id = id_of(client, host, found, "experiment_id")
        name = f"{pipeline.name} {datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
        what = {"params": parameters, "pipeline_id": pipeline_id, "version_id": version_id}
        if cron:
            schedule = client.create_recurring_run(
                experiment_id, name, cron_expression=cron, **what
            )
            made, link = id_of(client, host, schedule, "recurring_run_id"), "recurringrun"
        else:
            run = client.run_pipeline(experiment_id, name, **what)
            made, link = id_of(client, host, run, "run_id"), "runs"
    click.echo(f"{'schedule' if cron else 'run'}  {address(host, made, link)}")
    return made


def id_of(client: kfp.Client, host: str, answer: Any, name: str) -> str:
    """Return the id in the client's last answer, of which kfp has made an object.

    Raises:
        NotTheApi: it has none, as where kfp has made the object of a web page or of `{}`.
    """
    value = getattr(answer, name, None)
    if value and isinstance(value, str):
        return value
    body = client._run_api.api_client.last_response.data
    is_object = brief(body).startswith("{")
    raise NotTheApi(host, f"without {name}" if is_object else kind_of(body))


def upload(client: kfp.Client, host: str, pipeline: Any, namespace: str | None) -> tuple[str, str]:
    """Upload a pipeline unless the back end has this version; return pipeline and version id.

    A version is named by the SHA-256 of its YAML, so that one YAML is one version. The pipeline
    is made empty, as kfp's upload of a new one would add a version of the pipeline's name.

    Raises:
        NotTheApi: an answer is not that of the API.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "pipeline.yaml")
        write_yaml(pipeline, path)
        version = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        new = kfp_server_api.V2beta1Pipeline(
            display_name=pipeline.name, description=pipeline.description, namespace=namespace
        )
        found = find_or_create(
            functools.partial(find_pipeline, client, pipeline.name, namespace),
            functools.partial(client._pipelines_api.pipeline_service_create_pipeline, new),
        )
        pipeline_id = id_of(client, host, found, "pipeline_id")
        found = find_or_create(
            functools.partial(find_version, client, pipeline_id, version),
            functools.partial(
                client.upload_pipeline_version, str(path), version, pipeline_id=pipeline_id
            ),
        )
        return pipeline_id, id_of(client, host, found, "pipeline_version_id")


def find_pipeline(client: kfp.Client, name: str, namespace: str | None) -> Any:
    """Return the pipeline of a name, None if there is none."""
    found = client.list_pipelines(filter=named(name), namespace=namespace).pipelines
    return found[0] if found else None


def find_version(client: kfp.Client, pipeline_id: str, name: str) -> Any:
    """Return the version of a pipeline that has a name, None if there is none."""
    found = client.list_pipeline_versions(pipeline_id, filter=named(name)).pipeline_versions
    return found[0] if found else None


def find_or_create(find: Callable[[], Any], make: Callable[[], Any]) -> Any:
    """Return what is found, or else made; found again if another submit makes it meanwhile.

    Raises:
        kfp_server_api.ApiException: the host answers with an error.
    """
    try:
        return find() or make()
    except kfp_server_api.ApiException as error:
        if error.status != CONFLICT:
            raise
        return find() or make()


def named(display_name: str) -> str:
    """Return the filter of the API for what has a display name."""
    same = {"operation": "EQUALS", "key": "display_name", "stringValue": display_name}
    return json.dumps({"predicates": [same]})
