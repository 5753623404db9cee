"""The table of audits side by side, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from longcut.evaluation.audit.result import Effect, Kind
from longcut.report.audit.words import interval
from longcut.report.audit_comparison.compare import AuditComparison, Change
from longcut.report.audit_comparison.words import further, headline, moved, named, signed
from longcut.report.text_table import Render, aligned, markdown, prose
from longcut.report.words import percent

KINDS: dict[str, tuple[Kind, ...]] = {
    "Shortcuts": ("swapped",),
    "Other changes": ("removed", "alone"),
    "Figures": ("measured",),
}
"""Tables, and the kinds of effects in each."""
READING = (
    "In percent, changes in points.",
    "Intervals of shortcuts hold for all of them together, others each by itself. What grew or shrank leaves out 0.",
    "More is lost where a model uses more of what is taken away, or has more to lose: by itself that is no shortcut.",
)
UNPAIRED = "A star (*) marks what is not compared image by image."
_FORMS = ("text", "markdown", "csv", "json")
_FIELDS = (
    *("name", "title", "kind", "unit", "baseline", "audit"),
    *("before", "before_low", "before_high", "after", "after_low", "after_high"),
    *("change", "change_low", "change_high", "n", "paired", "verdict", "named_before", "named_after"),
)


def format_audits(comparison: AuditComparison, form: str = "text") -> str:
    """Audits side by side as a table.

    Args:
        comparison: what `compare_audits` made.
        form: `text` or `markdown` (verdict first, percent and points with one decimal, notes beneath), `csv` (a line an
            effect and later audit) or `json` (both with raw values).

    Raises:
        ValueError: no such form.
    """
    if form not in _FORMS:
        raise ValueError(f"no table of audits as '{form}': choose one of {', '.join(_FORMS)}")
    if form == "csv":
        return _csv(comparison)
    if form == "json":
        return _json(comparison)
    return _plain(comparison, markdown if form == "markdown" else aligned)


def _plain(comparison: AuditComparison, render: Render) -> str:
    parts = []
    for place in range(1, len(comparison.audits)):
        parts.append(prose([headline(comparison, place), *further(comparison, place)], render))
        for name, kinds in KINDS.items():
            changes = comparison.of(*kinds, audit=place)
            labels = (comparison.labels[0], comparison.labels[place])
            head = [name, *labels, "change", "95 % interval", "verdict", "images"]
            named_too = kinds == ("swapped",)
            rows = [_row(change, named_too) for change in changes]
            parts += [render([*head, "named"] if named_too else head, rows)] * bool(changes)
    unpaired = any(not change.paired for change in comparison.changes)
    reading = READING if comparison.changes else ()
    notes = [*reading, *([UNPAIRED] if unpaired else []), *comparison.notes]
    mark = "- " if render is markdown else ""
    return "\n\n".join([*parts, prose([mark + note for note in notes], render)])


def _row(change: Change, named_too: bool) -> list[str]:
    return [
        change.title,
        percent(change.before.value),
        percent(change.after.value),
        signed(change.change),
        interval(change.low, change.high) + ("" if change.paired else " *"),
        moved(change),
        f"{change.n:,}",
        *([named(change)] if named_too else []),
    ]


def _records(comparison: AuditComparison) -> list[dict[str, Any]]:
    """One record for each effect and later audit, with raw values."""
    rows = [
        (
            *(change.name, change.title, change.kind, change.unit),
            *(comparison.labels[0], comparison.labels[change.audit]),
            *_ends(change.before),
            *_ends(change.after),
            *(change.change, change.low, change.high, change.n, change.paired, change.verdict),
            *change.named,
        )
        for change in comparison.changes
    ]
    return [dict(zip(_FIELDS, row, strict=True)) for row in rows]


def _ends(effect: Effect) -> tuple[float, float, float]:
    return effect.value, effect.low, effect.high


def _json(comparison: AuditComparison) -> str:
    places = range(1, len(comparison.audits))
    record = {
        "headlines": [headline(comparison, place) for place in places],
        "further": [further(comparison, place) for place in places],
        "notes": comparison.notes,
        "audits": [
            {"label": label, "title": audit.title, "summary": audit.summary, "model": audit.model, "data": audit.data}
            for label, audit in zip(comparison.labels, comparison.audits, strict=True)
        ],
        "rows": _records(comparison),
    }
    return json.dumps(record, indent=1, ensure_ascii=False)


def _csv(comparison: AuditComparison) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(comparison))
    return stream.getvalue().rstrip("\n")
