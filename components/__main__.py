"""The components as commands: `python -m kfp_mnist_mxnet.components NAME --help`."""

import click

from kfp_mnist_mxnet.cli.component_command import command
from kfp_mnist_mxnet.components import COMPONENTS

main = click.Group(
    "python -m kfp_mnist_mxnet.components",
    commands={name: command(component) for name, component in COMPONENTS.items()},
    help="Run a component on this machine, by itself.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

if __name__ == "__main__":
    main()
