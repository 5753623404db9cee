"""An audit in the terminal, in Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from longcut.evaluation.audit.result import AuditResult, Effect
from longcut.report.audit.words import amount, interval, meaning
from longcut.report.text_table import aligned, markdown, prose

FORMATS = ("text", "markdown", "csv", "json", "html")
_HEAD = ("measured", "effect", "95 % interval", "n", "", "named")
_LEGEND = "* rests on the foreground masks"
_FIELDS = ("name", "title", "suite", "kind", "unit", "value", "low", "high", "n", "before", "after", "needs_masks")


def check_format(form: str) -> None:
    """Refuse a format that is none.

    Raises:
        ValueError: it is.
    """
    if form not in FORMATS:
        raise ValueError(f"--format {form}: it is one of {', '.join(FORMATS)}")


def format_audit(result: AuditResult, form: str = "text") -> str:
    """What an audit found: its verdict, every effect, and what could not run.

    Args:
        result: the audit.
        form: `text`, `markdown`, `csv` (effects alone) or `json` (everything).
    """
    if form == "json":
        return json.dumps(asdict(result), indent=1)
    if form == "csv":
        return _csv(result)
    named = {shortcut.effect.name for shortcut in result.named}
    rows = [_row(effect, effect.name in named) for effect in result.effects]
    render = markdown if form == "markdown" else aligned
    warnings = [f"! {line}" for line in result.warnings]
    missing = [f"{left.suite}: not run: {left.why}" for left in result.not_run]
    legend = _LEGEND if any(effect.needs_masks for effect in result.effects) else ""
    above, beneath = (prose(lines, render) for lines in (warnings, missing))
    parts = [above, prose([result.summary], render), render(_HEAD, rows), legend, beneath]
    return "\n\n".join(part for part in parts if part)


def _row(effect: Effect, named: bool) -> tuple[str, ...]:
    masks = " *" if effect.needs_masks else ""
    span = interval(effect.low, effect.high)
    value = amount(effect).replace("\u00a0", " ")
    return effect.title + masks, value, span, f"{effect.n:,}", meaning(effect), "shortcut" if named else ""


def _csv(result: AuditResult) -> str:
    named = {shortcut.effect.name for shortcut in result.named}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_FIELDS, "named"))
    for effect in result.effects:
        writer.writerow([*(getattr(effect, field) for field in _FIELDS), effect.name in named])
    return text.getvalue().rstrip("\n")
