"""Where the steps of a pipeline run, and what they ask the cluster for."""

import dataclasses
import functools
import inspect
import itertools
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Collection
from typing import Any, Literal

import kfp.kubernetes as kubernetes
import yaml
from kfp import compiler, dsl
from kfp.compiler import pipeline_spec_builder

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cli.site import Resources, Site
from kfp_mnist_mxnet.model.hyperparameters import RULES
from kfp_mnist_mxnet.shipping.decorator import step_of
from kfp_mnist_mxnet.shipping.install import PROJECT
from kfp_mnist_mxnet.shipping.journey import Journey
from kfp_mnist_mxnet.shipping.programs import ARTIFACT
from kfp_mnist_mxnet.shipping.weight import limit_iterations

GPU = "nvidia.com/gpu"
GPU_PARAMETERS = ("gpu_count", "gpu_node_selector", "gpu_tolerations")
GPU_TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}

LOST_PODS = 2  # are replaced; a step that fails is not started again, whatever it is told


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a step asks the cluster for: CPUs, memory, seconds to finish."""

    cpu: str
    memory: str
    cpu_limit: str
    memory_limit: str
    timeout: int
    store: bool = False  # credentials of the object store in its environment

    def resized(self, resources: Resources) -> "Needs":
        """Return the same with other CPUs or memory, as much at least as at most."""
        cpu, memory = resources.cpu, resources.memory
        return dataclasses.replace(
            self,
            cpu=cpu or self.cpu,
            cpu_limit=cpu or self.cpu_limit,
            memory=memory or self.memory,
            memory_limit=memory or self.memory_limit,
        )


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the steps of a pipeline run: chosen once, when the pipeline is made.

    place: the cluster, containers on this machine, or processes in this Python environment.
    gpu: training asks for GPUs. image: an image that has the library, kfp and all packages;
    gpu_image: the same for training on GPUs. package: a requirement of the library that pip
    installs on the public Python image. With neither, steps run on the public Python image and
    carry what they import.
    node_selector: a label (key, value) of the GPU nodes that is fixed in the YAML, in a form that
    back ends of Kubeflow Pipelines before 2.15 can read.
    site: what takes the place of the public image and index, and what else is the site's own.
    """

    place: Literal["cluster", "containers", "processes"] = "cluster"
    gpu: bool = False
    image: str = ""
    gpu_image: str = ""
    package: str = ""
    node_selector: tuple[str, str] | None = None
    site: Site = dataclasses.field(default_factory=Site)

    def pipeline(self, **about: str) -> Callable[[Callable[..., Any]], Any]:
        """Return dsl.pipeline for a function; ** in its signature stands for hyperparameters.

        Only a pipeline that can use the parameters gpu_* has them.
        """

        def decorate(function: Callable[..., Any]) -> Any:
            fixed = not self.gpu or self.node_selector is not None
            left_out = GPU_PARAMETERS if fixed else ()
            made = dsl.pipeline(**about)(with_parameters(function, left_out))
            if self.place == "cluster":
                drop_descriptions(made.pipeline_spec)
                drop_defaults(made.pipeline_spec)
                limit_iterations(made.pipeline_spec)
            return made

        return decorate

    def display_name(self, text: str) -> str | None:
        """Return the name that the UI shows for a part of the pipeline, None for kfp's own.

        Back ends before 2.14 look for the outputs of a task under the name that is shown:
        https://github.com/kubeflow/pipelines/pull/11938
        """
        return text if self.node_selector is None else None

    def journey(self, *components: Any, carried: Collection[Any] = ()) -> "PipelineSteps":
        """Return what adds components to a pipeline, in the order in which they run.

        carried: those of them whose code the one before brings: of one in a loop, and of small ones
        that follow each other.
        """
        steps = [step_of(component) for component in components]
        if self.place == "processes" or self.image or self.package or None in steps:
            return PipelineSteps(self, None)
        names = frozenset(component.python_func.__name__ for component in carried)
        return PipelineSteps(self, Journey(tuple(step for step in steps if step), names))

    def made(self, component: Any, cuda: bool, journey: Journey | None) -> Any:
        """Return a component in the form in which its code travels to this target."""
        step, image = step_of(component), self.gpu_image if cuda else self.image
        if step is None:  # loaded from YAML, it is what it is
            return component
        if self.place == "processes":
            return step.local()
        if image:
            return step.installed(image)
        if self.package:
            return step.packaged(self.package, self.site.base, cuda)
        return journey.component(step, self.site.base, cuda) if journey else component

    def settle(self, task: dsl.PipelineTask, name: str, needs: Needs) -> dsl.PipelineTask:
        """Give a task what it needs on the cluster, and its name there.

        name: of the component.
        """
        if self.place != "cluster":
            return task
        needs = needs.resized(self.site.resources.get(name.replace("-", "_"), Resources()))
        task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu_limit)
        task.set_memory_request(needs.memory).set_memory_limit(needs.memory_limit)
        task.set_retry(LOST_PODS)
        kubernetes.set_timeout(task, needs.timeout)
        kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "kfp-mnist-mxnet")
        for variable, value in self.site.env.items():
            task.set_env_variable(variable, value)
        if needs.store:
            secret = self.site.s3_secret
            kubernetes.use_secret_as_env(task, secret.name, secret.variables, optional=True)
        if self.site.pull_secrets:
            kubernetes.set_image_pull_secrets(task, list(self.site.pull_secrets))
        shown = self.display_name(name.replace("-", " ").capitalize())
        if shown:
            task.set_display_name(shown)
            kubernetes.add_pod_label(task, "app.kubernetes.io/component", name)
        else:
            drop_new_fields(task)
        return task

    def ask_for_gpus(
        self, task: dsl.PipelineTask, count: Any, node_selector: Any, tolerations: Any
    ) -> None:
        """Have a task ask for the target's GPUs, where it has them."""
        if not self.gpu:
            return
        task.set_accelerator_type(GPU)
        if self.node_selector:
            task.set_accelerator_limit("1")
            kubernetes.add_node_selector(task, *self.node_selector)
            kubernetes.add_toleration(task, **GPU_TOLERATION)
        else:
            task.set_accelerator_limit(count)
            kubernetes.add_node_selector_json(task, node_selector)
            kubernetes.add_toleration_json(task, tolerations)


