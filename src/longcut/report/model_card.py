"""The model card of an exported classifier: what it is, how it is used, where it comes from, what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from longcut.evaluation.audit.result import AuditResult
from longcut.evaluation.heads import OWN, kind_of
from longcut.recipes.exporting.about import RESIZE, About
from longcut.report.audit.words import amount, facts, interval
from longcut.report.card_snippets import snippet
from longcut.report.columns import Column, split_head
from longcut.report.rules import rule_title
from longcut.report.runs import Row, read_run
from longcut.report.text_table import markdown

_LISTED = 200
_MARKUP = re.compile(
    r"[^\w\s,%/()'.:\u2013\u2019-]|(?<!\w)[-_.]|[-_](?!\w)|:(?=/)|(?<=www)\.|(?<=\d)[.)](?=\s|$)", re.IGNORECASE
)
"""What Markdown or HTML could read as markup: all but words and what joins them, but for links and numbered lists."""
_HEADS = {
    "own": "its own last layer",
    "linear": "a linear probe on its features",
    "dfr": "its last layer, retrained by DFR",
}
_LIBRARIES = {"timm": "timm", "torchvision": "torchvision", "onnx": "ONNX Runtime", "safetensors": "PyTorch"}


def model_card(about: About, rows: Sequence[Row] = (), audit: AuditResult | None = None) -> str:
    """The card as Markdown; whatever a name holds, it is shown and not read as markup.

    Args:
        about: what was exported.
        rows: results of the run; those of these weights and of what classifies are shown.
        audit: of the same weights.

    Raises:
        ValueError: the audit is of other weights, or of another head.
    """
    _check_weights(about, audit)
    sections = {
        "": _opening(about),
        "Use": _use(about),
        "Classes": _classes(about.classes),
        "Training": _training(about),
        "Figures": _figures(about, rows),
        "Audit": _audit(audit, about),
        "Settings": _settings(about),
    }
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def rows_of(run: Path) -> tuple[Row, ...]:
    """The results of a run; none where it was not measured.

    Raises:
        ValueError: they are broken.
    """
    file = run / "results.jsonl"
    return read_run(run).rows if file.is_file() and file.read_bytes().strip() else ()


def escape(text: object) -> str:
    """A text of which nothing is read as Markdown or HTML, in one line."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(str(text).split()))


def _check_weights(about: About, audit: AuditResult | None) -> None:
    if audit is None:
        return
    audited, head = audit.model.get("weights_hash"), audit.model.get("head", OWN)
    if audited not in (None, about.origin.weights_hash):
        raise ValueError(
            f"the audit is of other weights ({audited}) than those exported ({about.origin.weights_hash}): audit this "
            "run and this --selection"
        )
    if head != about.origin.head:
        raise ValueError(
            f"the audit is of another head ({head}) than the one exported ({about.origin.head}): audit this run with "
            f"--head {kind_of(about.origin.head)}"
        )


def _opening(about: About) -> str:
    origin = about.origin
    count = "" if about.num_parameters is None else f" with {about.num_parameters:,} parameters"
    return (
        f"# {escape(origin.run)}: {escape(about.backbone['name'])}, {len(about.classes)} classes\n\n"
        f"An image classifier of {len(about.classes)} classes, {escape(about.backbone['name'])}{count}, trained by the "
        f"method {escape(origin.method)} with longcut {escape(origin.version)}. Its images are classified by "
        f"{_HEADS[kind_of(origin.head)]}."
    )


def _use(about: About) -> str:
    inputs = about.inputs
    numbers = ", ".join(f"{value:g}" for value in inputs.mean), ", ".join(f"{value:g}" for value in inputs.std)
    steps = f"Images are RGB, {inputs.image_size} px: {RESIZE.replace('image_size', 'that size')}. Pixels in 0 to 1 "
    steps += (
        "go in as they are: the graph holds the normalisation"
        if inputs.normalised_by == "graph"
        else "are normalised per channel"
    )
    compared = "" if about.comparison is None else f"\n\nLoaded again, its logits differ by {about.comparison}."
    return (
        f"{steps}, mean {numbers[0]} and standard deviation {numbers[1]}.\n\n"
        f"With {_LIBRARIES[about.target]}, in this folder:\n\n```python\n{snippet(about)}```\n\n"
        "Pillow scales a little differently from longcut, which moves the shares of larger pictures a little."
        f"{compared}"
    )


