"""Figures of a sweep: what was measured, over what was varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from longcut.report.groups import flatten
from longcut.report.plots import INK, drawing, legend_above, short_label
from longcut.report.rules import in_order
from longcut.report.runs import RunResults
from longcut.report.series import colour, marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Measured = tuple[str, str]
"""Metric and data set."""

COSINES = "Cosine to the query"


def _on_splits(metric: str) -> tuple[Measured, ...]:
    return tuple((metric, name) for name in ("test", "val", "all"))


def _either(metric: str, dataset: str) -> tuple[Measured, Measured]:
    """Measured through a linear probe, or else by the model's own head."""
    return (f"linear_{metric}", dataset), (metric, dataset)


PANELS: dict[str, dict[str, tuple[Measured, ...]]] = {
    "Background Challenge": {
        "Original": (("accuracy", "original"),),
        "Mixed-Rand": (("accuracy", "mixed_rand"),),
        "BG-Gap": (("bg_gap", "mixed_same-mixed_rand"),),
    },
    "Accuracy": {
        "classifier": _on_splits("accuracy"),
        "linear probe": (("linear_accuracy", "test"), ("linear_accuracy", "val"), ("linear_accuracy", "held_out")),
        "nearest neighbours": (("knn_accuracy", "test"), ("knn_accuracy", "val"), ("knn_accuracy", "held_out")),
        "corruptions": _either("accuracy", "corruptions"),
        "textures": _either("accuracy", "textures"),
    },
    "Accuracy by groups": {
        "unbiased": _on_splits("unbiased"),
        "aligned": _on_splits("bias_aligned"),
        "conflicting": _on_splits("bias_conflicting"),
        "worst group": _on_splits("worst_group"),
    },
    "Accuracy under corruption": {
        f"severity {severity}": _either("accuracy", f"corruptions/{severity}") for severity in range(1, 6)
    },
    "Shape and texture": {
        "shape bias": _either("shape_bias", "cue_conflict"),
        "shape decisions": _either("shape_fraction", "cue_conflict"),
        "texture decisions": _either("texture_fraction", "cue_conflict"),
    },
    COSINES: {
        kind: tuple((f"similarity_{kind}", name) for name in ("test", "val", "all", "train"))
        for kind in ("positive", "negative", "patch", "texture")
    },
}
"""The plots of a sweep's figure: lines by name, each the first of its measures that a run has."""
_PER_ROW = 3


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A measure at one value of what a sweep varies."""

    x: float | str
    metric: str
    """What the line is called."""
    value: float
    """In [-1, 1]."""
    panel: str = ""
    """Title of the plot that it belongs to."""


def points_of(run: RunResults, x: float | str) -> list[SweepPoint]:
    """Every measure of a run that a panel shows, at a value of what was varied."""
    rows = _values(run)
    points = []
    for panel, lines in PANELS.items():
        for line, sources in lines.items():
            value = next((rows[source] for source in sources if source in rows), None)
            if value is not None:
                points.append(SweepPoint(x, line, value, panel))
    return points


def _values(run: RunResults) -> dict[Measured, float]:
    """A run's measures, all under one selection rule: the last step, where it was measured."""
    rule = in_order(row.selection for row in run.rows)[0]
    whole = (row for row in run.rows if row.class_name is None and row.selection == rule)
    return {(row.metric, row.dataset): row.value for row in whole}


def setting_of(run: RunResults, key: str) -> float | str | None:
    """A run's value of a setting, by `section.key` or by `key`; what is no number as text, None where it has none."""
    section, _, short = key.rpartition(".")
    for name, value in flatten(run.settings).items():
        if name.rpartition(".")[2] == short and section in ("", name.partition(".")[0]):
            return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return None


