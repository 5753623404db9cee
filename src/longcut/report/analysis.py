"""An analysis as files and as a table of text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longcut.data.decoding import write_whole
from longcut.report.analysis_figures import SIDES, draw_curves, draw_explained, draw_pairs

if TYPE_CHECKING:
    from longcut.evaluation.metrics import Measure
    from longcut.recipes.analysis import Analysis

_NOTHING = "\u2013"
_COUNTS = {
    "images": "training images",
    "candidates": "candidates",
    "unscored": "  of these without a score yet",
    "removed": "removed from the candidates",
    "kept": "in the bias-negative set",
}
_SHARES = {"aligned_among_fallen": "aligned among the candidates whose loss fell"}


def write_analysis(found: Analysis, folder: Path) -> list[Path]:
    """Write everything that was found, each file whole or not at all.

    `analysis.json` has every number with its count and interval, `curves.csv` the curves, which `curves.svg` and
    `curves.png` draw; `guidance.png` has the maps of pairs and `explanations.png` those of test images, where there are
    any.

    Args:
        found: the analysis.
        folder: made where it is missing; files of a former analysis are replaced.

    Returns:
        What was written.

    Raises:
        OSError: a file cannot be written.
    """
    files = [folder / name for name in ("analysis.json", "curves.csv", "curves.svg", "curves.png")]
    write_whole(files[0], (json.dumps(as_table(found), indent=1) + "\n").encode())
    write_whole(files[1], _csv(found).encode())
    for file in files[2:]:
        draw_curves(found.numbers.curves, file, marks=found.marks)
    pictures = {"guidance.png": found.pairs, "explanations.png": found.explained}
    for name, shown in pictures.items():
        if not shown:
            (folder / name).unlink(missing_ok=True)  # of a former analysis, which this one would seem to confirm
    if found.pairs:
        draw_pairs(found.pairs, folder / "guidance.png")
    if found.explained:
        draw_explained(found.explained, found.runs, folder / "explanations.png")
    return files + [folder / name for name, shown in pictures.items() if shown]


def as_table(found: Analysis) -> dict[str, Any]:
    """Plain data: every number with its count and 95 % interval, and which images are in the figures."""
    numbers = found.numbers
    main = numbers.curves[0].name
    return {
        **found.about,
        "marks": dict(found.marks),
        "contents": {side: _plain(asdict(each)) for side, each in numbers.contents.items()},
        "shares": {name: _measure(each) for name, each in numbers.shares.items()},
        "means": {main: {side: _measure(each) for side, each in numbers.means.items()}},
        "auroc": {main: {name: asdict(each) for name, each in numbers.separations.items()}},
        "curves": {
            curve.name: {
                "steps": list(curve.steps),
                **{side: [asdict(each) for each in spreads] for side, spreads in curve.spreads.items()},
            }
            for curve in numbers.curves
        },
        "left_out": [{"what": what, "why": why} for what, why in found.left_out],
        "pairs": [{"image": pair.paths[0], "partner": pair.paths[1]} for pair in found.pairs],
        "explained": {
            "runs": list(found.runs),
            "split": found.split,
            "images": [each.path for each in found.explained],
        },
    }


def format_analysis(found: Analysis) -> str:
    """The numbers of the last step as a table of text, and what was left out."""
    about, numbers = found.about, found.numbers
    name = numbers.curves[0].name
    head = f"{about['run']}: {about['method']}, state of step {about['state_step']}, {about['images']} training images"
    unknown = f"{about['unknown']} of them have no bias label and are on neither side"
    lines = [head, *([unknown] if about["unknown"] else []), ""]
    lines += _columns(["", *(title for title, _ in SIDES.values())], _rows(found))
    lines += [""] * bool(numbers.shares or numbers.separations)
    lines += [f"{_SHARES[key]}: {_percent(each)}, n = {each.n}" for key, each in numbers.shares.items()]
    lines += [
        f"AUROC of the {name}, conflicting against aligned, {group}: {each.value:.3f} "
        f"[{each.low:.3f}, {each.high:.3f}], n = {each.conflicting} and {each.aligned}"
        for group, each in numbers.separations.items()
    ]
    lines += [""] * bool(found.left_out)
    lines += [f"left out: {what}: {why}" for what, why in found.left_out]
    return "\n".join(lines)


def _rows(found: Analysis) -> list[list[str]]:
    """A line for each number that both sides have."""
    numbers, sides = found.numbers, list(SIDES)
    contents = numbers.contents
    if contents:
        rows = [[title, *(str(getattr(contents[s], key)) for s in sides)] for key, title in _COUNTS.items()]
        rows.append(["  of the training images", *(_percent(contents[s].share_kept) for s in sides)])
    else:
        rows = [["training images", *(str(found.about[s]) for s in sides)]]
    name = numbers.curves[0].name
    return [*rows, [f"mean {name}", *(_number(numbers.means.get(side)) for side in sides)]]


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in [head, *rows]
    ]


def _percent(measured: Measure | None) -> str:
    if measured is None:
        return _NOTHING
    return f"{100 * measured.value:.2f} % [{100 * measured.low:.2f}, {100 * measured.high:.2f}]"


def _number(measured: Measure | None) -> str:
    if measured is None:
        return _NOTHING
    interval = f" [{measured.low:.3f}, {measured.high:.3f}]" if math.isfinite(measured.high) else ""
    return f"{measured.value:.3f}{interval}"


def _measure(measured: Measure) -> dict[str, Any]:
    return _with_value(asdict(measured))


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose measures have their values too."""
    return {name: _with_value(each) if isinstance(each, dict) else each for name, each in table.items()}


def _with_value(measured: Mapping[str, Any]) -> dict[str, Any]:
    """A measure's fields, its value first; an interval without ends has null for each."""
    ends = {end: measured[end] if math.isfinite(measured[end]) else None for end in ("low", "high")}
    return {"value": measured["sum"] / measured["n"], **measured, **ends}


def _csv(found: Analysis) -> str:
    """A line for each number, step and side."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["number", "step", "side", "n", "mean", "lower_quartile", "upper_quartile", "positive"])
    for curve in found.numbers.curves:
        for side, spreads in curve.spreads.items():
            for step, each in zip(curve.steps, spreads, strict=True):
                writer.writerow([curve.name, step, side, each.n, each.mean, each.low, each.high, each.positive])
    return stream.getvalue()