LOCAL = Target(place="processes")


class PipelineSteps:
    """Adds the steps of a pipeline, each in the form in which its code travels to the target."""

    def __init__(self, target: Target, journey: Journey | None) -> None:
        self.target, self.journey = target, journey
        self.tasks: dict[str, dsl.PipelineTask] = {}

    def step(self, component: Any, needs: Needs, cuda: bool = False) -> Callable[..., Any]:
        """Return a function that adds a component; cuda: it trains on the target's GPUs, if any."""
        made = self.target.made(component, cuda and self.target.gpu, self.journey)

        def add(**arguments: Any) -> dsl.PipelineTask:
            step = step_of(component)
            before = self.journey.before(step) if self.journey and step else None
            if before:
                arguments[ARTIFACT] = self.tasks[before.name].outputs[ARTIFACT]
            task = self.target.settle(made(**arguments), made.name, needs)
            if step:
                self.tasks[step.name] = task
            return task

        return add

    def gpu_step(self, component: Any, needs: Needs) -> Callable[..., Any]:
        """Return the same for a step that uses the target's GPUs, where it has them.

        The function takes also the count, node selector and tolerations that go to the task.
        """
        add = self.step(component, needs, cuda=True)

        def add_with_gpu(
            gpu_count: Any, gpu_node_selector: Any, gpu_tolerations: Any, **arguments: Any
        ) -> dsl.PipelineTask:
            task = add(**arguments)
            self.target.ask_for_gpus(task, gpu_count, gpu_node_selector, gpu_tolerations)
            return task

        return add_with_gpu


def drop_new_fields(task: dsl.PipelineTask) -> None:
    """Drop what says of a task's secrets that they are optional, or come from a parameter.

    The drivers of back ends before 2.4.1, and 2.14, refuse a field they don't know.
    """
    settings = task.platform_config["kubernetes"]
    for secret in (*settings.get("secretAsEnv", ()), *settings.get("imagePullSecret", ())):
        for field in ("optional", "secretNameParameter"):
            secret.pop(field, None)


