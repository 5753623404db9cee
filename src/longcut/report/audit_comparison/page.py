"""The page of audits side by side: what grew and what shrank first, in one file that needs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longcut.data.decoding import write_whole
from longcut.report.audit import words as audit_words
from longcut.report.audit.words import facts, mask_facts
from longcut.report.audit_comparison import words as audit_compare_words
from longcut.report.audit_comparison.chart import draw_changes
from longcut.report.audit_comparison.compare import AuditComparison
from longcut.report.audit_comparison.table import KINDS, READING, UNPAIRED
from longcut.report.frame import render_page


def write_comparison_page(comparison: AuditComparison, out: Path, *, title: str | None = None) -> Path:
    """Write the page that shows audits side by side.

    Args:
        comparison: what `longcut.report.audit_comparison.compare.compare_audits` made.
        out: the `.html` file; an older one is replaced as a whole.
        title: heading of the page.

    Returns:
        The page's path.

    Raises:
        ValueError: `out` is a folder.
        OSError: the page cannot be written.
    """
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name the page itself, '--out {out / 'compare.html'}'")
    write_whole(out, comparison_page(comparison, title=title).encode("utf-8"))
    return out


def comparison_page(comparison: AuditComparison, *, title: str | None = None) -> str:
    """The page that shows audits side by side, as text.

    Args:
        comparison: what `longcut.report.audit_comparison.compare.compare_audits` made.
        title: heading of the page.
    """
    labels = comparison.labels
    return render_page(
        "audit_comparison.html",
        styles=["style.css", "audit.css", "audit_comparison.css"],
        scripts=["page.js"],
        title=title or f"{', '.join(labels[1:])} against {labels[0]}",
        comparison=comparison,
        sections=[_section(comparison, place) for place in range(1, len(labels))],
        reading=READING,
        unpaired=UNPAIRED if any(not change.paired for change in comparison.changes) else "",
        origins=[(label, _origin(comparison, i)) for i, label in enumerate(labels)],
        words=audit_words,
        moves=audit_compare_words,
    )


def _section(comparison: AuditComparison, place: int) -> dict[str, Any]:
    """What is shown of a later audit."""
    return {
        "place": place,
        "labels": (comparison.labels[0], comparison.labels[place]),
        "headline": audit_compare_words.headline(comparison, place),
        "further": audit_compare_words.further(comparison, place),
        "grew": [change for change in comparison.grew if change.audit == place],
        "shrank": [change for change in comparison.shrank if change.audit == place],
        "chart": draw_changes(comparison.of("swapped", "removed", "alone", audit=place)),
        "tables": [(name, comparison.of(*kinds, audit=place)) for name, kinds in KINDS.items()],
    }


def _origin(comparison: AuditComparison, place: int) -> list[tuple[str, str]]:
    """What it takes to know an audit again."""
    audit = comparison.audits[place]
    about = {"": {"audit": audit.title}, "model.": audit.model, "data.": audit.data, "settings.": audit.settings}
    told = [(f"{head}{key}", text) for head, table in about.items() for key, text in facts(table)]
    masks = [(f"masks.{key.lower()}", text) for key, text in mask_facts(audit.masks)]
    return [*told, *masks, *((f"versions.{key}", text) for key, text in facts(audit.versions))]
