"""What discovery found, in the terminal, in JSON or CSV."""

from __future__ import annotations

import csv
import io
import json

from longcut.evaluation.cues.features import RING
from longcut.evaluation.cues.result import Agreement, CueFinding, Discovery
from longcut.report.text_table import aligned

_HEAD = ("cue", "balanced accuracy", "95 % interval", "chance", "p, corrected", "")
_FIELDS = (
    "cue", "named", "explained_by", "accuracy", "low", "high", "chance", "effect", "beyond", "p", "p_corrected",
    "numbers",
)  # fmt: skip
_HONEST = (
    "A class can be told from a cue: that is no proof that a model does. 'longcut audit MODEL IMAGES' measures that.",
    "Colour and texture of the object may be what makes a class, and are then no shortcut.",
)


def format_discovery(found: Discovery, form: str = "text") -> str:
    """What discovery found.

    Args:
        found: it.
        form: `text`, `csv` (the cues alone) or `json` (everything but single images).
    """
    if form == "json":
        return json.dumps(found.record(), indent=1)
    if form == "csv":
        return _csv(found)
    table = aligned(_HEAD, [_row(found, each) for each in (*found.cues, found.whole)])
    left_out = [f"not measured: {cue}: {why}" for cue, why in found.not_measured.items()]
    parts = [_summary(found), table, "\n".join(left_out), "\n".join(_HONEST) if found.named else ""]
    parts += ["\n".join(_agreement(found.named[0], part) for part in found.agreement)]
    return "\n\n".join(part for part in parts if part)


def _summary(found: Discovery) -> str:
    images = f"{found.about['images']:,} images, {len(found.images.classes)} classes"
    masks = "with masks" if found.about["masks"] else "without masks: corners for background, middle for object"
    copies = f"; {found.about['copies']:,} copies of others count once" if found.about["copies"] else ""
    if not found.named:
        named = "no cue is named: none tells the class better than chance"
    else:
        first = found.cues[0]
        named = f"the class is told from {first.cue} alone: {first.accuracy:.1%}, where chance is {first.chance:.1%}"
        others = ", ".join(found.named[1:])
        named += f"; beyond it from {others}" if others else "; no other cue adds to it"
    return f"{named}\n{images}, {masks}{copies}"


def _row(found: Discovery, each: CueFinding) -> tuple[str, ...]:
    interval = f"[{each.low:.1%}, {each.high:.1%}]"
    return (
        each.cue,
        f"{each.accuracy:.1%}",
        interval,
        f"{each.chance:.1%}",
        f"{each.p_corrected:.3f}",
        _verdict(found, each),
    )


def _verdict(found: Discovery, each: CueFinding) -> str:
    if each is found.whole:
        return "for comparison"
    if each.named:
        return "named" if each.beyond is None else f"named: {100 * each.beyond:.1f} points beyond those above"
    if each.explained_by == RING:
        return "no more than what lies inside it"
    return f"explained by {each.explained_by}" if each.explained_by else ""


def _agreement(cue: str, part: Agreement) -> str:
    images = "images measured" if part.images == "measured" else "other images"
    told = f"pseudo-groups of {cue} beside the bias labels, {part.n:,} {images}: {part.agrees:.1%} agree"
    told += f" (one group for all would: {part.usual:.1%})"
    if part.aligned is not None:
        told += f"; takes {part.aligned:.1%} of {part.num_aligned:,} aligned images for their own class"
    if part.conflicting is not None:
        told += f"; {part.conflicting:.1%} of {part.num_conflicting:,} conflicting ones for another"
    if part.auroc is not None:
        told += f"; AUROC {part.auroc:.3f} [{part.low:.3f}, {part.high:.3f}]"
    return told


def _csv(found: Discovery) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    for each in (*found.cues, found.whole):
        writer.writerow(["" if (value := getattr(each, name)) is None else value for name in _FIELDS])
    return text.getvalue().rstrip("\n")