def _classes(classes: Sequence[str]) -> str:
    listed = "\n".join(f"{place}. {escape(name)}" for place, name in enumerate(classes[:_LISTED]))
    more = len(classes) - _LISTED
    return f"{listed}\n\n{more} more are in `preprocessing.json`." if more > 0 else listed


def _training(about: About) -> str:
    origin = about.origin
    known = {
        "Trained on": origin.data or "not recorded",
        "Hash of these images": origin.data_hash or "not recorded",
        "Starting weights": origin.starting_weights,
        "Method": origin.method,
        "Preset": origin.preset,
        "Seed": origin.seed,
        "Chosen by": rule_title(origin.selection),
        "Step": origin.step,
        "Hash of the weights": origin.weights_hash,
        "SHA-256 of the file": about.digest.removeprefix("sha256:") or "not recorded",
        "longcut": f"{origin.version}, commit {origin.commit or 'not recorded'}",
    }
    return markdown(("", ""), [(name, escape(value)) for name, value in known.items()])


def _figures(about: About, rows: Sequence[Row]) -> str:
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if _is_of(row, about):
            found[(row.metric, row.dataset, row.data_hash)] = row
    if not found:
        return "These weights were not measured: `longcut evaluate RUN --data DIR` does."
    lines = []
    for row in found.values():
        column = Column(row.metric, row.dataset)
        lines.append((escape(column.title), _number(row, column), str(row.n), escape(row.data)))
    return markdown(("measure", "value and 95 % interval", "n", "data"), lines)


def _is_of(row: Row, about: About) -> bool:
    """Whether a row is a figure over all classes of these weights through this head."""
    kind = kind_of(about.origin.head)
    head = "" if kind == OWN else f"{kind}_"
    whole = row.class_name is None and "/" not in row.dataset
    return whole and row.weights_hash == about.origin.weights_hash and split_head(row.metric)[0] == head


def _number(row: Row, column: Column) -> str:
    if column.is_cosine or row.metric == "mce":
        return f"{row.value:.3f}"
    between = f" [{100 * row.low:.1f}, {100 * row.high:.1f}]" if row.low is not None and row.high is not None else ""
    return f"{100 * row.value:.1f}{between}"


def _audit(audit: AuditResult | None, about: About) -> str:
    if audit is None:
        return (
            "Which shortcuts it takes was not looked for here: `longcut audit run:RUN IMAGES --out AUDIT`, then "
            "`longcut export` with `--audit AUDIT`."
        )
    named = [f"**{escape(s.cue)}**: {escape(s.verdict)}" for s in audit.shortcuts if s.named]
    effects = [
        (escape(e.title), escape(amount(e)), escape(interval(e.low, e.high)), str(e.n), escape(e.note))
        for e in audit.effects
    ]
    texts = [
        escape(audit.summary),
        _list(map(escape, audit.warnings)),
        "Shortcuts that it takes:\n\n" + _list(named) if named else "No shortcut was named.",
        markdown(("effect", "size", "95 % interval", "n", "note"), effects) if effects else "",
        _missing(audit),
        _audited(audit),
    ]
    return "\n\n".join(text for text in texts if text)


def _missing(audit: AuditResult) -> str:
    if not audit.not_run:
        return ""
    return "What could not run:\n\n" + _list(f"{escape(left.suite)}: {escape(left.why)}" for left in audit.not_run)


def _audited(audit: AuditResult) -> str:
    """On which images, by which version."""
    tables = {"images": audit.data, "masks": audit.masks, "versions": audit.versions}
    return "\n".join(
        f"- {title}: " + ", ".join(f"{escape(key)} {escape(value)}" for key, value in facts(table))
        for title, table in tables.items()
        if table
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _settings(about: About) -> str:
    rows = [(escape(key), escape(value)) for key, value in facts(about.origin.settings)]
    return f"<details><summary>All of the run</summary>\n\n{markdown(('setting', 'value'), rows)}\n\n</details>"
