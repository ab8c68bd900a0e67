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
from typing import Any

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
        said = f"answered {error.status}" if error.status else "can't be reached"
        answer = brief(error.body or error.reason)
        raise click.ClickException(f"{host} {said}: {answer}") from error
    except urllib3.exceptions.HTTPError as error:
        reason = str(getattr(error, "reason", None) or error).rpartition(">: ")[2]
        raise click.ClickException(f"{host} can't be reached: {reason}") from error
    except ValueError as error:  # two pipelines or experiments of one name
        raise click.ClickException(str(error)) from error


def brief(body: Any) -> str:
    """Return the start of an answer on one line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return " ".join(text.split())[:300]


class Client(kfp.Client):
    """kfp's client, but its look whether the host answers is one request, not five long tries."""

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
        """Ask once, for 30 seconds; sleep_duration is kfp's."""
        return self._healthz_api.healthz_service_get_healthz(_request_timeout=30)


def connect(host: str, **options: Any) -> Client:
    """Return a client for a host that answers; options: those of kfp.Client.

    Raises:
        kfp_server_api.ApiException: the host answers with an error.
        urllib3.exceptions.HTTPError: it does not answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # says that a back end of v1 is too old
        client = Client(host=host, **options)
    client.get_kfp_healthz()  # kfp itself asks only if it knows no namespace
    return client


def with_scheme(host: str) -> str:
    """Return a host with https:// unless it says http:// or https:// itself, as kfp does it."""
    return host if host.startswith(("http://", "https://")) else f"https://{host}"


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


def upload(client: kfp.Client, pipeline: Any, namespace: str | None) -> tuple[str, str]:
    """Upload a pipeline unless the back end has this version; return pipeline and version id.

    A version is named by the SHA-256 of its YAML, so that one YAML is one version. The pipeline
    is made empty, as kfp's upload of a new one would add a version of the pipeline's name.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "pipeline.yaml")
        write_yaml(pipeline, path)
        version = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        found = client.list_pipelines(filter=named(pipeline.name), namespace=namespace).pipelines
        if not found:
            new = kfp_server_api.V2beta1Pipeline(
                display_name=pipeline.name, description=pipeline.description, namespace=namespace
            )
            found = [client._pipelines_api.pipeline_service_create_pipeline(new)]
        pipeline_id = found[0].pipeline_id
        versions = client.list_pipeline_versions(pipeline_id, filter=named(version))
        if versions.pipeline_versions:
            return pipeline_id, versions.pipeline_versions[0].pipeline_version_id
        made = client.upload_pipeline_version(str(path), version, pipeline_id=pipeline_id)
        return pipeline_id, made.pipeline_version_id


def named(display_name: str) -> str:
    """Return the filter of the API for what has a display name."""
    same = {"operation": "EQUALS", "key": "display_name", "stringValue": display_name}
    return json.dumps({"predicates": [same]})


def wait(client: kfp.Client, run_id: str, seconds: float) -> bool:
    """Print each change of a run's and its tasks' state until it ends; tell if it succeeded.

    seconds: between two questions. A question that fails in a way that may pass is asked again,
    up to ten times on end.
    """
    names: dict[str, str] = {}
    shown: dict[str, str] = {}
    failures = 0
    while True:
        try:
            run = client.get_run(run_id)
            failures = 0
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
            failures += 1
            if failures > 10 or not may_pass(error):
                raise
            time.sleep(seconds)
            continue
        tasks = (run.run_details and run.run_details.task_details) or []
        states = {task_name(task, names): task.state for task in tasks if task.state}
        states["run"] = run.state or "PENDING"
        for name, state in states.items():
            if shown.get(name) != state:
                click.echo(f"{datetime.datetime.now():%H:%M:%S}  {name}: {state}")
        shown.update(states)
        if shown["run"] in ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"):
            if shown["run"] != "SUCCEEDED" and run.error:
                click.echo(run.error.message, err=True)
            return shown["run"] == "SUCCEEDED"
        time.sleep(seconds)


def may_pass(error: Exception) -> bool:
    """Tell if a request may succeed later: no connection, too many requests, a server's fault."""
    status = getattr(error, "status", None)
    return not status or status == 429 or status >= 500


def task_name(task: Any, names: dict[str, str]) -> str:
    """Return a task's display name, from the second of that name on with a number: predict#2.

    names: of the tasks so far by their id; a new one is added.
    """
    if task.task_id not in names:
        others = [name for name in names.values() if name.partition("#")[0] == task.display_name]
        number = f"#{len(others) + 1}" if others else ""
        names[task.task_id] = f"{task.display_name}{number}"
    return names[task.task_id]
