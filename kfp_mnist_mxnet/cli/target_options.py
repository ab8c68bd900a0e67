"""Options that say where steps run, and what an organisation has of its own."""

import functools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kfp_mnist_mxnet.compiler.install import PUBLIC, PYTHON_IMAGE, Base
from kfp_mnist_mxnet.compiler.site import ResourceOverride, S3Secret, Site
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.address import Address

if TYPE_CHECKING:  # it imports kfp
    from kfp_mnist_mxnet.compiler.target import Target

Value = TypeVar("Value")

IN_THE_YAML = "for all who may see a run"
CREDENTIALS = (
    f"is given with credentials or a query, which would stand in the YAML, {IN_THE_YAML}: give the "
    "address alone and mount a netrc from a Secret, or leave --index out and set PIP_INDEX_URL "
    "from a Secret or mount a pip.conf (docs/admin.md)"
)
ONE_WORD = re.compile(r"[\w.:/%~+@\[\]-]+", re.ASCII)
IMAGE = re.compile(r"[a-z0-9][\w.:/@-]*", re.ASCII)
KUBERNETES_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
SECRET_KEY = re.compile(r"[\w.-]+", re.ASCII)
CPU = re.compile(r"\d+m|\d+(\.\d+)?", re.ASCII)
MEMORY = re.compile(r"\d+([EPTGM]i?|Ki)?", re.ASCII)
VARIABLE = re.compile(r"[A-Z_a-z][0-9A-Z_a-z]*")
SECRET_VARIABLE = re.compile(
    r"(TOKEN|PASS(WORD|WD|PHRASE)|SECRET|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY)S?([\d_]|$)",
    re.IGNORECASE,
)
SAYS_WHERE = re.compile(r"(PIP|UV)_\w*(INDEX|LINKS)")  # packages come from
NAMES_A_FILE = re.compile(r"_(FILE|PATH|DIR)$", re.IGNORECASE)
USER = re.compile(r"//[^/\s]*@|^[^/@\s]+:[^/@\s]+@")  # user:password@host, with a scheme or without


def check_component(site: Site) -> None:
    """Check that a component alone can be compiled for a site.

    Raises:
        click.UsageError: the site has what is set on a task of a pipeline.
    """
    if site != Site(base=site.base):
        raise click.UsageError(
            "--s3-secret, --pull-secret, --resources and --env are for a pipeline: with "
            "--component set them on the task in the pipeline of your own"
        )


def check_installs(site: Site, image: str) -> None:
    """Check that a site has nothing for steps that install packages if none does.

    image: of the steps, that has all packages; empty if they install them.

    Raises:
        click.UsageError: it has.
    """
    if image and site.base != PUBLIC:
        raise click.UsageError(
            "--index and --base-image are for steps that install packages, not for --image, "
            "which has them"
        )


class Index(click.ParamType):
    """The address of a package index."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the address."""
        if not value:
            return ""
        try:
            address = Address.parse(value)
            if address.has_secrets:
                self.fail(f"{address.shown} {CREDENTIALS}", param, ctx)
            address.check_server()
        except InvalidInput as error:
            self.fail(f"expected http(s)://host/path: {error}", param, ctx)
        if not ONE_WORD.fullmatch(value):
            self.fail(f"{value!r} has a character in it that no address has", param, ctx)
        return value


class Image(click.ParamType):
    """The name of an image."""

    name = "IMAGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name."""
        if not IMAGE.fullmatch(value) or "://" in value:
            example = f"mirror.example/library/{PYTHON_IMAGE}"
            self.fail(f"{value!r} is no image: expected one such as {example}", param, ctx)
        return value


class SecretName(click.ParamType):
    """The name of a Secret of Kubernetes."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name."""
        if not KUBERNETES_NAME.fullmatch(value):
            self.fail(f"{value!r} is no name of a Secret of Kubernetes", param, ctx)
        return value


class S3SecretName(SecretName):
    """NAME or NAME:ACCESS_KEY,SECRET_KEY: a Secret, and the names of two keys in it."""

    name = "NAME[:KEY,KEY]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the secret."""
        if isinstance(value, S3Secret):
            return value
        name, colon, given = value.partition(":")
        super().convert(name, param, ctx)
        keys = given.split(",")
        if not colon:
            return S3Secret(name)
        if len(set(keys)) != 2 or len(keys) != 2 or not all(map(SECRET_KEY.fullmatch, keys)):
            self.fail(
                f"{value!r} must name two keys of the Secret after the colon, that of the access "
                f"key and that of the secret key, such as {name}:accesskey,secretkey",
                param,
                ctx,
            )
        return S3Secret(name, *keys)


class StepResources(click.ParamType):
    """STEP:cpu=4,memory=8Gi: CPUs and memory of a step, or one of them."""

    name = "STEP:cpu=N,memory=N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name of the step and its resources."""
        step, _, words = value.partition(":")
        given = [word.partition("=")[::2] for word in words.split(",")]
        names = [name for name, _ in given]
        if not step or not set(names) <= {"cpu", "memory"} or len(set(names)) != len(names):
            self.fail(f"expected STEP:cpu=4,memory=8Gi, got {value!r}", param, ctx)
        for name, quantity in given:
            form, example = (CPU, "4 or 500m") if name == "cpu" else (MEMORY, "8Gi or 512Mi")
            if not form.fullmatch(quantity) or not re.search("[1-9]", quantity):
                self.fail(f"{name} must be as {example}, got {quantity!r}", param, ctx)
        return step, ResourceOverride(**dict(given))


