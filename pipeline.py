"""The pipelines of the suite, and the command line that compiles, runs and submits them."""

import pathlib
import sys
from typing import Any, Callable

import click
from kfp import dsl

from components.compare import compare
from components.evaluate import evaluate
from components.ingest import ingest
from components.ingest_images import ingest_images
from components.merge import merge
from components.plan import plan
from components.predict import predict
from components.train import train
from components.upload import upload
from runner.command import (
    COMPLETION,
    Assignment,
    Commands,
    check_parameters,
    chosen_target,
    examples,
    parse_parameters,
    target_options,
)
from runner.runs import complete_run, find_run, show_runs
from runner.target import GPU_TOLERATION, Needs, Target, write_yaml

INGEST = Needs("1", "512Mi", "2", "2Gi", timeout=3600, retries=3, store=True)
TRAIN = Needs("2", "2Gi", "4", "8Gi", timeout=6 * 3600, retries=1, store=True)
JUDGE = Needs("1", "1Gi", "4", "4Gi", timeout=3600)
SHARD = Needs("2", "1Gi", "2", "2Gi", timeout=3600, retries=1)
MERGE = Needs("1", "512Mi", "2", "2Gi", timeout=3600, retries=1)
UPLOAD = Needs("1", "512Mi", "2", "1Gi", timeout=3600, retries=3, store=True)
PLAN = Needs("500m", "256Mi", "1", "1Gi", timeout=1800)

LOCAL = Target(image="local/python", local=True)


def train_pipeline(target: Target) -> Any:
    """Return the pipeline: ingest, train, evaluate on the test images, predict them."""

    @target.pipeline(
        name="mnist-train",
        description="Trains a CNN on images in the IDX format, scores it and predicts with it.",
    )
    def mnist_train(
        data_uri: str = "mnist",
        data_sha256: str = "",
        s3_endpoint: str = "",
        train_images_file: str = "",
        train_labels_file: str = "",
        test_images_file: str = "",
        test_labels_file: str = "",
        validation_fraction: float = 0.1,
        recipe: str = "default",
        epochs: int = -1,
        batch_size: int = -1,
        learning_rate: float = -1.0,
        optimizer: str = "",
        momentum: float = -1.0,
        weight_decay: float = -1.0,
        dropout: float = -1.0,
        augmentation: float = -1.0,
        activation: str = "",
        kernels: list[int] = [],
        filters: list[int] = [],
        hidden_units: list[int] = [],
        seed: int = 0,
        device: str = "auto",
        checkpoint_uri: str = "",
        class_names: list[str] = [],
        min_accuracy: float = 0.0,
        gpu_count: str = "1",  # the back end reads it as text
        gpu_node_selector: dict = {"nvidia.com/gpu.present": "true"},
        gpu_tolerations: list = [GPU_TOLERATION],
    ):
        data = target.step(ingest, INGEST)(
            data_uri=data_uri,
            validation_fraction=validation_fraction,
            seed=seed,
            sha256=data_sha256,
            s3_endpoint=s3_endpoint,
            train_images_file=train_images_file,
            train_labels_file=train_labels_file,
            test_images_file=test_images_file,
            test_labels_file=test_labels_file,
        )
        training = target.gpu_step(train, TRAIN)(
            gpu_count,
            gpu_node_selector,
            gpu_tolerations,
            train_data=data.outputs["train_data"],
            validation_data=data.outputs["validation_data"],
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
            dropout=dropout,
            augmentation=augmentation,
            activation=activation,
            kernels=kernels,
            filters=filters,
            hidden_units=hidden_units,
            seed=seed,
            device=device,
            checkpoint_uri=checkpoint_uri,
            s3_endpoint=s3_endpoint,
        )
        test = {"model": training.outputs["model"], "data": data.outputs["test_data"]}
        evaluation = target.step(evaluate, JUDGE)(**test, class_names=class_names)
        good = evaluation.outputs["Output"] >= min_accuracy
        with dsl.If(good, name=target.display_name("accuracy of at least min_accuracy")):
            target.step(predict, JUDGE)(**test)

    return mnist_train


