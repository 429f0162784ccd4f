"""Charts for pages: inline SVG in the page's own text colour, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# As wide as a phone: several stand side by side on a desktop, and no text gets too small to read.
_SIZE = (4.2, 2.7)
_INK = "#010203"  # becomes the text's colour
_COLOURS = ["#3f83bd", "#d9822b", "#5a9e6f", "#a06cb4"]
_BINS = np.arange(0, 1.01, 0.1)


def line_chart(title: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Curves over steps as an SVG element.

    Args:
        lines: by name, (step, value) in order of steps.
    """
    figure, axes = _figure(title)
    for colour, (name, points) in zip(_COLOURS, lines.items(), strict=False):
        steps, values = zip(*points, strict=True)
        marker = "o" if len(points) < 20 else None
        axes.plot(steps, values, label=name, color=colour, marker=marker, markersize=3)
    axes.set_xlabel("step")
    return _svg(figure, axes)


def error_histogram(title: str, rates: Mapping[str, Sequence[float]]) -> str:
    """How many answers have which word error rate, as an SVG element; 100 % and more are one bin.

    Args:
        rates: by name, one rate an answer.
    """
    figure, axes = _figure(title)
    width = 0.1 / len(rates)
    for place, (colour, (name, values)) in enumerate(zip(_COLOURS, rates.items(), strict=False)):
        # The last bin, [1.0, 1.1), holds everything from 100 % on.
        counts, _ = np.histogram(np.minimum(values, 1.05), np.append(_BINS, 1.1))
        axes.bar(
            np.append(_BINS[:-1], 1.0) + (place + 0.5) * width,
            counts / len(values),
            width * 0.9,
            label=f"{name} ({len(values)})",
            color=colour,
        )
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "≥ 100 %"])
    axes.set_xlabel("word error rate")
    axes.set_ylabel("share of answers")
    return _svg(figure, axes)


def _figure(title: str) -> tuple[Figure, Axes]:
    # Figure, not pyplot: no global state, and no display is looked for.
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=_INK, fontsize=9)
    return figure, axes


def _svg(figure: Figure, axes: Axes) -> str:
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
    buffer = io.StringIO()
    # "none": text stays text, in the page's font. The salt makes equal charts equal bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "voxtwist"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg.replace(_INK, "currentColor").replace("DejaVu Sans", "system-ui")