def drop_descriptions(spec: Any) -> None:
    """Drop what a pipeline's specification says of its tasks' inputs and outputs.

    The UI does not show it, and the back end keeps it nine times for each task. The components' own
    YAML has it. spec: kfp's protobuf message, which is changed.
    """
    for component in spec.components.values():
        for definitions in (component.input_definitions, component.output_definitions):
            for described in (*definitions.parameters.values(), *definitions.artifacts.values()):
                described.ClearField("description")


def drop_defaults(spec: Any) -> None:
    """Drop the parameters that no task of a pipeline sets, and the defaults of those that all set.

    The step has the defaults itself, and the back end keeps what is said of them nine times for
    each task. spec: kfp's protobuf message, which is changed.
    """
    tasks = [task for dag in dags_of(spec) for task in dag.tasks.values()]
    for key, component in spec.components.items():
        parameters = component.input_definitions.parameters
        of_component = [task for task in tasks if task.component_ref.name == key]
        for name in [name for name, parameter in parameters.items() if parameter.is_optional]:
            given = [name in task.inputs.parameters for task in of_component]
            if all(given):
                parameters[name].ClearField("default_value")
                parameters[name].ClearField("is_optional")
            elif not any(given):
                del parameters[name]


def dags_of(spec: Any) -> list[Any]:
    """Return the graph of a pipeline, and of each loop and condition in it."""
    inner = [component.dag for component in spec.components.values() if component.HasField("dag")]
    return [spec.root.dag, *inner]


def with_parameters(function: Callable[..., Any], left_out: Collection[str]) -> Callable[..., Any]:
    """Return a pipeline function without some parameters, and with hyperparameters spelled out.

    left_out: names of parameters, which keep their defaults. The hyperparameters that training can
    be told stand in the place of **, each left open.
    """
    signature = inspect.signature(function)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            parameters += map(hyperparameter, RULES)
        elif name not in left_out:
            parameters.append(parameter)

    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(**dict(zip((p.name for p in parameters), arguments, strict=True)))

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper


def hyperparameter(name: str) -> inspect.Parameter:
    """Return a hyperparameter as a parameter of a pipeline, left open to the recipe."""
    rule = RULES[name]
    kind = list[int] if rule.kind is list else rule.kind
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=rule.open, annotation=kind
    )


def step_name(executor: str) -> str:
    """Return the name of the step of an executor: exec-ingest-images is of ingest_images."""
    return re.sub(r"^exec-|-\d+$", "", executor).replace("-", "_")


def step_names(spec: Any) -> list[str]:
    """Return the names of a pipeline's steps. spec: kfp's protobuf message."""
    executors = spec.deployment_spec["executors"]
    return sorted({step_name(key) for key in executors if "container" in executors[key]})


def file_name(pipeline: str, gpu: bool) -> str:
    """Return the name of the YAML of a pipeline; gpu: training asks for GPUs."""
    if pipeline == "batch_predict":  # it asks for no GPU, so that both are the same
        return "batch_predict.yaml"
    stem = "pipeline" if pipeline == "train" else pipeline
    return f"{stem}{'' if gpu else '-cpu'}.yaml"


def write_yaml(pipeline: Any, path: pathlib.Path) -> None:
    """Compile a pipeline or a component into a YAML file, the same bytes every time.

    kfp writes a default that is a dictionary into the leading comment in an order that changes
    from run to run: the comment is made again from the YAML, which is sorted.
    """
    with tempfile.TemporaryDirectory(dir=path.absolute().parent) as directory:
        compiled = pathlib.Path(directory, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(compiled))
        lines = compiled.read_text().splitlines(keepends=True)
        body = "".join(itertools.dropwhile(lambda line: line.startswith("#"), lines))
        comment = pipeline_spec_builder.extract_comments_from_pipeline_spec(
            next(yaml.safe_load_all(body)), pipeline.description
        )
        compiled.write_text(f"{comment}# Made by: {PROJECT} {kfp_mnist_mxnet.__version__}\n{body}")
        os.replace(compiled, path)
