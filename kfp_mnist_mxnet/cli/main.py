"""The command line: compile the pipelines for Kubeflow, submit them, or run them here."""

import functools
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cli.options import (
    COMPLETION,
    PIPELINES,
    Assignment,
    Commands,
    Size,
    UserPath,
    examples,
    nearest,
    secret,
    written,
)
from kfp_mnist_mxnet.cli.target_options import chosen_target, target_options

# A command imports what it needs: the pipelines import kfp and are built, which takes a second.
if TYPE_CHECKING:
    from kfp_mnist_mxnet.cli.cluster.client import Connection
    from kfp_mnist_mxnet.compiler.site import Site
    from kfp_mnist_mxnet.compiler.target import Target

HOST = "URL of the UI or API."
POLL = "Polling interval in seconds."
BEARER = "Bearer token; better in KFP_TOKEN."
COOKIES = "Session cookies; better in KFP_COOKIES."
CA_CERTIFICATES = "CA certificates of the host."


def build_pipeline(name: str, target: "Target") -> Any:
    """Return a pipeline for a target."""
    from kfp_mnist_mxnet import pipeline

    return pipeline.PIPELINES[name](target)


def build_for_cluster(pipeline: str, target: str, site: "Site", **where: str) -> Any:
    """Return a pipeline for what the options of a command choose.

    Raises:
        click.UsageError: options that do not fit each other.
    """
    from kfp_mnist_mxnet.compiler.step import containers_of

    built = build_pipeline(pipeline, chosen_target(target, site=site, **where))
    steps = sorted({name for name, _ in containers_of(built.pipeline_spec)})
    for step in sorted(set(site.resources) - set(steps)):
        raise click.UsageError(f"--resources: no step {step!r}: {nearest(step, steps)}")
    return built


def component_for(name: str, site: "Site") -> Any:
    """Return a component, for a pipeline of somebody's own, with a site's base image and index.

    Raises:
        click.UsageError: there is no such component, or the site has what only a pipeline can have.
    """
    from kfp_mnist_mxnet.cli.target_options import check_component
    from kfp_mnist_mxnet.compiler.step import STEPS
    from kfp_mnist_mxnet.components import COMPONENTS

    if name not in COMPONENTS:
        raise click.UsageError(f"no component {name!r}: {nearest(name, COMPONENTS)}")
    check_component(site)
    return STEPS[name].alone(site.base)


which_pipeline = click.option(
    # Eager, so that --help knows it.
    "--pipeline",
    type=click.Choice(PIPELINES),
    default="train",
    show_default=True,
    is_eager=True,
)
where_runs_are = click.option(
    "--output-dir", type=UserPath(file_okay=False), default="runs", show_default=True
)


def which_parameters(**target: Any) -> Callable[..., Any]:
    """Return the option -p; the shell completes the parameters of pipelines for this target."""

    def inputs(pipeline: str) -> Mapping[str, Any]:
        from kfp_mnist_mxnet.compiler.target import Target

        return build_pipeline(pipeline, Target(**target)).component_spec.inputs

    return click.option(
        *("-p", "--parameter"),
        multiple=True,
        type=Assignment(inputs),
        help="A parameter of the pipeline; may be given many times.",
    )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "run",
        "run -p epochs=3 -p activation=tanh",
        "runs",
        "compare 2026-01-31-120000 latest",
    )
    + COMPLETION,
)
@click.version_option(kfp_mnist_mxnet.__version__, message="%(version)s")
def main() -> None:
    """Compile the pipelines for Kubeflow, or run them on this machine."""


@main.command(
    "compile",
    epilog=examples(
        "compile",
        "compile --pipeline sweep --target cpu",
        "compile --target cpu --image registry.example/cpu:1 --output own.yaml",
        "compile --component evaluate",
    ),
)
@which_pipeline
@click.option(
    "--component", default="", help="Compile this component, for a pipeline of your own, instead."
)
@target_options
@click.option(
    "--output",
    type=UserPath(dir_okay=False),
    help="[default: the name of the pipeline or component]",
)
def compile_command(
    pipeline: str, component: str, target: str, output: str, site: "Site", **where: str
) -> None:
    """Write the YAML of a pipeline, to upload in the Kubeflow UI, or of a component."""
    from kfp_mnist_mxnet.compiler.target import file_name, write_yaml

    if component and any(where.values()):
        raise click.UsageError(
            "--component is compiled for the public image or that of --base-image only"
        )
    if sys.flags.optimize > 1:
        raise click.UsageError(
            "Python strips docstrings, which describe the components: unset PYTHONOPTIMIZE, "
            "or start Python without -OO"
        )
    built = (
        component_for(component, site)
        if component
        else build_for_cluster(pipeline, target, site, **where)
    )
    file = f"{component}.yaml" if component else file_name(pipeline, gpu=target == "gpu")
    with written(f"--output {output or file}"):
        write_yaml(built, pathlib.Path(output or file))
    click.echo(f"wrote {output or file}")


