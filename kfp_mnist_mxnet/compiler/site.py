"""What an organisation has of its own in place of what is public: mirrors, secrets, sizes, proxies.

docs/admin.md says what each is for.
"""

import dataclasses
from collections.abc import Mapping

from kfp_mnist_mxnet.compiler.install import PUBLIC, Base


@dataclasses.dataclass(frozen=True)
class S3Secret:
    """The Secret that has the credentials of an object store, and the keys in it that have them.

    By default the one in which Kubeflow Pipelines keeps those of its own store.
    """

    name: str = "mlpipeline-minio-artifact"
    access_key: str = "accesskey"
    secret_key: str = "secretkey"  # noqa: S105 (the name of a key, not a secret)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variable of a step for each key."""
        return {self.access_key: "AWS_ACCESS_KEY_ID", self.secret_key: "AWS_SECRET_ACCESS_KEY"}


@dataclasses.dataclass(frozen=True)
class ResourceOverride:
    """CPUs and memory of a step, as Kubernetes writes them; empty for the pipeline's own."""

    cpu: str = ""
    memory: str = ""


@dataclasses.dataclass(frozen=True)
class Site:
    """What is an organisation's own: chosen once, when the pipeline is made.

    pull_secrets: names of the Secrets with which the cluster pulls the images of steps.
    resources: of steps, by name of the component. env: environment variables of every step.
    """

    base: Base = PUBLIC
    s3_secret: S3Secret = S3Secret()
    pull_secrets: tuple[str, ...] = ()
    resources: Mapping[str, ResourceOverride] = dataclasses.field(default_factory=dict)
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
