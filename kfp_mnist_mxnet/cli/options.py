"""What the commands share: options, help, completion."""

import contextlib
import difflib
import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from kfp_mnist_mxnet.compiler.install import PROJECT
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.secret import checked_secret

# Those of pipeline.py, whose import brings kfp: --help does without.
PIPELINES = ("batch_predict", "sweep", "train", "train_distributed", "tune")
# The extra that each module is of.
EXTRAS = {
    **dict.fromkeys(("docker", "kfp.kubernetes", "markdown_it", "rich"), "laptop"),
    "uv": "serve",
}
PROGRAM = "PROGRAM"  # stands for what the command line is called by

COMPLETION = """

Bash completes the commands of kfp-mnist-mxnet, options, parameters and runs after

\b
  eval "$(_KFP_MNIST_MXNET_COMPLETE=bash_source kfp-mnist-mxnet)"
"""


def program(ctx: click.Context | None = None) -> str:
    """Return what the command line is called by here: its name, or python and a file."""
    ctx = ctx or click.get_current_context(silent=True)
    name = (ctx.find_root().info_name if ctx else "") or "kfp-mnist-mxnet"
    return f"python {name}" if name.endswith(".py") else name


class Command(click.Command):
    """A command whose examples are what one types here, and that says what is not installed."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and the parameters of the pipeline that is chosen, if there is one."""
        super().format_options(ctx, formatter)
        for option in self.params:
            if isinstance(option.type, Assignment):
                name = ctx.params.get("pipeline") or "train"
                with formatter.section(f"Parameters of {name} (of others: --pipeline NAME --help)"):
                    formatter.write_dl(option.type.described(name))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the end of the help."""
        self.epilog = (self.epilog or "").replace(PROGRAM, program(ctx))
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            click.ClickException: a package of an extra is not installed, or a file or a directory
                can't be read or written.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            for module, extra in EXTRAS.items():
                if (error.name or "").startswith(module):
                    raise click.ClickException(
                        f"{error.name} is not installed: in a clone of {PROJECT}, "
                        f"pip install '.[{extra}]'"
                    ) from error
            raise
        except OSError as error:
            if error.errno == errno.EPIPE or not error.strerror:  # click ends quietly; no file's
                raise
            raise click.ClickException(file_error(error)) from error


class UserPath(click.Path):
    """A path in which ~ stands for the home directory, also after = where no shell puts it in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, checked as click does."""
        return super().convert(os.path.expanduser(value), param, ctx)


class Size(click.ParamType):
    """HEIGHTxWIDTH in pixels, or one number for both."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return height and width."""
        sizes = value.lower().split("x")
        if not all(size.isdecimal() and int(size) for size in sizes) or len(sizes) > 2:
            self.fail(f"{value!r} is no size: expected one such as 28 or 28x32", param, ctx)
        return int(sizes[0]), int(sizes[-1])


class Commands(Command, click.Group):
    """A group of commands that tells the nearest name of a command that is not there."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that the arguments name, as click does.

        Raises:
            click.UsageError: there is no such command.
        """
        if args and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            names = self.list_commands(ctx)
            ctx.fail(f"no command {args[0]!r}: {nearest(args[0], names)}")
        return super().resolve_command(ctx, args)


def file_error(error: OSError) -> str:
    """Return what is wrong with a file, and which, in a few words."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


@contextlib.contextmanager
def written(option: str) -> Iterator[None]:
    """Turn what is wrong with a place to write to into a usage error.

    option: which names the place, with its value.

    Raises:
        click.UsageError: the block could not write there.
    """
    try:
        yield
    except OSError as error:
        raise click.UsageError(f"{option} can't be written: {error.strerror}") from error


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which of some names was probably meant, or else what all of them are."""
    names = list(names)
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"


def examples(*lines: str) -> str:
    """Return the end of a command's help: what to type, as it is typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)


class Assignment(click.ParamType):
    """NAME=VALUE, completed with the names of the chosen pipeline's parameters.

    inputs: returns kfp's specifications of them by name, for the value of --pipeline.
    """

    name = "NAME=VALUE"

    def __init__(self, inputs: Callable[[str], Mapping[str, Any]]) -> None:
        self.inputs = inputs

    def described(self, pipeline: str) -> list[tuple[str, str]]:
        """Return each parameter of a pipeline with its type and default, as help shows them."""
        return [
            (
                name,
                spec.type + (f"  [default: {json.dumps(spec.default)}]" if spec.optional else ""),
            )
            for name, spec in self.inputs(pipeline).items()
        ]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that start as the incomplete word does, each with its `=`."""
        names = self.inputs(ctx.params.get("pipeline") or "train")
        return [CompletionItem(f"{name}=") for name in names if name.startswith(incomplete)]


class BashWithoutSpace(BashComplete):
    """Completion in bash that puts no space after NAME=."""

    source_template = BashComplete.source_template.replace(
        "    return 0\n", "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return 0\n", 1
    )


add_completion_class(BashWithoutSpace)


def secret(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return a token or cookies without the white space around them, None for none.

    Raises:
        click.UsageError: it has a character in it that no header of a request may have.
    """
    try:
        return checked_secret(f"{param.envvar} or {param.opts[0]}", value or "") or None
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
