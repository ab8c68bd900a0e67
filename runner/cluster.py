"""Upload a pipeline to Kubeflow Pipelines, start or schedule a run, wait for its end."""

import contextlib
import datetime
import hashlib
import json
import pathlib
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any, Optional

import click
import kfp
import kfp_server_api
import urllib3

from runner.target import write_yaml


@contextlib.contextmanager
def one_sentence(host: str) -> Iterator[None]:
    """Turn what the API or the connection raises into one sentence.

    Raises:
        click.ClickException: the host can't be reached, or refuses what it was asked.
    """
    try:
        yield
    except kfp_server_api.ApiException as error:
        answer = brief(error.body or error.reason)
        raise click.ClickException(f"{host} answered {error.status}: {answer}") from error
    except urllib3.exceptions.HTTPError as error:
        reason = str(getattr(error, "reason", None) or error).rpartition(">: ")[2]
        raise click.ClickException(f"{host} can't be reached: {reason}") from error
    except ValueError as error:  # two pipelines or experiments of one name
        raise click.ClickException(str(error)) from error


def brief(body: Any) -> str:
    """Return the start of an answer on one line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return " ".join(text.split())[:300]


def connect(host: str, token: Optional[str], ca_certs: Optional[str]) -> kfp.Client:
    """Return a client for a host that answers; kfp's own look is five long tries with tracebacks.

    Raises:
        click.ClickException: the host answers with an error.
        urllib3.exceptions.HTTPError: it does not answer.
    """
    http = urllib3.PoolManager(retries=2, timeout=30, ca_certs=ca_certs)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = http.request("GET", f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers)
    if answer.status != 200:
        raise click.ClickException(f"{host} answered {answer.status}: {brief(answer.data)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # says that a back end of v1 is too old
        return kfp.Client(host=host, existing_token=token, ssl_ca_cert=ca_certs)


def submit(
    client: kfp.Client,
    host: str,
    pipeline: Any,
    parameters: dict[str, Any],
    experiment: str,
    cron: str = "",
    namespace: Optional[str] = None,
) -> str:
    """Upload a pipeline and start a run of it, or schedule runs; return the id of what was made.

    cron: six fields, the first of them seconds, as the back end reads them.
    """
    with contextlib.redirect_stdout(None):  # kfp prints links of its own
        pipeline_id, version_id = upload(client, pipeline, namespace)
        experiment_id = client.create_experiment(experiment, namespace=namespace).experiment_id
        name = f"{pipeline.name} {datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
        what = {"params": parameters, "pipeline_id": pipeline_id, "version_id": version_id}
        if cron:
            schedule = client.create_recurring_run(
                experiment_id, name, cron_expression=cron, **what
            )
            made, link = schedule.recurring_run_id, "recurringrun"
        else:
            made, link = client.run_pipeline(experiment_id, name, **what).run_id, "runs"
    click.echo(f"{'schedule' if cron else 'run'}  {host.rstrip('/')}/#/{link}/details/{made}")
    return made


def upload(client: kfp.Client, pipeline: Any, namespace: Optional[str]) -> tuple[str, str]:
    """Upload a pipeline unless the back end has this version; return pipeline and version id.

    A version is named by the SHA-256 of its YAML, so that one YAML is one version.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "pipeline.yaml")
        write_yaml(pipeline, path)
        version = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        pipeline_id = client.get_pipeline_id(pipeline.name)
        if pipeline_id is None:
            pipeline_id = client.upload_pipeline(
                str(path), pipeline.name, pipeline.description, namespace
            ).pipeline_id
        same = {"operation": "EQUALS", "key": "display_name", "stringValue": version}
        found = client.list_pipeline_versions(
            pipeline_id, filter=json.dumps({"predicates": [same]})
        )
        if found.pipeline_versions:
            return pipeline_id, found.pipeline_versions[0].pipeline_version_id
        made = client.upload_pipeline_version(str(path), version, pipeline_id=pipeline_id)
        return pipeline_id, made.pipeline_version_id


def wait(client: kfp.Client, run_id: str, seconds: float) -> bool:
    """Print each change of a run's and its tasks' state until it ends; tell if it succeeded.

    seconds: between two questions. Questions that the connection loses are asked again.
    """
    shown: dict[str, str] = {}
    failures = 0
    while True:
        try:
            run = client.get_run(run_id)
            failures = 0
        except urllib3.exceptions.HTTPError:
            failures += 1
            if failures > 10:
                raise
            time.sleep(seconds)
            continue
        tasks = (run.run_details and run.run_details.task_details) or []
        states = {task.display_name: task.state for task in tasks if task.state}
        for name, state in {**states, "run": run.state or "PENDING"}.items():
            if shown.get(name) != state:
                click.echo(f"{datetime.datetime.now():%H:%M:%S}  {name}: {state}")
        shown = {**shown, **states, "run": run.state or "PENDING"}
        if shown["run"] in ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"):
            if shown["run"] != "SUCCEEDED" and run.error:
                click.echo(run.error.message, err=True)
            return shown["run"] == "SUCCEEDED"
        time.sleep(seconds)