class Variable(click.ParamType):
    """NAME=VALUE: an environment variable that is no secret."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return name and value; messages do not show the value."""
        name, equals, content = value.partition("=")
        if not equals or not VARIABLE.fullmatch(name):
            self.fail("expected NAME=VALUE, the name of letters, digits and _", param, ctx)
        secret = SECRET_VARIABLE.search(name) and not NAMES_A_FILE.search(name)
        if secret or USER.search(content):
            self.fail(
                f"{name} looks like a secret, which would stand in the YAML, {IN_THE_YAML}: set it "
                "from a Secret of Kubernetes (docs/admin.md)",
                param,
                ctx,
            )
        return name, content


def by_name(option: str, given: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """Return what an option gives for each name, in the order of the names.

    Raises:
        click.UsageError: one name is given twice.
    """
    found: dict[str, Value] = {}
    for name, value in given:
        if name in found:
            raise click.UsageError(f"{option} gives {name} twice")
        found[name] = value
    return dict(sorted(found.items()))


def site_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a site, which it takes as one."""

    @functools.wraps(command)
    def sited(
        index: str,
        base_image: str,
        s3_secret: S3Secret,
        pull_secret: tuple[str, ...],
        resources: tuple[tuple[str, ResourceOverride], ...],
        env: tuple[tuple[str, str], ...],
        **others: Any,
    ) -> Any:
        site = Site(
            Base(base_image, index),
            s3_secret,
            tuple(dict.fromkeys(pull_secret)),
            by_name("--resources", resources),
            by_name("--env", env),
        )
        for name in filter(SAYS_WHERE.match, site.env if index else ()):
            raise click.UsageError(
                f"--index is the only index that steps use: leave out --env {name}"
            )
        return command(site=site, **others)

    for option in (
        click.option(
            "--env",
            type=Variable(),
            multiple=True,
            help="Environment variable of every step; no secret. May be given many times.",
        ),
        click.option(
            "--resources",
            type=StepResources(),
            metavar="STEP:cpu=4,memory=8Gi",
            multiple=True,
            help="Request and limit of a step. May be given many times.",
        ),
        click.option(
            "--pull-secret",
            type=SecretName(),
            multiple=True,
            help="Secret that images are pulled with. May be given many times.",
        ),
        click.option(
            "--s3-secret",
            type=S3SecretName(),
            default=S3Secret(),
            help=f"Secret with S3 credentials.  [default: {S3Secret().name}:accesskey,secretkey]",
        ),
        click.option(
            "--base-image",
            type=Image(),
            default=PYTHON_IMAGE,
            show_default=True,
            help="Image of steps that install packages, such as one of a mirror.",
        ),
        click.option(
            "--index", type=Index(), default="", help="The only package index that steps use."
        ),
    ):
        sited = option(sited)
    return sited


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose where its steps run."""
    for option in (
        site_options,
        click.option(
            "--node-selector",
            metavar="KEY=VALUE",
            help="Node selector of the GPU nodes, fixed in the YAML.",
        ),
        click.option(
            "--gpu-image", default="", help="Image with the library, for training on a GPU."
        ),
        click.option(
            "--image", default="", help="Image with the library; its steps install nothing."
        ),
        click.option(
            "--package",
            default="",
            metavar="REQUIREMENT",
            help="Wheel of the library that pip installs: name==version, or its address.",
        ),
        click.option(
            "--target", type=click.Choice(["gpu", "cpu"]), default="gpu", show_default=True
        ),
    ):
        command = option(command)
    return command


def chosen_target(
    target: str, image: str, gpu_image: str, package: str, node_selector: str, site: Site
) -> "Target":
    """Return the target that the options of a command choose.

    Raises:
        click.UsageError: options that do not fit each other.
    """
    from kfp_mnist_mxnet.compiler.target import Target

    if package and (image or gpu_image):
        raise click.UsageError("--package is for the public image, not for --image")
    if set(package) & set("'\"\\$` "):
        raise click.UsageError(f"--package must be one word, got {package!r}")
    if USER.search(package):
        raise click.UsageError("--package must have no credentials: they would stand in the YAML")
    if target == "gpu" and bool(image) != bool(gpu_image):
        raise click.UsageError("--target gpu takes --image and --gpu-image together, or neither")
    if target == "cpu" and (gpu_image or node_selector):
        raise click.UsageError("--gpu-image and --node-selector are for --target gpu")
    check_installs(site, image)
    key, _, value = (node_selector or "").partition("=")
    if node_selector and not (key and value):
        raise click.UsageError(f"--node-selector must be KEY=VALUE, got {node_selector!r}")
    fixed = (key, value) if node_selector else None
    return Target(
        gpu=target == "gpu",
        image=image,
        gpu_image=gpu_image,
        package=package,
        node_selector=fixed,
        site=site,
    )
