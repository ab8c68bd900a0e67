"""The look of every report: one self-contained HTML page, readable in light and dark.

The Kubeflow UI shows a report in an iframe with sandbox="allow-scripts": no request leaves the
page and nothing is stored. Text is escaped by the template; pictures are inline.
"""

from typing import Any


def write_report(path: Any, title: str, facts: dict[str, Any], sections: list[Any]) -> None:
    """Write a report page.

    facts: label to value, shown large at the top. sections: from `section`, in order.
    """
    import jinja2

    template = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #1668c7; }
@media (prefers-color-scheme: dark) { :root { --accent: #7ab7ff; } }
* { box-sizing: border-box; }
html { background: Canvas; color: CanvasText; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0; }
dl div { background: var(--soft); border: 1px solid var(--line); border-radius: .5rem; }
dl div { padding: .4rem .8rem; }
dt { font-size: .8rem; }
dd { margin: 0; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; display: block; margin-bottom: .7rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; font-size: .8rem; text-align: center; min-width: 4.7rem; max-width: 8rem; }
figure img { width: 56px; height: 56px; object-fit: contain; image-rendering: pixelated; }
figcaption { overflow-wrap: anywhere; white-space: pre-line; }
.matrix { font-size: .8rem; }
.matrix th, .matrix td { padding: .2rem .35rem; text-align: center; }
.matrix td { border: 1px solid var(--line); min-width: 2rem; }
.matrix thead td { border: 0; }
@media (max-width: 30rem) { th, td { padding: .25rem .4rem; } }
@media (max-width: 30rem) { .matrix th, .matrix td { padding: .1rem; min-width: 1.1rem; } }
@media (max-width: 30rem) { .matrix { font-size: .7rem; } }
.right { background: color-mix(in srgb, var(--accent) calc(var(--share) * 60%), transparent); }
.wrong { background: color-mix(in srgb, #e0402f calc(var(--share) * 60%), transparent); }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<dl>
{% for name, value in facts.items() %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl>
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
{% if section.text %}<p>{{ section.text }}</p>{% endif %}
{% if section.figure %}{{ section.figure | safe }}{% endif %}
{% if section.matrix %}<div class="scroll" tabindex="0"><table class="matrix">
<thead><tr><td></td>
{%- for name, _ in section.matrix %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for name, cells in section.matrix %}<tr><th scope="row">{{ name }}</th>
{%- for text, kind, share in cells %}<td class="{{ kind }}" style="--share: {{ share }}">
{{- text }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% if section.pictures %}<div class="pictures">
{% for uri, caption in section.pictures %}
<figure><img src="{{ uri }}" alt="{{ caption }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}</div>{% endif %}
{% if section.rows %}<div class="scroll" tabindex="0"><table>
<thead><tr>{% for name in section.head %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in section.rows %}<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(title=title, facts=facts, sections=sections)
    # A lone surrogate, which JSON may bring, is no text that UTF-8 has.
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(page)


def section(
    title: str,
    text: str = "",
    figure: str = "",
    pictures: tuple[tuple[str, str], ...] = (),
    head: tuple[str, ...] = (),
    rows: tuple[tuple[Any, ...], ...] = (),
    matrix: tuple[Any, ...] = (),
) -> dict[str, Any]:
    """Return one section of a report: text, a figure, a heat map, captioned pictures, a table.

    figure: from `figure_svg` only, as it is not escaped. matrix: from `heat_map`. pictures: (data
    URI, caption) pairs; a caption may have several lines.
    """
    return {
        "title": title,
        "text": text,
        "figure": figure,
        "pictures": pictures,
        "head": head,
        "rows": rows,
        "matrix": matrix,
    }


def heat_map(names: list[str], counts: Any) -> tuple[Any, ...]:
    """Return a confusion matrix as `section` draws it.

    counts: int64 (K, K), rows are the true labels; names: of the K classes.
    """
    shares = heat(counts)
    return tuple(
        (
            names[row],
            tuple(
                (
                    f"{count:,}" if count else "",
                    "right" if row == column else "wrong",
                    f"{shares[row, column]:.3f}",
                )
                for column, count in enumerate(counts[row])
            ),
        )
        for row in range(len(names))
    )


def heat(counts: Any) -> Any:
    """Return how strongly each cell of a confusion matrix is shaded, float64 (K, K), 0 to 1.

    counts: as for `heat_map`. What is right is shaded by its share of the row, what is wrong by
    its share of the most frequent error.
    """
    import numpy as np

    errors = counts - np.diag(counts.diagonal())
    right = np.diag(counts.diagonal()) / counts.sum(1, keepdims=True).clip(1)
    return right + errors / max(1, errors.max())


def new_figure(width: float, height: float) -> Any:
    """Return a matplotlib figure (inches) for `figure_svg`, without any display or pyplot state."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # else its import tells of fonts
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def figure_svg(figure: Any, label: str) -> str:
    """Return a figure as inline SVG that takes the page's text colour, the same bytes every time.

    label: what a screen reader says of the figure.
    """
    import html
    import io
    import warnings

    import matplotlib
    import matplotlib.text

    ink = "#010203"  # black in every plot is drawn in this, then in the page's own colour
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.title.set_color(ink)
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
        axes.tick_params(colors=ink, which="both")
        for spine in axes.spines.values():
            spine.set_color(ink)
        legend = axes.get_legend()
        for text in legend.get_texts() if legend else ():
            text.set_color(ink)
    for text in figure.findobj(matplotlib.text.Text):
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
    buffer = io.StringIO()
    settings = dict.fromkeys(names, ink)
    settings |= {"svg.fonttype": "none", "svg.hashsalt": label}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has its own fonts
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(ink, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)


def picture(image: Any) -> str:
    """Return a uint8 image (C, H, W) with 1, 3 or 4 channels as a PNG data URI.

    Other numbers of channels are shown by their first one.
    """
    import base64
    import io

    import numpy as np
    from PIL import Image

    shown = image if image.shape[0] in (3, 4) else image[:1]
    array = np.ascontiguousarray(np.squeeze(np.moveaxis(shown, 0, -1)))
    if array.ndim < 2:  # an image of one row or one column
        array = array.reshape(image.shape[1:])
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
