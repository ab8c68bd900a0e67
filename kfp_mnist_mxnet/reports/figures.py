"""Figures as inline SVG."""

import html
import io
import logging
import warnings
from typing import Any

# Before its first import, which tells of fonts, and of a home that can't be written.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
import matplotlib  # noqa: E402
import matplotlib.text  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import LogLocator, NullLocator  # noqa: E402

INK = "#010203"  # black in every plot is drawn in this, then in the page's own colour
LONGEST_NAME = 20  # letters


def new_figure(width: float, height: float) -> Figure:
    """Return a matplotlib figure (inches) for `figure_svg`, without any display or pyplot state."""
    return Figure(figsize=(width, height), layout="constrained")


def short(name: str) -> str:
    """Return a name as it fits beside an axis: a long one would take all the room."""
    name = name.encode(errors="replace").decode()  # matplotlib draws no lone surrogate
    return (
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    )


def percent_axis(axis: Any) -> None:
    """Let an axis, linear or logarithmic, name shares of 0 to 1 in percent."""
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")


def figure_svg(figure: Figure, label: str) -> str:
    """Return a figure as inline SVG that takes the page's text colour, the same bytes every time.

    label: what a screen reader says of the figure.
    """
    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.title.set_color(INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.tick_params(colors=INK, which="both")
        for spine in axes.spines.values():
            spine.set_color(INK)
        legend = axes.get_legend()
        for text in legend.get_texts() if legend else ():
            text.set_color(INK)
    for artist in figure.findobj(matplotlib.text.Text):
        artist.set_parse_math(False)  # a dollar sign is one
        artist.set_text(artist.get_text().encode(errors="replace").decode())  # no surrogates
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: Any = dict.fromkeys(names, INK) | {"svg.fonttype": "none", "svg.hashsalt": label}
    buffer = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has its own fonts
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
