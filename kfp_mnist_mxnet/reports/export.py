"""What the export report shows."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from onnx import ModelProto

from kfp_mnist_mxnet.export.translation import OPSET
from kfp_mnist_mxnet.export.verification import TOLERANCE, ParityResult, Sample
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure
from kfp_mnist_mxnet.reports.page import Section, write_report

BY = "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}"
LEAST = 1e-9  # smaller differences are drawn as this one


def write_export_report(
    path: pathlib.Path,
    directory: pathlib.Path,
    model: ModelProto,
    sample: Sample,
    parity: ParityResult,
    names: Sequence[str],
) -> None:
    """Write the export report: the comparison of both models, the network in ONNX, the files.

    directory: of the exported model; names: of the classes.
    """
    images = len(sample.images)
    write_report(
        path,
        "Export",
        {
            "synthetic images" if sample.synthetic else "images": f"{images:,}",
            "images with another class": f"{parity.num_other:,}",
            "largest difference": f"{parity.differences.max():.2g}",
            "ONNX Runtime": f"{images / parity.onnx_seconds:,.0f} images a second",
            "MXNet": f"{images / parity.module_seconds:,.0f} images a second",
            "size": f"{model.ByteSize() / 1000:,.0f} kB",
        },
        [
            differences_section(parity),
            classes_section(parity, names),
            Section(
                "Network",
                f"ONNX, opset {OPSET}. The first two operators are the scaling of the pixels.",
                head=("name", "operator", "output"),
                rows=operator_rows(model),
            ),
            Section("Files", head=("file", "bytes"), rows=file_rows(directory)),
        ],
    )


def differences_section(parity: ParityResult) -> Section:
    """Return the distribution of the differences, and of the probabilities by both."""
    rows = [
        (f"{share:.0%} of the images", f"{np.quantile(parity.differences, share):.2g}")
        for share in (0.5, 0.9, 0.99, 1)
    ]
    return Section(
        "Differences of the probabilities",
        "The largest difference of a probability of each image between ONNX Runtime and MXNet; "
        f"{TOLERANCE:g} is allowed. Below, how sure both are of the class that they predict.",
        figure=figure_svg(plot_differences(parity), "Differences, and probabilities by both"),
        head=("share", "difference up to"),
        rows=rows,
    )


def plot_differences(parity: ParityResult) -> Figure:
    """Return a figure with two histograms: of the differences, and of both probabilities."""
    figure = new_figure(6, 4.6)
    difference, probability = figure.subplots(2, 1)
    drawn = parity.differences.astype(float).clip(LEAST, TOLERANCE)
    difference.hist(drawn, np.geomspace(LEAST, TOLERANCE, 41))
    difference.set_xscale("log")
    difference.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    difference.xaxis.set_minor_formatter(NullFormatter())
    difference.set_xlabel(f"largest difference of an image; {LEAST:g} stands for less")
    bins = np.linspace(0, 1, 41).tolist()
    probability.hist(parity.module.max(1), bins, label="MXNet", alpha=0.4)
    probability.hist(parity.onnx.max(1), bins, label="ONNX Runtime", histtype="step")
    probability.set_xlabel("probability of the predicted class")
    probability.legend(frameon=False, loc="upper left")
    for axes in (difference, probability):
        axes.set_ylabel("images")
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_ylim(0, 2 * len(parity.module))
    return figure


def classes_section(parity: ParityResult, names: Sequence[str]) -> Section:
    """Return how often each class is predicted by both."""
    columns = [
        np.bincount(probabilities.argmax(1), minlength=len(names))
        for probabilities in (parity.module, parity.onnx)
    ]
    rows = [
        (name, *(f"{n:,}" for n in counts)) for name, *counts in zip(names, *columns, strict=True)
    ]
    return Section("Predicted classes", head=("class", "MXNet", "ONNX Runtime"), rows=rows)


def operator_rows(model: ModelProto) -> list[tuple[str, str, str]]:
    """Return name, operator and shape of the output of every operator."""
    described = [*model.graph.value_info, *model.graph.output]
    shapes = {
        value.name: BY.join(
            size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim
        )
        for value in described
    }
    return [(node.name, node.op_type, shapes[node.output[0]]) for node in model.graph.node]


def file_rows(directory: pathlib.Path) -> list[tuple[str, str]]:
    """Return path and size of every file below a directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return [(str(path.relative_to(directory)), f"{path.stat().st_size:,}") for path in files]
