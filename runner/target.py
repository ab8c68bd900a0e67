"""Where the steps of a pipeline run, and what they ask the cluster for."""

import dataclasses
import functools
import inspect
import itertools
import os
import pathlib
import tempfile
from typing import Any, Callable, Optional

import yaml
from kfp import compiler, dsl, kubernetes
from kfp.compiler import pipeline_spec_builder

from components._step import on_image, with_cuda

GPU = "nvidia.com/gpu"
GPU_PARAMETERS = ("gpu_count", "gpu_node_selector", "gpu_tolerations")
GPU_TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}

# Kubeflow Pipelines puts the credentials of its own object store into this secret.
STORE_SECRET = "mlpipeline-minio-artifact"  # noqa: S105 (the name of a secret, not a secret)
STORE_KEYS = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a step asks the cluster for: CPUs, memory, seconds to finish, tries after a failure."""

    cpu: str
    memory: str
    cpu_limit: str
    memory_limit: str
    timeout: int
    retries: int = 0
    store: bool = False  # credentials of the object store in its environment


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the steps of a pipeline run: chosen once, when the pipeline is made.

    gpu: training asks for GPUs. image: an image that has kfp and all packages; empty for the
    public Python image, on which each step installs its packages. gpu_image: the same for
    training on GPUs. node_selector: a label (key, value) of the GPU nodes that is fixed in the
    YAML, in a form that back ends of Kubeflow Pipelines before 2.15 can read. local: no cluster.
    """

    gpu: bool = False
    image: str = ""
    gpu_image: str = ""
    node_selector: Optional[tuple[str, str]] = None
    local: bool = False

    def pipeline(self, **about: str) -> Callable[[Callable[..., Any]], Any]:
        """Return dsl.pipeline; only a pipeline that can use the parameters gpu_* has them."""

        def decorate(func: Callable[..., Any]) -> Any:
            fixed = not self.gpu or self.node_selector is not None
            return dsl.pipeline(**about)(without_gpu_parameters(func) if fixed else func)

        return decorate

    def display_name(self, text: str) -> Optional[str]:
        """Return the name that the UI shows for a part of the pipeline, None for kfp's own.

        Back ends before 2.14 look for the outputs of a task under the name that is shown:
        https://github.com/kubeflow/pipelines/pull/11938
        """
        return text if self.node_selector is None else None

    def step(self, component: Any, needs: Needs) -> Callable[..., dsl.PipelineTask]:
        """Return a function that adds the component as it runs on this target."""
        made = on_image(component, self.image) if self.image else component
        return self.task(made, needs)

    def gpu_step(self, component: Any, needs: Needs) -> Callable[..., dsl.PipelineTask]:
        """Return the same for a step that uses the target's GPUs, where it has them.

        The function takes also the count, node selector and tolerations that go to the task.
        """
        image = self.gpu_image if self.gpu else self.image
        if image:
            component = on_image(component, image)
        elif self.gpu:
            component = with_cuda(component)
        add = self.task(component, needs)

        def add_with_gpu(
            gpu_count: Any, gpu_node_selector: Any, gpu_tolerations: Any, **arguments: Any
        ) -> dsl.PipelineTask:
            task = add(**arguments)
            if self.gpu and self.node_selector:
                task.set_accelerator_type(GPU).set_accelerator_limit("1")
                kubernetes.add_node_selector(task, *self.node_selector)
                kubernetes.add_toleration(task, **GPU_TOLERATION)
            elif self.gpu:
                task.set_accelerator_type(GPU).set_accelerator_limit(gpu_count)
                kubernetes.add_node_selector_json(task, gpu_node_selector)
                kubernetes.add_toleration_json(task, gpu_tolerations)
            return task

        return add_with_gpu

    def task(self, component: Any, needs: Needs) -> Callable[..., dsl.PipelineTask]:
        """Return a function that adds a component to the pipeline with what it needs."""

        def add(**arguments: Any) -> dsl.PipelineTask:
            task = component(**arguments)
            if self.local:
                return task
            name = component.python_func.__name__
            task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu_limit)
            task.set_memory_request(needs.memory).set_memory_limit(needs.memory_limit)
            if needs.retries:
                task.set_retry(needs.retries, "30s", 2.0, "300s")
            kubernetes.set_timeout(task, needs.timeout)
            kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "kfp-mnist-mxnet")
            if needs.store:
                kubernetes.use_secret_as_env(task, STORE_SECRET, STORE_KEYS, optional=True)
            shown = self.display_name(name.replace("_", " ").capitalize())
            if shown:
                task.set_display_name(shown)
                label = name.replace("_", "-")
                kubernetes.add_pod_label(task, "app.kubernetes.io/component", label)
            elif needs.store:
                # The drivers of back ends before 2.4.1, and 2.14, refuse a field they don't know.
                (secret,) = task.platform_config["kubernetes"]["secretAsEnv"]
                del secret["optional"], secret["secretNameParameter"]
            return task

        return add


def without_gpu_parameters(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return a pipeline function without the parameters gpu_*, which keep their defaults."""
    signature = inspect.signature(func)
    parameters = [p for name, p in signature.parameters.items() if name not in GPU_PARAMETERS]

    @functools.wraps(func)
    def wrapper(*arguments: Any) -> Any:
        return func(**dict(zip((parameter.name for parameter in parameters), arguments)))

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper


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
        compiled.write_text(comment + body)
        os.replace(compiled, path)