def sweep_pipeline(target: Target) -> Any:
    """Return the pipeline: ingest, train each trial, evaluate the best on the test images."""

    @target.pipeline(
        name="mnist-sweep",
        description="Trains a CNN with several sets of hyperparameters and takes the best one.",
    )
    def mnist_sweep(
        data_uri: str = "mnist",
        validation_fraction: float = 0.1,
        trials: list[dict] = [{"activation": "tanh"}, {"activation": "relu"}],
        recipe: str = "default",
        epochs: int = -1,
        seed: int = 0,
        device: str = "auto",
        s3_endpoint: str = "",
        gpu_count: str = "1",
        gpu_node_selector: dict = {"nvidia.com/gpu.present": "true"},
        gpu_tolerations: list = [GPU_TOLERATION],
    ):
        data = target.step(ingest, INGEST)(
            data_uri=data_uri,
            validation_fraction=validation_fraction,
            seed=seed,
            s3_endpoint=s3_endpoint,
        )
        splits = {name: data.outputs[name] for name in ("train_data", "validation_data")}
        planning = target.step(plan, PLAN)(**splits, trials=trials, recipe=recipe, epochs=epochs)
        # One after the other on a laptop: each takes all CPUs.
        with dsl.ParallelFor(
            planning.output,
            name=target.display_name("trials"),
            parallelism=1 if target.local else 0,
        ) as trial:
            training = target.gpu_step(train, TRAIN)(
                gpu_count,
                gpu_node_selector,
                gpu_tolerations,
                **splits,
                hyperparameters=trial,
                recipe=recipe,
                epochs=epochs,
                seed=seed,
                device=device,
            )
        comparison = target.step(compare, PLAN)(models=dsl.Collected(training.outputs["model"]))
        test = {"model": comparison.outputs["best_model"], "data": data.outputs["test_data"]}
        evaluation = target.step(evaluate, JUDGE)(**test)
        target.step(predict, JUDGE)(**test).after(evaluation)

    return mnist_sweep


def batch_predict_pipeline(target: Target) -> Any:
    """Return the pipeline: predict images in shards, merge the predictions, upload them."""

    @target.pipeline(
        name="mnist-batch-predict",
        description="Predicts any number of images with a trained model, in parallel shards.",
    )
    def mnist_batch_predict(
        model_uri: str,
        data_uri: str = "mnist",
        images_file: str = "t10k-images-idx3-ubyte",
        labels_file: str = "t10k-labels-idx1-ubyte",
        shards: int = 4,
        batch_size: int = 1152,
        destination_uri: str = "",
        s3_endpoint: str = "",
    ):
        model = dsl.importer(artifact_uri=model_uri, artifact_class=dsl.Model)
        if target.display_name("Import model"):
            model.set_display_name("Import model")
        data = target.step(ingest_images, INGEST)(
            data_uri=data_uri,
            images_file=images_file,
            labels_file=labels_file,
            shards=shards,
            s3_endpoint=s3_endpoint,
        )
        with dsl.ParallelFor(
            data.outputs["Output"], name=target.display_name("each shard")
        ) as shard:
            prediction = target.step(predict, SHARD)(
                model=model.output,
                data=data.outputs["images"],
                batch_size=batch_size,
                shard=shard,
                num_shards=shards,
            )
        merged = target.step(merge, MERGE)(
            shards=dsl.Collected(prediction.outputs["predictions"]), labels=data.outputs["labels"]
        )
        with dsl.If(destination_uri != "", name=target.display_name("a destination_uri")):
            uploading = target.step(upload, UPLOAD)(
                predictions=merged.outputs["predictions"],
                destination_uri=destination_uri,
                s3_endpoint=s3_endpoint,
            )
            uploading.set_caching_options(False)  # what it is for happens outside the pipeline

    return mnist_batch_predict


PIPELINES: dict[str, Callable[[Target], Any]] = {
    "train": train_pipeline,
    "sweep": sweep_pipeline,
    "batch_predict": batch_predict_pipeline,
}


def yaml_name(pipeline: str, target: str) -> str:
    """Return the file name of a compiled pipeline: pipeline.yaml, sweep-cpu.yaml and so on."""
    if pipeline == "batch_predict":  # it asks for no GPU, so that both targets are the same
        return "batch_predict.yaml"
    stem = "pipeline" if pipeline == "train" else pipeline
    return f"{stem}{'' if target == 'gpu' else '-' + target}.yaml"


which_pipeline = click.option(
    "--pipeline", type=click.Choice(list(PIPELINES)), default="train", show_default=True
)
where_runs_are = click.option(
    "--output-dir", type=click.Path(file_okay=False), default="runs", show_default=True
)


def which_parameters(target: Target) -> Callable[..., Any]:
    """Return the option -p; the shell completes the parameters of pipelines for this target."""
    return click.option(
        *("-p", "--parameter"),
        multiple=True,
        type=Assignment(lambda pipeline: PIPELINES[pipeline](target).component_spec.inputs),
        help="A parameter of the pipeline; may be given many times.",
    )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "python pipeline.py run",
        "python pipeline.py run -p epochs=3 -p activation=tanh",
        "python pipeline.py runs",
        "python pipeline.py compare 2026-01-31-120000 latest",
    )
    + COMPLETION,
)
def main() -> None:
    """Compile the pipelines for Kubeflow, or run them on this machine."""