@main.command(
    "run",
    epilog=examples(
        "run",
        "run -p recipe=tutorial -p epochs=3",
        "run --data-uri /path/to/idx/files -p 'filters=[32, 64, 64]'",
        """run --pipeline sweep -p 'trials=[{}, {"activation": "tanh"}]'""",
        "run --pipeline batch_predict -p model_uri=latest",
    ),
)
@which_pipeline
@click.option("--data-uri", help="Directory or URL of the four IDX files; several are mirrors.")
@which_parameters(place="processes")
@where_runs_are
@click.option(
    "--runner", type=click.Choice(["subprocess", "docker"]), default="subprocess", show_default=True
)
@click.option("--image", default="", help="With --runner docker: an image that has the packages.")
@click.option("--verbose", is_flag=True, help="Show every line that a step writes.")
def run_command(
    pipeline: str,
    data_uri: str,
    parameter: tuple[str, ...],
    output_dir: str,
    runner: str,
    image: str,
    verbose: bool,
) -> None:
    """Run a pipeline on this machine and make a page of it."""
    from kfp_mnist_mxnet.cli.local.run import run
    from kfp_mnist_mxnet.cli.parameters import (
        check_local_model,
        check_parameters,
        local_parameters,
        parse_parameters,
    )
    from kfp_mnist_mxnet.compiler.target import LOCAL, Target
    from kfp_mnist_mxnet.errors import MissingLibrary
    from kfp_mnist_mxnet.runtime.mxnet_compatibility import check_installed

    if image and runner != "docker":
        raise click.UsageError("--image is for --runner docker")
    if runner == "subprocess":
        try:
            check_installed()
        except MissingLibrary as error:
            raise click.ClickException(str(error)) from error
    target = LOCAL if runner == "subprocess" else Target(place="containers", image=image)
    built = build_pipeline(pipeline, target)
    given = (f"data_uri={data_uri}",) if data_uri else ()
    parameters = parse_parameters(built, (*parameter, *given))
    check_parameters(built, parameters)
    parameters = local_parameters(parameters, pathlib.Path(output_dir))
    check_local_model(parameters)
    sys.exit(run(built, parameters, pathlib.Path(output_dir), runner, image, verbose))


@main.command(
    "convert",
    epilog=examples(
        "convert photos digits --size 28 --channels grey",
        "convert mnist.npz digits",
        "convert /path/to/csv/files digits --test-fraction 0.1",
    ),
)
@click.argument("source", type=UserPath(exists=True))
@click.argument("directory", type=UserPath(file_okay=False))
@click.option("--size", type=Size(), help="Size that images are scaled to.  [default: their own]")
@click.option(
    "--channels",
    type=click.Choice(["grey", "rgb"]),
    help="[default: rgb if any image is in colour]",
)
@click.option(
    "--test-fraction",
    type=float,
    help="Share of each class for testing, if the source has no test split.  [default: 0.2]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of that split.")
def convert_command(
    source: str,
    directory: str,
    size: tuple[int, int] | None,
    channels: str | None,
    test_fraction: float | None,
    seed: int,
) -> None:
    """Write images of your own as the IDX files that a pipeline reads.

    SOURCE is a folder with a folder of images (PNG, JPEG ...) for each class, perhaps in train/ and
    test/; a .npz file, or a directory of .npy files, with arrays such as x_train and y_train; or a
    CSV file, or a directory of them, with a label and the pixels of an image in each row. A folder
    of images alone is made ready for batch_predict. DIRECTORY is new.
    """
    from kfp_mnist_mxnet.cli.convert import convert_images
    from kfp_mnist_mxnet.conversion.convert import Options

    wanted = {None: 0, "grey": 1, "rgb": 3}[channels]
    convert_images(source, directory, Options(size, wanted, test_fraction, seed))


@main.command("runs", epilog=examples("runs"))
@where_runs_are
def runs_command(output_dir: str) -> None:
    """List the runs on this machine."""
    from kfp_mnist_mxnet.cli.local.listing import show_runs

    show_runs(pathlib.Path(output_dir))


def complete_run(ctx: click.Context, param: click.Parameter, word: str) -> list[str]:
    """Return the ids of runs that start as a word does, for the shell."""
    from kfp_mnist_mxnet.cli.local.runs import LATEST, run_directories

    output_dir = pathlib.Path(ctx.params.get("output_dir") or "runs")
    names = [LATEST, *(path.name for path in run_directories(output_dir))]
    return [name for name in names if name.startswith(word)]