def plot_sweep(points: Sequence[SweepPoint], *, name: str) -> str:
    """Measures over what was varied, a plot for each panel.

    Args:
        points: several at one `x` (seeds) are drawn as their mean with the standard deviation (ddof=1).
        name: what was varied, under the axis; it is logarithmic where positive values span more than a factor of 20,
            and a list of names where a value is no number.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError(f"nothing to draw over {name}: the sweep has no results yet")
    panels = list(dict.fromkeys(point.panel for point in points))
    columns = min(len(panels), _PER_ROW)
    rows = -(-len(panels) // columns)
    with drawing(f"sweep {name}", 4.8 * columns, 3.4 * rows) as (figure, finished):
        axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for place, panel in zip(axes, panels, strict=False):
            _draw(place, [point for point in points if point.panel == panel], name, alone=len(panels) == 1)
            place.set_title(panel, fontsize=10, loc="left")
        for place in axes[len(panels) :]:
            place.set_visible(False)
    return finished.svg


def _draw(axes: Axes, points: Sequence[SweepPoint], name: str, *, alone: bool) -> None:
    """One panel: a line for each measure, with the standard deviation over seeds; no line between mere names."""
    values = list(dict.fromkeys(point.x for point in points))
    numbers = [x for x in values if not isinstance(x, str)]
    ordered = len(numbers) == len(values)
    places: dict[float | str, float] = {x: x for x in sorted(numbers)}
    if not ordered:
        places = {x: float(i) for i, x in enumerate(values)}
    cosines = points[0].panel == COSINES
    for i, metric in enumerate(dict.fromkeys(point.metric for point in points)):
        x, mean, std = _summary([point for point in points if point.metric == metric], places, 1 if cosines else 100)
        style: dict[str, Any] = {"color": colour(i), "marker": marker(i), "ms": 5, "ls": "-" if ordered else ""}
        axes.errorbar(x, mean, std if std.any() else None, lw=1.3, label=short_label(metric), **style)
    _mark_places(axes, places, ordered=ordered)
    axes.set(xlabel=name, ylabel="cosine" if cosines else "%")
    axes.grid(color=INK, alpha=0.12)
    if alone:
        legend_above(axes)
    else:
        axes.legend(fontsize=8, handlelength=1.2, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _mark_places(axes: Axes, places: Mapping[float | str, float], *, ordered: bool) -> None:
    positions = list(places.values())
    if ordered and positions[0] > 0 and positions[-1] / positions[0] > 20:
        axes.set_xscale("log")
        axes.minorticks_off()
    names = [short_label(x) if isinstance(x, str) else f"{x:g}" for x in places]
    axes.set_xticks(positions, names, rotation=0 if ordered else 35, ha="center" if ordered else "right")


def _summary(
    points: Sequence[SweepPoint], places: Mapping[float | str, float], scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Places, means and standard deviations of one measure, times a scale."""
    there = [x for x in places if any(point.x == x for point in points)]
    seeds = [np.array([scale * point.value for point in points if point.x == x]) for x in there]
    means = np.array([values.mean() for values in seeds])
    deviations = np.array([values.std(ddof=1) if len(values) > 1 else 0.0 for values in seeds])
    return np.array([places[x] for x in there]), means, deviations


def plot_texture_against_standard(runs: Sequence[RunResults]) -> str:
    """Accuracy on textures against accuracy on the images, a point a run; empty with fewer than two.

    Source:
        Ge et al. (NeurIPS 2021), Figure 9.
    """
    panel = PANELS["Accuracy"]
    ways = (
        (panel["linear probe"], ("linear_accuracy", "textures")),
        (panel["classifier"], ("accuracy", "textures")),
    )
    found: list[tuple[str, float, float]] = []
    for run in runs:
        rows = _values(run)
        for standard, textures in ways:  # both by the same head
            accuracy = next((rows[source] for source in standard if source in rows), None)
            if accuracy is not None and textures in rows:
                found.append((run.folder.name, accuracy, rows[textures]))
                break
    if len(found) < 2:
        return ""
    with drawing("texture accuracy", 5.2, 4.2) as (figure, finished):
        axes = figure.add_subplot()
        for i, (name, accuracy, texture) in enumerate(found):
            axes.plot(100 * accuracy, 100 * texture, marker(i), color=colour(i), ms=7, ls="", label=short_label(name))
        axes.set(xlabel="accuracy on the images, %", ylabel="accuracy on their textures, %")
        axes.grid(color=INK, alpha=0.12)
        legend_above(axes)
    return finished.svg


def write_figures(runs: Sequence[RunResults], out: Path, varied: Sequence[str]) -> list[Path]:
    """Write a figure `<setting>.svg` for each setting that varied, `preset.svg` where presets did.

    Args:
        runs: of the sweep; one that has not a setting is not in its figure.
        out: folder to write into.
        varied: keys of the settings; a figure has the key's last part as its name where no other ends in the same.

    Returns:
        The files.
    """
    short = [key.rpartition(".")[2] for key in varied]
    over: dict[str, Sequence[float | str | None]] = {
        name if short.count(name) == 1 else key: [setting_of(run, key) for run in runs]
        for key, name in zip(varied, short, strict=True)
    }
    presets = [str(run.settings.get("preset") or run.folder.name) for run in runs]
    over |= {"preset": presets} if len(set(presets)) > 1 else {}
    drawn = {}
    for name, values in over.items():
        points = [p for run, x in zip(runs, values, strict=True) if x is not None for p in points_of(run, x)]
        drawn[name] = plot_sweep(points, name=name) if points else ""
    drawn["texture_accuracy"] = plot_texture_against_standard(runs)
    files = {out / f"{name}.svg": svg for name, svg in drawn.items() if svg}
    for file, svg in files.items():
        file.write_text(svg, "utf-8")
    return list(files)
