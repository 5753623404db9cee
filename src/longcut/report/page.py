"""The report: one page that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from longcut.data.decoding import write_whole
from longcut.report import plots
from longcut.report.columns import Column, dataset_title
from longcut.report.compare import Comparison, compare
from longcut.report.failures import REFERENCES, SWAPPED, Failure, find_failures, interleave
from longcut.report.first_batches import first_batches
from longcut.report.frame import render_page
from longcut.report.group_table import group_tables
from longcut.report.groups import Group, flatten
from longcut.report.pictures import Picture, thumbnail
from longcut.report.rules import rule_title
from longcut.report.runs import RunResults, read_run
from longcut.report.table import format_cell, format_table, reading
from longcut.report.verdict import judge

_FAILURE_BYTES = 6_000_000
_PLOTTED_CLASSES = 30
_LISTED_CLASSES = 200


@dataclass(frozen=True, slots=True)
class _Card:
    failure: Failure
    reference: Picture
    swapped: Picture


def write_report(
    runs: Sequence[str | Path], destination: str | Path, *, title: str | None = None, examples: int = 24
) -> Path:
    """Write the page that shows runs side by side: verdict, tables, plots, pictures, settings.

    Args:
        runs: folders of runs with results.
        destination: the `.html` file; an older one is replaced as a whole.
        title: heading of the page.
        examples: at most so many failures of each method, with their pictures. All pictures stay under 8 MB.

    Returns:
        The page's path.

    Raises:
        ValueError: a run without results or with broken files; one line that names it.
        OSError: the page cannot be written.
    """
    destination = Path(destination)
    if destination.is_dir():
        raise ValueError(f"{destination} is a folder: name the page itself, '--out {destination / 'report.html'}'")
    comparison = compare([read_run(run) for run in runs])
    cards, missing = _cards(comparison, examples)
    page = render_page(
        "page.html",
        styles=["style.css"],
        scripts=["page.js"],
        title=title or "Which shortcuts do these models take?",
        verdict=judge(comparison),
        comparison=comparison,
        table=Markup(format_table(comparison, "html")),
        reading=reading(comparison),
        figures=_figures(comparison),
        classes=_class_table(comparison),
        group_tables=group_tables(comparison),
        grids=first_batches(comparison.groups),
        cards=cards,
        missing=missing,
        dataset_title=dataset_title,
        swapped=dataset_title(SWAPPED),
        provenance=_provenance(comparison),
    )
    write_whole(destination, page.encode("utf-8"))
    return destination


def _figures(comparison: Comparison) -> dict[str, Markup]:
    """Every plot; empty where there is nothing to draw."""
    names, left_out = _worst_classes(comparison, _PLOTTED_CLASSES)
    which = f"the {len(names)} worst classes" if left_out else "every class"
    drawn = {
        "gaps": ("BG-Gap of each method with its 95 % interval", plots.plot_gaps(comparison)),
        "same_rand": ("Mixed-Same against Mixed-Rand accuracy of each run", plots.plot_same_against_rand(comparison)),
        "variants": ("Accuracy of each method on each variant", plots.plot_variants(comparison)),
        "bias": ("Accuracy of each method with the bias and against it", plots.plot_bias(comparison)),
        "classes": (f"Accuracy on Mixed-Rand of {which}", plots.plot_classes(comparison, names, SWAPPED)),
        "curves": ("Training loss of each run", plots.plot_curves(comparison)),
    }
    return {name: _inline(svg, name, label) if svg else Markup() for name, (label, svg) in drawn.items()}


def _inline(svg: str, name: str, label: str) -> Markup:
    """An SVG as part of a page: identifiers of its own, a name for those who cannot see it, no addresses."""
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    return Markup(svg.replace("<svg", f'<svg class="{name}" role="img" aria-label="{escape(label)}"', 1))


def _worst_classes(comparison: Comparison, limit: int) -> tuple[list[str], int]:
    """Classes in their own order, only those of the lowest accuracy on Mixed-Rand where they are too many."""
    found: dict[str, list[float]] = {}
    for group in comparison.groups:
        for (metric, dataset, name), cell in group.cells.items():
            if metric == "accuracy" and dataset == SWAPPED and name is not None:
                found.setdefault(name, []).append(cell.mean)
    worst = sorted(found, key=lambda name: sum(found[name]) / len(found[name]))[:limit]
    return sorted(worst), len(found) - len(worst)


def _class_table(comparison: Comparison) -> dict[str, Any]:
    names, left_out = _worst_classes(comparison, _LISTED_CLASSES)
    datasets = ("mixed_same", SWAPPED)
    rows = [
        (
            name,
            [
                format_cell(g.get("accuracy", d, name), Column("accuracy", d))
                for g in comparison.groups
                for d in datasets
            ],
        )
        for name in names
    ]
    return {"rows": rows, "left_out": left_out, "columns": [dataset_title(d) for d in datasets]}


def _cards(comparison: Comparison, examples: int) -> tuple[list[_Card], int]:
    """Failures with their pictures, methods and variants in turn until there is no more room; how many lack a file."""
    found = [_failures(group, examples) for group in comparison.groups]
    pictures: dict[Path, Picture | None] = {}
    cards, missing, size = [], 0, 0
    for failure in interleave(found):
        pair = [_picture(path, pictures) for path in (failure.reference_image, failure.swapped_image)]
        if pair[0] is None or pair[1] is None:
            missing += 1
            continue
        size += len(pair[0].source) + len(pair[1].source)
        if size > _FAILURE_BYTES:
            break
        cards.append(_Card(failure, pair[0], pair[1]))
    order = [group.label for group in comparison.groups]
    cards.sort(key=lambda card: (order.index(card.failure.group), REFERENCES.index(card.failure.reference)))
    return cards, missing


def _failures(group: Group, examples: int) -> list[Failure]:
    """Failures after every reference variant in turn, the first with what is left of an odd number."""
    lists = [find_failures(group, reference, examples) for reference in REFERENCES]
    return interleave(lists)[:examples]


def _picture(path: Path, known: dict[Path, Picture | None]) -> Picture | None:
    """A thumbnail, None where the image is gone since it was evaluated."""
    if path not in known:
        known[path] = thumbnail(path) if path.is_file() else None
    return known[path]


def _provenance(comparison: Comparison) -> dict[str, Any]:
    """What a reader needs to do it again."""
    runs = list({run.folder: run for group in comparison.groups for run in group.runs}.values())
    weights = [
        (
            *(r.run or str(run.folder), r.seed, r.step, rule_title(r.selection)),
            *(r.starting_weights, r.version, r.commit, r.weights_hash),
        )
        for run in runs
        for r in {(row.selection, row.weights_hash): row for row in run.rows}.values()
    ]
    data = {
        (r.dataset, r.data, r.data_hash, r.n): None
        for run in runs
        for r in run.rows
        if _is_dataset(r.metric, r.class_name)
    }
    settings = [(str(run.folder), _settings(run)) for run in runs if run.settings]
    return {"weights": weights, "data": list(data), "settings": settings}


def _is_dataset(metric: str, class_name: str | None) -> bool:
    return metric == "accuracy" and class_name is None


def _settings(run: RunResults) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in flatten(run.settings).items()]
