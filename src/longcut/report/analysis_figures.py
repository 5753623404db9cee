"""Figures of an analysis: curves over training, and maps over images."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from longcut.report.distributions import write_figure
from longcut.report.series import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from longcut.recipes.explanations import Explained, Pair
    from longcut.recipes.state_numbers import Curve

SIDES = {"aligned": ("bias-aligned", COLOURS[1]), "conflicting": ("bias-conflicting", COLOURS[0])}
"""Title and colour of each side; those of Park et al.'s Figure 2."""
TITLES = {
    "score": "Bias-negative score of candidates",
    "loss": "Biased network's loss on candidates",
    "weight": "Relative difficulty, LfF's weight",
    "biased_loss": "Biased network's loss",
    "debiased_loss": "Debiased network's loss",
}
_TILE = 1.35  # inches
_MARKED = 30  # steps up to which each is drawn as a point too
_GREY = np.array([0.299, 0.587, 0.114])
_COLOUR_MAP = "inferno"
_OPAQUE = 0.8  # share of the colour where a map is largest
_SIDE = 168  # pixels that an image under a map is enlarged to, at least
_LETTERS = 22


@dataclass(frozen=True)
class Column:
    """Of a grid: its title, and the scale of its maps; None where it shows images."""

    title: str
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cell:
    """Of a grid: an image, perhaps under a map, with a caption."""

    image: NDArray[np.uint8]
    values: NDArray[np.floating] | None
    caption: str = ""


def draw_curves(curves: Sequence[Curve], path: Path, *, marks: Mapping[str, int]) -> None:
    """A panel for each number: the mean of both sides over the steps, with the middle half of the samples.

    Args:
        curves: what to draw.
        path: ends in `.svg` or `.png`.
        marks: steps that get a line, by name.
    """
    write_figure(path, (3.6 * len(curves), 2.9), lambda figure: _draw_panels(figure, curves, marks))


def draw_pairs(pairs: Sequence[Pair], path: Path) -> None:
    """A row for each pair: both images, E of both, and c, r and IE of the first (Park et al., Figure 3).

    A column has one scale for all rows; that of IE ends at the largest IE shown.

    Args:
        pairs: at least one.
        path: ends in `.png`.
    """
    top_r, top_ie = (max(float(getattr(p, name).max()) for p in pairs) for name in ("relative", "weight"))
    columns = [
        Column("image"),
        Column("partner"),
        Column("E(z)", (0, 1)),
        Column("E of the partner", (0, 1)),
        Column("c(z)", (0, 1)),
        Column("r(z)", (0, max(2.0, top_r))),
        Column("IE(z)", (1, max(1.01, top_ie))),
    ]
    rows = [
        [
            Cell(pair.image, None, f"bias: {pair.names[1]}"),
            Cell(pair.partner, None, f"bias: {pair.names[2]}"),
            Cell(pair.image, pair.exploitation),
            Cell(pair.partner, pair.partner_exploitation),
            *(Cell(pair.image, values) for values in (pair.common, pair.relative, pair.weight)),
        ]
        for pair in pairs
    ]
    _draw_grid(path, columns, rows, [f"class: {pair.names[0]}" for pair in pairs])


def draw_explained(explained: Sequence[Explained], runs: Sequence[str], path: Path) -> None:
    """A row for each image: the image, and each run's Grad-CAM with the class that it predicts (Park et al., Figure 4).

    Args:
        explained: at least one.
        runs: their names, in the order of the maps.
        path: ends in `.png`.
    """
    columns = [Column("image"), *(Column(name, (0, 1)) for name in _own_parts(runs))]
    rows = [
        [
            Cell(each.image, None, f"bias: {each.names[1]}" if each.names[1] else ""),
            *(Cell(each.image, values, f"says: {said}") for values, said in zip(each.maps, each.said, strict=True)),
        ]
        for each in explained
    ]
    _draw_grid(path, columns, rows, [f"class: {each.names[0]}" for each in explained])


