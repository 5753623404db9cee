"""Plots as SVG text: small, reproducible, drawn in the colour of the text around them."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from longcut.data.challenge_layout import VARIANTS
from longcut.report.columns import Column, dataset_title
from longcut.report.compare import Comparison
from longcut.report.groups import Cell, Key
from longcut.report.series import colour, is_striped, marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BIAS_BARS = ("bias_aligned", "bias_conflicting", "worst_group")
INK = "#010203"
"""Stands for the colour of the surrounding text until the SVG is written."""
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "grid.linewidth": 0.5,
}
_CURVE_POINTS = 200
_LEGEND_ROW = 0.2
"""Height in inches."""


class Drawing:
    """A figure that becomes SVG text when its block ends."""

    svg = ""


@contextmanager
def drawing(name: str, width: float, height: float) -> Iterator[tuple[Figure, Drawing]]:
    """An empty figure of so many inches; what is drawn into it becomes text when the block ends."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    finished = Drawing()
    with rc_context({**_RC, "svg.hashsalt": f"longcut {name}"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's own font draws the letters
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, finished
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    finished.svg = re.sub(r"\n\s*", "\n", text.replace(INK, "currentColor"))


@contextmanager
def _drawing(name: str, width: float, height: float) -> Iterator[tuple[Axes, Drawing]]:
    """A figure with one plot."""
    with drawing(name, width, height) as (figure, finished):
        yield figure.add_subplot(), finished


def plot_same_against_rand(comparison: Comparison) -> str:
    """Mixed-Same against Mixed-Rand with the identity line, a point a run (CLAD, Figure 5).

    A model that ignores backgrounds lies on the line; the distance below it is its BG-Gap.
    """
    with _drawing("same_rand", 4.1, 3.9) as (axes, drawing):
        ends = []
        for i, group in enumerate(comparison.drawn):
            same, rand = group.get("accuracy", "mixed_same"), group.get("accuracy", "mixed_rand")
            if same is None or rand is None or len(same.values) != len(rand.values):
                continue
            x, y = 100 * np.array(same.values), 100 * np.array(rand.values)
            ends += [x, y]
            axes.plot(x, y, marker(i), color=colour(i), ms=7, alpha=0.9, ls="", label=short_label(group.label))
        if not ends:
            return ""
        low, high = np.concatenate(ends).min() - 5, min(np.concatenate(ends).max() + 5, 102)
        axes.plot([low, high], [low, high], color=INK, alpha=0.5, lw=0.8, ls=(0, (4, 3)), zorder=0)
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="Mixed-Same, %", ylabel="Mixed-Rand, %", aspect="equal")
        axes.grid(color=INK, alpha=0.12)
        if len(comparison.drawn) > 5:
            legend_above(axes)
        else:
            axes.legend(loc="upper left", handletextpad=0.3, borderaxespad=0.2)
    return drawing.svg


def plot_gaps(comparison: Comparison) -> str:
    """BG-Gap of each method with its 95 % interval."""
    groups = [(i, g) for i, g in enumerate(comparison.drawn) if g.get("bg_gap", "mixed_same-mixed_rand")]
    if not groups:
        return ""
    with _drawing("gaps", 4.8, 0.6 + 0.3 * len(groups)) as (axes, drawing):
        for row, (i, group) in enumerate(groups):
            cell = group.cells["bg_gap", "mixed_same-mixed_rand", None]
            axes.barh(row, 100 * cell.mean, 0.56, **_fill(i))
            _whisker(axes, cell, row, horizontal=True)
        axes.set_yticks(range(len(groups)), [short_label(g.label) for _, g in groups])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.axvline(0, color=INK, lw=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("BG-Gap: points lost on random backgrounds")
        axes.grid(axis="x", color=INK, alpha=0.12)
    return drawing.svg


def plot_variants(comparison: Comparison) -> str:
    """Accuracy of each method on each variant, with 95 % intervals."""
    measured = {d for g in comparison.drawn for m, d, name in g.cells if m == "accuracy" and name is None}
    datasets = [d for d in VARIANTS if d in measured] + sorted(measured - set(VARIANTS))
    places: dict[str, Key] = {dataset_title(d): ("accuracy", d, None) for d in datasets}
    return _bars("variants", comparison, places, least=6.3)


def plot_bias(comparison: Comparison) -> str:
    """Accuracy of each method on images that go with the bias, on those that go against it, and on its worst group."""
    measured = {(m, d) for g in comparison.drawn for m, d, name in g.cells if m in BIAS_BARS and name is None}
    columns = [(m, d) for d in sorted({d for _, d in measured}) for m in BIAS_BARS if (m, d) in measured]
    places: dict[str, Key] = {Column(*column).title: (*column, None) for column in columns}
    return _bars("bias", comparison, places, least=6.3)


def plot_classes(comparison: Comparison, classes: Sequence[str], dataset: str) -> str:
    """Accuracy of each method on each class of one dataset, with 95 % intervals."""
    places: dict[str, Key] = {name: ("accuracy", dataset, name) for name in classes}
    return _bars(f"classes {dataset}", comparison, places, least=10.4)


def plot_curves(comparison: Comparison, term: str = "loss") -> str:
    """A logged term over the steps of every run, drawn together to at most 200 points a run."""
    with _drawing(f"curve {term}", 10.4, 2.5) as (axes, drawing):
        for i, shown in enumerate(comparison.drawn):
            label, dashes = short_label(shown.name), "--" if is_striped(i) else "-"
            method = [group for group in comparison.groups if group.name == shown.name]
            for run in {run.folder: run for group in method for run in group.runs}.values():
                points = np.array([(s["step"], s[term]) for s in run.log if isinstance(s.get(term), int | float)])
                if len(points):
                    chunks = np.array_split(points, min(len(points), _CURVE_POINTS))
                    x, y = np.array([chunk.mean(axis=0) for chunk in chunks]).T
                    axes.plot(x, y, color=colour(i), ls=dashes, lw=1.3, alpha=0.9, label=label)
                    label = ""
        if not axes.lines:
            return ""
        axes.set(xlabel="step", ylabel=term)
        axes.grid(axis="y", color=INK, alpha=0.12)
        legend_above(axes)
    return drawing.svg


def _bars(name: str, comparison: Comparison, places: Mapping[str, Key], *, least: float) -> str:
    """Grouped bars: at each place, which shows a measure, one for each method; `least` inches wide."""
    labels = [group.label for group in comparison.drawn]
    cells = [[group.get(*key) for key in places.values()] for group in comparison.drawn]
    if not any(cell for row in cells for cell in row):
        return ""
    width = 0.8 / len(labels)
    inches = min(max(least, 0.11 * len(places) * len(labels)), 24)
    with _drawing(name, inches, 3.0) as (axes, drawing):
        for i, (label, row) in enumerate(zip(labels, cells, strict=True)):
            there = [(place - 0.4 + width * (i + 0.5), cell) for place, cell in enumerate(row) if cell]
            heights = [100 * cell.mean for _, cell in there]
            axes.bar([x for x, _ in there], heights, 0.9 * width, label=short_label(label), **_fill(i))
            for x, cell in there:
                _whisker(axes, cell, x)
        long = max(map(len, places)) * len(places) > 11 * inches
        axes.set_xticks(
            range(len(places)),
            [short_label(p) for p in places],
            rotation=35 if long else 0,
            ha="right" if long else "center",
        )
        axes.tick_params(axis="x", length=0)
        axes.set(ylim=(0, 100), xlim=(-0.6, len(places) - 0.4), ylabel="accuracy, %")
        axes.grid(axis="y", color=INK, alpha=0.12)
        legend_above(axes)
    return drawing.svg


def legend_above(axes: Axes) -> None:
    """A legend over a figure's only plot, in as many columns as fit; the figure grows by its rows."""
    figure: Any = axes.figure
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, int(figure.get_figwidth() * 11) // (max(map(len, labels)) + 5))
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, ncols=columns, loc="outside upper left", handlelength=1.2)


def _fill(i: int) -> dict[str, Any]:
    """Looks of the bars of the i-th series."""
    return {"color": colour(i), "edgecolor": INK, "lw": 0, "hatch": "////" if is_striped(i) else None}


def _whisker(axes: Axes, cell: Cell, place: float, *, horizontal: bool = False) -> None:
    if cell.low is None or cell.high is None:
        return
    ends, same = [100 * cell.low, 100 * cell.high], [place, place]
    x, y = (ends, same) if horizontal else (same, ends)
    axes.plot(x, y, color=INK, lw=1.1, alpha=0.75, solid_capstyle="butt")


def short_label(text: str) -> str:
    """Short enough for a plot; a leading underscore would hide it from the legend."""
    text = text if len(text) <= 40 else text[:39] + "…"
    return f"\u200b{text}" if text.startswith("_") else text
