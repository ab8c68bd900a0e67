"""The pipelines of the suite, and the command line that compiles and runs them."""

import dataclasses
import json
import pathlib
import sys
from typing import Any, Callable

import click
from kfp import compiler, dsl, kubernetes

from components._step import on_image
from components.evaluate import evaluate
from components.ingest import ingest
from components.predict import predict
from components.train import train


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the steps of a pipeline run: chosen once, when the pipeline is made.

    gpu: the train step asks for a GPU. image: an image that has kfp and all packages; empty
    for the public Python image, on which each step installs its packages.
    """

    gpu: bool = False
    image: str = ""

    def step(self, component: Any) -> Any:
        """Return a component as it runs on this target."""
        return on_image(component, self.image) if self.image else component

    def accelerate(self, task: dsl.PipelineTask) -> None:
        """Ask for a GPU, and for a node that has one, where the target has GPUs."""
        if self.gpu:
            task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit("1")
            kubernetes.add_node_selector(task, "nvidia.com/gpu.present", "true")
            kubernetes.add_toleration(
                task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule"
            )


TARGETS = {"gpu": Target(gpu=True), "cpu": Target(), "local": Target(image="local/python")}


def train_pipeline(target: Target) -> Any:
    """Return the pipeline: ingest, train, evaluate on the test images, predict them."""

    @dsl.pipeline(
        name="mnist-train",
        description="Trains a CNN on images in the IDX format, scores it and predicts with it.",
    )
    def mnist_train(
        data_uri: str = "mnist",
        validation_fraction: float = 0.1,
        recipe: str = "default",
        epochs: int = -1,
        batch_size: int = -1,
        learning_rate: float = -1.0,
        activation: str = "",
        kernels: list[int] = [],
        filters: list[int] = [],
        hidden_units: list[int] = [],
        seed: int = 0,
        device: str = "auto",
    ):
        data = target.step(ingest)(
            data_uri=data_uri, validation_fraction=validation_fraction, seed=seed
        )
        training = target.step(train)(
            train_data=data.outputs["train_data"],
            validation_data=data.outputs["validation_data"],
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            activation=activation,
            kernels=kernels,
            filters=filters,
            hidden_units=hidden_units,
            seed=seed,
            device=device,
        )
        target.accelerate(training)
        test = {"model": training.outputs["model"], "data": data.outputs["test_data"]}
        evaluation = target.step(evaluate)(**test)
        target.step(predict)(**test).after(evaluation)

    return mnist_train


PIPELINES: dict[str, Callable[[Target], Any]] = {"train": train_pipeline}


def yaml_name(pipeline: str, target: str) -> str:
    """Return the file name of a compiled pipeline: pipeline.yaml, sweep-cpu.yaml and so on."""
    stem = "pipeline" if pipeline == "train" else pipeline
    return f"{stem}{'' if target == 'gpu' else '-' + target}.yaml"


which_pipeline = click.option(
    "--pipeline", type=click.Choice(list(PIPELINES)), default="train", show_default=True
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compile the pipelines for Kubeflow, or run them on this machine."""


@main.command("compile")
@which_pipeline
@click.option("--target", type=click.Choice(["gpu", "cpu"]), default="gpu", show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    help="[default: as the pipeline and the target are named]",
)
def compile_command(pipeline: str, target: str, output: str) -> None:
    """Write the YAML to upload in the Kubeflow UI."""
    output = output or yaml_name(pipeline, target)
    compiler.Compiler().compile(PIPELINES[pipeline](TARGETS[target]), output)
    click.echo(f"wrote {output}")


def parse_parameters(pipeline: Any, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of a pipeline given as NAME=VALUE, each in the pipeline's own type.

    Raises:
        click.UsageError: an unknown name, or a value that is not of the parameter's type.
    """
    inputs = pipeline.component_spec.inputs
    convert = {"String": str, "Integer": int, "Float": float}
    parameters = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"expected NAME=VALUE, got {assignment!r}")
        if name not in inputs:
            raise click.UsageError(f"no parameter {name!r}: expected one of {', '.join(inputs)}")
        kind = inputs[name].type
        try:
            parameters[name] = convert.get(kind, json.loads)(text)
        except ValueError:
            raise click.UsageError(f"{name} must be of type {kind}, got {text!r}") from None
    return parameters


@main.command("run")
@which_pipeline
@click.option("--data-uri", help="Directory or URL of the four IDX files; several are mirrors.")
@click.option("-p", "--parameter", multiple=True, metavar="NAME=VALUE", help="A parameter.")
@click.option("--output-dir", type=click.Path(file_okay=False), default="runs", show_default=True)
def run_command(pipeline: str, data_uri: str, parameter: tuple[str, ...], output_dir: str) -> None:
    """Run the pipeline on this machine."""
    from runner.local import run

    made = PIPELINES[pipeline](TARGETS["local"])
    parameters = parse_parameters(made, parameter)
    if data_uri:
        parameters["data_uri"] = data_uri
    sys.exit(run(made, parameters, pathlib.Path(output_dir)))


if __name__ == "__main__":
    main()
