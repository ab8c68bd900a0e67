"""What the command convert does: images to IDX files, and what is said about them."""

import pathlib

import click

from kfp_mnist_mxnet.cli.logs import clean
from kfp_mnist_mxnet.cli.options import program
from kfp_mnist_mxnet.conversion.convert import Converted, Options, convert
from kfp_mnist_mxnet.errors import InvalidInput

SHOWN = 40  # classes


def convert_images(source: str, directory: str, options: Options) -> None:
    """Convert a source, say what was written, what was left out and what comes next.

    Raises:
        click.ClickException: the source or an option is refused.
    """
    try:
        converted = convert(pathlib.Path(source), pathlib.Path(directory), options)
    except InvalidInput as error:
        raise click.ClickException(str(error)) from error
    for line in described(converted):
        click.echo(line)
    click.echo(f"wrote {directory}: {', '.join(converted.files)}")
    click.echo(f"next: {program()} {next_command(converted, directory)}")


def described(converted: Converted) -> list[str]:
    """Return what the images are like, line by line."""
    parts = ", ".join(
        f"{sum(counts):,} to {use(name, converted)}" for name, counts in converted.counts.items()
    )
    lines = [f"images   {parts}, each {converted.layout}"]
    if converted.class_names:
        lines.append(f"classes  {len(converted.class_names)}: label, name, images")
        rows = zip(converted.class_names, *converted.counts.values(), strict=True)
        for label, (name, *counts) in enumerate(rows):
            if label < SHOWN:
                lines.append(f"  {label:>3}  {name}  {' + '.join(f'{n:,}' for n in counts)}")
        if len(converted.class_names) > SHOWN:
            lines.append(f"  ... and {len(converted.class_names) - SHOWN} more")
    return lines + [clean(note) for note in converted.notes]


def use(name: str, converted: Converted) -> str:
    """Return what a part is for: train, test, or predict if there are no labels."""
    return name if converted.class_names else "predict"


def next_command(converted: Converted, directory: str) -> str:
    """Return what to type to use the files."""
    if converted.class_names:
        return f"run --data-uri {directory}"
    return (
        f"run --pipeline batch_predict --data-uri {directory} -p model_uri=latest -p labels_file="
    )