@main.command(
    "compile",
    epilog=examples(
        "python pipeline.py compile",
        "python pipeline.py compile --pipeline sweep --target cpu",
        "python pipeline.py compile --target cpu --image registry.example/cpu:1 --output own.yaml",
    ),
)
@which_pipeline
@target_options
@click.option("--output", type=click.Path(dir_okay=False), help="[default: named by both]")
def compile_command(pipeline: str, target: str, output: str, **where: str) -> None:
    """Write the YAML to upload in the Kubeflow UI."""
    output = output or yaml_name(pipeline, target)
    write_yaml(PIPELINES[pipeline](chosen_target(target, **where)), pathlib.Path(output))
    click.echo(f"wrote {output}")


@main.command(
    "run",
    epilog=examples(
        "python pipeline.py run",
        "python pipeline.py run -p recipe=tutorial -p epochs=3",
        "python pipeline.py run --data-uri /path/to/idx/files -p 'filters=[32, 64, 64]'",
        """python pipeline.py run --pipeline sweep -p 'trials=[{}, {"activation": "tanh"}]'""",
        "python pipeline.py run --pipeline batch_predict -p model_uri=/path/to/model",
    ),
)
@which_pipeline
@click.option("--data-uri", help="Directory or URL of the four IDX files; several are mirrors.")
@which_parameters(LOCAL)
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
    from runner.local import run

    if image and runner != "docker":
        raise click.UsageError("--image is for --runner docker")
    target = LOCAL if runner == "subprocess" else Target(image=image, local=True)
    made = PIPELINES[pipeline](target)
    parameters = parse_parameters(made, parameter)
    if data_uri:
        parameters["data_uri"] = data_uri
    check_parameters(made, parameters)
    sys.exit(run(made, parameters, pathlib.Path(output_dir), runner, image, verbose))


@main.command("runs", epilog=examples("python pipeline.py runs"))
@where_runs_are
def runs_command(output_dir: str) -> None:
    """List the runs on this machine."""
    show_runs(pathlib.Path(output_dir))


@main.command(
    "compare",
    epilog=examples(
        "python pipeline.py compare 2026-01-31-120000 latest",
        "python pipeline.py compare /path/to/a/run latest",
    ),
)
@click.argument("a", shell_complete=complete_run)
@click.argument("b", shell_complete=complete_run)
@where_runs_are
def compare_command(a: str, b: str, output_dir: str) -> None:
    """Compare two runs on the terminal and as a page.

    A and B are each the id of a run, its directory or `latest`.
    """
    from runner.comparison import compare_runs

    root = pathlib.Path(output_dir)
    compare_runs(find_run(root, a), find_run(root, b), root)


@main.command(
    "submit",
    epilog=examples(
        "python pipeline.py submit --host https://kubeflow.example/pipeline --wait",
        "python pipeline.py submit --host http://localhost:8080 --target cpu -p epochs=3",
        'python pipeline.py submit --host http://localhost:8080 --cron "0 0 3 * * *"',
    ),
)
@click.option("--host", envvar="KF_PIPELINES_ENDPOINT", required=True, help="URL of the UI or API.")
@which_pipeline
@which_parameters(Target(gpu=True))
@click.option("--experiment", default="Default", show_default=True)
@click.option("--namespace", help="Of the user, where Kubeflow has several.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit status 1 if the run fails.")
@click.option("--cron", default="", help="Schedule runs: six fields, the first of them seconds.")
@click.option("--token", envvar="KFP_TOKEN", help="Bearer token; better in KFP_TOKEN.")
@click.option("--cookies", envvar="KFP_COOKIES", help="Of a session; better in KFP_COOKIES.")
@click.option("--ssl-ca-cert", type=click.Path(exists=True), help="CA certificates of the host.")
@click.option("--insecure", is_flag=True, help="Do not check the host's certificate.")
@click.option("--poll", type=float, default=5.0, show_default=True, help="Seconds between looks.")
@target_options
def submit_command(
    host: str,
    pipeline: str,
    parameter: tuple[str, ...],
    experiment: str,
    namespace: str,
    wait: bool,
    cron: str,
    token: str,
    cookies: str,
    ssl_ca_cert: str,
    insecure: bool,
    poll: float,
    **where: str,
) -> None:
    """Upload a pipeline to Kubeflow and start or schedule a run of it."""
    from runner import cluster

    if wait and cron:
        raise click.UsageError("--wait is for a run, not for a schedule (--cron)")
    made = PIPELINES[pipeline](chosen_target(**where))
    parameters = parse_parameters(made, parameter)
    check_parameters(made, parameters)
    host = cluster.with_scheme(host)
    with cluster.one_sentence(host):
        client = cluster.connect(
            host,
            existing_token=token,
            cookies=cookies,
            ssl_ca_cert=ssl_ca_cert,
            verify_ssl=False if insecure else None,
        )
        run_id = cluster.submit(client, host, made, parameters, experiment, cron, namespace)
        if wait and not cluster.wait(client, run_id, poll):
            sys.exit(1)


if __name__ == "__main__":
    main()
