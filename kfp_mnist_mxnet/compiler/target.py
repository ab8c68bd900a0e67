"""Where the steps of a pipeline run, and what they ask the cluster for."""

import dataclasses
import itertools
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable
from typing import Any, Literal

import kfp.kubernetes as kubernetes
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.compiler import pipeline_spec_builder

import kfp_mnist_mxnet
from kfp_mnist_mxnet.compiler.install import PROJECT
from kfp_mnist_mxnet.compiler.programs import ARTIFACT
from kfp_mnist_mxnet.compiler.site import ResourceOverride, Site
from kfp_mnist_mxnet.compiler.step import finish_commands, step_of

GPU = "nvidia.com/gpu"
GPU_TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}

POD_RETRIES = 2  # are replaced; a step that fails is not started again, whatever it is told


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a step asks the cluster for: CPUs, memory, seconds to finish."""

    cpu: str
    memory: str
    cpu_limit: str
    memory_limit: str
    timeout: int
    store: bool = False  # credentials of the object store in its environment
    gpu: bool = False  # uses the target's GPUs, where it has them

    def resized(self, resources: ResourceOverride) -> "Resources":
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
        """Return dsl.pipeline for a function; parameters that no task takes are left out."""

        def decorate(function: Callable[..., Any]) -> Any:
            pipeline = dsl.pipeline(**about)(function)
            spec = pipeline.pipeline_spec
            finish_commands(spec, self.site.base.index)
            for name in unused_parameters(pipeline):
                del pipeline.component_spec.inputs[name]
                del spec.root.input_definitions.parameters[name]
            if self.place == "cluster":
                drop_descriptions(spec)
                drop_defaults(spec)
            return pipeline

        return decorate

    def display_name(self, text: str) -> str | None:
        """Return the name that the UI shows for a part of the pipeline, None for kfp's own.

        Back ends before 2.14 look for the outputs of a task under the name that is shown:
        https://github.com/kubeflow/pipelines/pull/11938
        """
        return text if self.node_selector is None else None

    def steps(self) -> "Steps":
        """Return what adds components to a pipeline."""
        return Steps(self)

    def max_iterations(self, embedded: int, installed: int) -> int:
        """Return how long a loop may be: where steps carry code, or not; on a laptop 0 for any."""
        if self.place != "cluster":
            return 0
        return installed if self.image or self.package else embedded

    def apply_kubernetes_settings(
        self, task: dsl.PipelineTask, name: str, resources: Resources
    ) -> dsl.PipelineTask:
        """Give a task its resources, retries, secrets and labels, and its name in the UI.

        name: of the component.
        """
        if self.place != "cluster":
            return task
        resources = resources.resized(
            self.site.resources.get(name.replace("-", "_"), ResourceOverride())
        )
        task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu_limit)
        task.set_memory_request(resources.memory).set_memory_limit(resources.memory_limit)
        task.set_retry(POD_RETRIES)
        kubernetes.set_timeout(task, resources.timeout)
        kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "kfp-mnist-mxnet")
        for variable, value in self.site.env.items():
            task.set_env_variable(variable, value)
        if resources.store:
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

    def request_gpus(
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


class Steps:
    """Adds components to a pipeline, each in the form in which its code gets to the target.

    Where steps carry code, the first of them carries that of all, and hands it on.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.first: dsl.PipelineTask | None = None

    def add(self, component: Any, resources: Resources, **arguments: Any) -> dsl.PipelineTask:
        """Add a component as a task; arguments: its inputs."""
        target, step = self.target, step_of(component)
        cuda = resources.gpu and target.gpu
        image, base = target.gpu_image if cuda else target.image, target.site.base
        if step is None:  # loaded from YAML, it is what it is
            form = component
        elif target.place == "processes":
            form = step.local()
        elif image:
            form = step.installed(image)
        elif target.package:
            form = step.packaged(target.package, base, cuda)
        elif self.first:
            form = step.later(base, cuda)
            arguments[ARTIFACT] = self.first.outputs[ARTIFACT]
        else:
            form = step.first(base, cuda)
        task = target.apply_kubernetes_settings(form(**arguments), form.name, resources)
        if ARTIFACT in (form.component_spec.outputs or {}):
            self.first = task
        return task


def unused_parameters(pipeline: Any) -> list[str]:
    """Return the parameters of a pipeline that no task, loop or setting of Kubernetes takes."""
    described = json_format.MessageToDict(pipeline.pipeline_spec.root.dag)
    described |= json_format.MessageToDict(pipeline.platform_spec)
    taken = re.findall(r'"(?:componentI|i)nputParameter": "([^"]+)"', json.dumps(described))
    return sorted(set(pipeline.component_spec.inputs or ()) - set(taken))


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
