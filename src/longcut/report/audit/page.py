"""The page of an audit: verdict first, then every number, picture and setting, in one file that needs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longcut.data.decoding import write_whole
from longcut.evaluation.audit.result import AuditResult
from longcut.report.audit import words as audit_words
from longcut.report.audit.chart import draw_effects
from longcut.report.audit.gallery import hang
from longcut.report.audit.tables import class_table, group_table, lowest_group
from longcut.report.audit.words import facts, mask_facts
from longcut.report.frame import render_page

FILE = "audit.html"


def write_audit_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of the audit in a folder.

    Args:
        folder: holds `audit.json` and the pictures that it names.
        out: the `.html` file, `audit.html` in the folder unless given; an older one is replaced as a whole.

    Returns:
        The page's path. The page stays under 10 MB and says what it leaves out.

    Raises:
        ValueError: no audit, or one that is damaged; one line that names it.
        OSError: the page cannot be written.
    """
    out = folder / FILE if out is None else out
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name the page itself, '{out / FILE}'")
    result = AuditResult.load(folder)
    write_whole(out, _render(result, folder).encode("utf-8"))
    return out


def _render(result: AuditResult, folder: Path) -> str:
    return render_page(
        "audit.html",
        styles=["style.css", "audit.css"],
        scripts=["page.js", "audit.js"],
        title=result.title,
        result=result,
        words=audit_words,
        named=result.named,
        others=tuple(shortcut for shortcut in result.shortcuts if not shortcut.named),
        chart=draw_effects(result.effects, [shortcut.effect.name for shortcut in result.named]),
        suites=list(dict.fromkeys(effect.suite for effect in result.effects)),
        classes=class_table(result),
        groups=group_table(result),
        lowest=lowest_group(result),
        gallery=hang(result, folder),
        masks=mask_facts(result.masks),
        origins=[(name, facts(table)) for name, table in _origins(result) if table],
    )


def _origins(result: AuditResult) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("Model", result.model),
        ("Images", result.data),
        ("Settings", result.settings),
        ("Versions", result.versions),
    ]