@main.command(
    "compare",
    epilog=examples(
        "compare 2026-01-31-120000 latest",
        "compare /path/to/a/run latest",
    ),
)
@click.argument("runs", nargs=-1, required=True, shell_complete=complete_run, metavar="A B ...")
@where_runs_are
def compare_command(runs: tuple[str, ...], output_dir: str) -> None:
    """Compare runs with the first of them, on the terminal and as a page.

    A, B ... are each the id of a run, its directory or `latest`; at least two.
    """
    from kfp_mnist_mxnet.cli.local.comparison import LETTERS
    from kfp_mnist_mxnet.cli.local.comparison_page import compare_runs
    from kfp_mnist_mxnet.cli.local.runs import find_run

    if not 2 <= len(runs) <= len(LETTERS):
        raise click.UsageError(f"give from 2 to {len(LETTERS)} runs, not {len(runs)}")
    root = pathlib.Path(output_dir)
    compare_runs([find_run(root, name) for name in runs], root)


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a connection to Kubeflow, which it takes as one."""

    @functools.wraps(command)
    def connected(
        host: str,
        token: str | None,
        cookies: str | None,
        ssl_ca_cert: str,
        insecure: bool,
        **others: Any,
    ) -> Any:
        from kfp_mnist_mxnet.cli.cluster.client import Connection, with_scheme

        connection = Connection(with_scheme(host), token, cookies, ssl_ca_cert, insecure)
        return command(connection=connection, **others)

    for option in (
        click.option("--poll", type=float, default=5.0, show_default=True, help=POLL),
        click.option("--insecure", is_flag=True, help="Do not check the host's certificate."),
        click.option("--ssl-ca-cert", type=UserPath(exists=True), help=CA_CERTIFICATES),
        click.option("--cookies", envvar="KFP_COOKIES", callback=secret, help=COOKIES),
        click.option("--token", envvar="KFP_TOKEN", callback=secret, help=BEARER),
        click.option("--host", envvar="KF_PIPELINES_ENDPOINT", required=True, help=HOST),
    ):
        connected = option(connected)
    return connected


@main.command(
    "serve",
    epilog=examples(
        "serve latest",
        "serve /path/to/onnx_model --port 9000",
        "serve latest --once",
    ),
)
@click.argument("model", shell_complete=complete_run)
@where_runs_are
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--once", is_flag=True, help="Send one test request, then exit.")
def serve_command(model: str, output_dir: str, port: int, once: bool) -> None:
    """Serve a model on this machine, by KServe's model server.

    MODEL is the id of a run, its directory, `latest`, or the directory of a model.
    """
    from kfp_mnist_mxnet.cli.serve.server import serve

    with tempfile.TemporaryDirectory() as scratch:
        serve(model, pathlib.Path(output_dir), port, pathlib.Path(scratch), once)


@main.command(
    "submit",
    epilog=examples(
        "submit --host https://kubeflow.example/pipeline --wait",
        "submit --host http://localhost:8080 --target cpu -p epochs=3",
        'submit --host http://localhost:8080 --cron "0 0 3 * * *"',
    ),
)
@connection_options
@which_pipeline
@which_parameters(gpu=True)
@click.option("--experiment", default="Default", show_default=True)
@click.option("--namespace", help="Kubeflow namespace, on a multi-user cluster.")
@click.option("--wait", is_flag=True, help="Follow it to the end; exit status 1 if it fails.")
@click.option("--cron", default="", help="Schedule runs: six fields, the first of them seconds.")
@target_options
def submit_command(
    connection: "Connection",
    poll: float,
    pipeline: str,
    parameter: tuple[str, ...],
    experiment: str,
    namespace: str,
    wait: bool,
    cron: str,
    target: str,
    site: "Site",
    **where: str,
) -> None:
    """Upload a pipeline to Kubeflow and start or schedule a run of it."""
    from kfp_mnist_mxnet.cli.cluster.client import translate_errors
    from kfp_mnist_mxnet.cli.cluster.follow import watch
    from kfp_mnist_mxnet.cli.cluster.submit import submit
    from kfp_mnist_mxnet.cli.parameters import (
        check_parameters,
        check_remote_model,
        parse_parameters,
    )

    if wait and cron:
        raise click.UsageError("--wait is for a run, not for a schedule (--cron)")
    built = build_for_cluster(pipeline, target, site, **where)
    parameters = parse_parameters(built, parameter)
    check_parameters(built, parameters)
    check_remote_model(parameters)
    host = connection.host
    with translate_errors(host):
        client = connection.open()
        run_id = submit(client, host, built, parameters, experiment, cron, namespace)
        if wait:
            sys.exit(watch(client, host, run_id, poll))


@main.command(
    "follow",
    epilog=examples(
        "follow --host https://kubeflow.example/pipeline RUN",
    ),
)
@click.argument("run")
@connection_options
def follow_command(connection: "Connection", poll: float, run: str) -> None:
    """Follow a run on Kubeflow to its end; exit status 1 if it fails.

    RUN is its id or its address, as submit prints it.
    """
    from kfp_mnist_mxnet.cli.cluster.client import translate_errors
    from kfp_mnist_mxnet.cli.cluster.follow import watch

    with translate_errors(connection.host):
        run_id = run.rstrip("/").rpartition("/")[2]
        sys.exit(watch(connection.open(), connection.host, run_id, poll))
