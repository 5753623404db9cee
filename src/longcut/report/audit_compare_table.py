"""The table of audits side by side, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from longcut.report.audit_compare import AuditComparison, Change
from longcut.report.text_table import aligned, markdown
from longcut.report.words import percent

_FORMS = ("text", "markdown", "csv", "json")
_MEASURED = {"grew": "rose", "shrank": "fell", "unchanged": "unchanged"}
_Render = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


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
        rows = {"headlines": comparison.headlines, "notes": comparison.notes, "rows": _records(comparison)}
        return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    return _plain(comparison, markdown if form == "markdown" else aligned)


def _plain(comparison: AuditComparison, render: _Render) -> str:
    parts = ["\n".join(comparison.headlines)]
    for place in range(1, len(comparison.audits)):
        mine = [change for change in comparison.changes if change.audit == place]
        for name, changes in (
            ("Shortcuts", [change for change in mine if change.is_reliance]),
            ("Other figures", [change for change in mine if not change.is_reliance]),
        ):
            labels = (comparison.labels[0], comparison.labels[place])
            head = [name, *labels, "change", "95 % interval", "verdict", "images"]
            parts += [render(head, [_row(change) for change in changes])] * bool(changes)
    notes = ["In percent, changes in points; * where the two are not compared image by image.", *comparison.notes]
    mark = "- " if render is markdown else ""
    return "\n\n".join(parts) + "\n\n" + "\n".join(mark + note for note in notes) + "\n"


def _row(change: Change) -> list[str]:
    verdict = change.verdict if change.is_reliance else _MEASURED[change.verdict]
    return [
        change.title,
        percent(change.before.value),
        percent(change.after.value),
        _signed(change.change),
        f"{percent(change.low)} to {percent(change.high)}{'' if change.paired else '*'}",
        verdict,
        f"{change.n:,}",
    ]


def _signed(value: float) -> str:
    text = percent(value)
    return f"+{text}" if value > 0 and text != "0.0" else text


def _records(comparison: AuditComparison) -> list[dict[str, Any]]:
    """One record for each effect and later audit, with raw values."""
    return [
        {
            "name": change.name,
            "title": change.title,
            "kind": change.kind,
            "unit": change.unit,
            "baseline": comparison.labels[0],
            "audit": comparison.labels[change.audit],
            **_ends("before", change.before),
            **_ends("after", change.after),
            "change": change.change,
            "change_low": change.low,
            "change_high": change.high,
            "n": change.n,
            "paired": change.paired,
            "verdict": change.verdict,
        }
        for change in comparison.changes
    ]


def _ends(name: str, effect: Any) -> dict[str, float]:
    return {name: effect.value, f"{name}_low": effect.low, f"{name}_high": effect.high}


def _csv(comparison: AuditComparison) -> str:
    records = _records(comparison)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()