def _draw_panels(figure: Figure, curves: Sequence[Curve], marks: Mapping[str, int]) -> None:
    panels: Sequence[Axes] = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, curve in zip(panels, curves, strict=True):
        for side, (title, colour) in SIDES.items():
            there = [(step, s) for step, s in zip(curve.steps, curve.spreads[side], strict=True) if s.n]
            if there:
                x, y, low, high = np.array([(step, s.mean, s.low, s.high) for step, s in there], float).T
                label = f"{title}, n = {there[-1][1].n}"
                axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
                axes.plot(x, y, color=colour, lw=1.4, label=label, marker="o" if len(x) <= _MARKED else "", ms=2.5)
        for name, step in marks.items():
            if step <= curve.steps[-1]:
                axes.axvline(step, color="black", alpha=0.5, lw=0.7, ls=(0, (4, 3)))
                axes.annotate(name, (step, 1), xycoords=("data", "axes fraction"), xytext=(2, -8), fontsize=7.5,
                              textcoords="offset points")  # fmt: skip
        axes.set(title=TITLES.get(curve.name, curve.name), xlabel="step")
        axes.grid(axis="y", color="black", alpha=0.1)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)


def _draw_grid(path: Path, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], labels: Sequence[str]) -> None:
    """Images in a grid, some under a map: a title and a scale for each column, a label for each row, captions below."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(len(rows) + 1, len(columns), height_ratios=[1] * len(rows) + [0.06])
        for place, column in enumerate(columns):
            for number, (cells, label) in enumerate(zip(rows, labels, strict=True)):
                axes = figure.add_subplot(grid[number, place])
                axes.imshow(_shown(cells[place], column.scale), interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                axes.set_xlabel(_wrapped(cells[place].caption), fontsize=7.5, labelpad=2)
                if place == 0:
                    axes.set_ylabel(_wrapped(label), fontsize=8.5)
                if number == 0:
                    axes.set_title(_wrapped(column.title), fontsize=8.5)
            if column.scale is not None:
                colours = ScalarMappable(Normalize(*column.scale), _COLOUR_MAP)
                bar = figure.colorbar(colours, cax=figure.add_subplot(grid[-1, place]), orientation="horizontal")
                bar.ax.tick_params(labelsize=7)

    write_figure(path, (_TILE * len(columns) + 0.4, (_TILE + 0.02) * len(rows) + 0.7), draw)


def _shown(cell: Cell, scale: tuple[float, float] | None) -> NDArray[np.uint8]:
    """`[h, w, 3]` the image; where there is a map, in grey under its colours, the more of them the larger the value."""
    import cv2
    from matplotlib import colormaps

    if cell.values is None or scale is None:
        return cell.image
    height, width = cell.image.shape[:2]
    factor = -(-_SIDE // max(height, width))  # else the squares of a small image would be those of its map too
    size = width * factor, height * factor
    grey = cv2.resize(cell.image @ _GREY, size, interpolation=cv2.INTER_NEAREST)[..., None]
    part = np.clip((np.asarray(cell.values, np.float64) - scale[0]) / (scale[1] - scale[0]), 0, 1)
    large = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float64)
    share = _OPAQUE * large[..., None]
    return ((1 - share) * grey + share * 255 * colormaps[_COLOUR_MAP](large)[..., :3]).astype(np.uint8)


def _own_parts(runs: Sequence[str]) -> list[str]:
    """What is each run's own in its folder's name."""
    folders = [Path(run).absolute() for run in runs]
    common = os.path.commonpath([folder.parent for folder in folders])
    return [str(folder.relative_to(common)) for folder in folders]


def _wrapped(text: str) -> str:
    """In at most three lines of what fits over an image; the end counts where that is not enough."""
    lines = textwrap.wrap(text, _LETTERS, break_on_hyphens=False)
    return "\n".join(lines if len(lines) <= 3 else ["\u2026" + lines[-3][1:], *lines[-2:]])
