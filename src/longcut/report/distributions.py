"""Similarities as a figure and as a table: a panel for each kind of pair, a colour for each run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from longcut.data.decoding import write_whole
from longcut.report.series import colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Mapping[str, NDArray[np.floating]]
"""Kind of pair -> cosines, of any shape."""
TITLES = {
    "positive": "Positives",
    "negative": "Standard negatives",
    "patch": "Patch negatives",
    "texture": "Texture negatives",
}
BINS = 100
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "longcut",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.parse_math": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def check_figure(path: Path) -> str:
    """The form that a figure's suffix stands for.

    Raises:
        ValueError: for another suffix than `.svg` and `.png`.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in ("svg", "png"):
        raise ValueError(f"cannot write {path}: a figure is written as .svg or .png")
    return form


def draw_similarities(runs: Mapping[str, Values], path: Path) -> None:
    """Write the histograms of several runs' similarities, as the papers show them.

    Each panel has the share of the pairs in bins of 0.02, and a dashed line at each run's mean.

    Args:
        runs: label -> values; kinds that no run has get no panel.
        path: ends in `.svg` or `.png`; missing folders are made.

    Raises:
        ValueError: for another suffix, or where there is nothing to draw.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        Figures 2, 3 and 13.
    """
    check_figure(path)
    kinds = [kind for kind in TITLES if any(kind in values for values in runs.values())]
    if not kinds:
        raise ValueError("no similarities to draw")
    size = 2.9 * len(kinds), 2.5 + 0.22 * len(runs)
    write_figure(path, size, lambda figure: _draw_panels(figure, kinds, runs))


def write_figure(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    """Write a figure, whole or not at all.

    Args:
        path: ends in `.svg` or `.png`; missing folders are made.
        size: in inches.
        draw: draws on the empty figure.

    Raises:
        ValueError: for another suffix.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    form = check_figure(path)
    with rc_context(_RC):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        stream = io.BytesIO()
        figure.savefig(stream, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    write_whole(path, stream.getvalue())


def _draw_panels(figure: Figure, kinds: Sequence[str], runs: Mapping[str, Values]) -> None:
    panels: Sequence[Axes] = figure.subplots(1, len(kinds), squeeze=False, sharex=True)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        _draw_panel(axes, kind, runs)
    lowest = min(float(values[kind].min()) for values in runs.values() for kind in kinds if kind in values)
    panels[0].set(ylabel="share of the pairs, %", xlim=(min(lowest, -0.2), 1.0))
    handles = [panels[0].plot([], [], color=colour(i))[0] for i in range(len(runs))]
    labels = [f"\u200b{label}" if label.startswith("_") else label for label in runs]  # else matplotlib 3.9 hides it
    figure.legend(handles, labels, loc="outside upper left", ncols=1)


def _draw_panel(axes: Axes, kind: str, runs: Mapping[str, Values]) -> None:
    values = {i: each[kind] for i, each in enumerate(runs.values()) if kind in each}
    for i, each in values.items():
        shares, edges = np.histogram(each, BINS, (-1.0, 1.0))
        axes.stairs(100 * shares / each.size, edges, color=colour(i), fill=True, alpha=0.25)
        axes.stairs(100 * shares / each.size, edges, color=colour(i), lw=1.0)
        axes.axvline(float(np.mean(each)), color=colour(i), lw=1.0, ls=(0, (4, 3)))
    axes.set(title=TITLES[kind], xlabel="cosine")


def format_similarities(runs: Mapping[str, Values]) -> str:
    """Mean similarities as a table of text, a line for each run."""
    kinds = [kind for kind in TITLES if any(kind in values for values in runs.values())]
    head = ["", *(TITLES[kind] for kind in kinds)]
    body = [
        [label, *(f"{np.mean(values[kind]):.4f}" if kind in values else "\u2013" for kind in kinds)]
        for label, values in runs.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [head, *body]
    )
