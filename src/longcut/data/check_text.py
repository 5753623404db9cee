"""A check's findings as lines to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from longcut.data.checking import Fault, Findings, Part
from longcut.data.layouts.samples import counted, some

_FEW_GROUPS, _MOST_ROWS = 12, 40

Table = list[tuple[str, ...]]


def check_text(findings: Findings) -> str:
    """What a set holds, as a table, and then what is wrong with it, a line each."""
    lines = [f"{findings.root}: {findings.layout}"]
    parts = findings.splits or {}
    if parts:
        lines[0] += f", {counted(findings.images, 'image')}"
        lines += ["", *_aligned(_table(findings, parts))]
    if findings.height and findings.width:
        sizes = (f"{name} {low} to {high}, median {middle}" for name, (low, middle, high) in _sizes(findings))
        lines += ["", f"pixels: {'; '.join(sizes)}"]
    problems = problems_of(findings)
    return "\n".join([*lines, "", *(f"- {problem}" for problem in problems or ["nothing is wrong with it"])])


def check_json(findings: Findings) -> str:
    """All findings, and the sentences on what is wrong, as JSON."""
    return json.dumps({**asdict(findings), "problems": problems_of(findings)}, indent=1, ensure_ascii=False)


def problems_of(findings: Findings) -> list[str]:
    """What is wrong with a set, or may surprise: a sentence each."""
    if findings.labels_fault:
        return [findings.labels_fault]
    broken, masks = findings.broken, findings.bad_masks
    problems = [f"{counted(len(broken), 'image')} cannot be read: {_told(broken)}"] * bool(broken)
    problems += [f"{counted(len(masks), 'image')} without a mask that fits: {_told(masks)}"] * bool(masks)
    empty = findings.empty_masks
    problems += [f"{counted(len(empty), 'image')} with an empty mask: {some(empty)}"] * bool(empty)
    if findings.num_duplicates:
        pairs = "; ".join(f"{one} = {other}" for one, other in findings.duplicates)
        many = ", ..." if findings.num_duplicates > len(findings.duplicates) else ""
        problems.append(f"{counted(findings.num_duplicates, 'file')} in more than one split: {pairs}{many}")
    for paths, what in (
        (findings.repeated, "listed more than once"),
        (findings.beside_classes, "beside the class folders, of no class"),
        (findings.misplaced, "in the folder of another class than their labels say"),
        (findings.contradicting, "in the wrong one of align and conflict, by their labels"),
    ):
        problems += [f"{counted(len(paths), 'image')} {what}: {some(paths)}"] * bool(paths)
    if findings.without_split:
        problems.append(f"{counted(findings.without_split, 'image')} without a split, read with every one")
    return problems + _label_problems(findings, findings.splits or {})


def _label_problems(findings: Findings, parts: dict[str, Part]) -> list[str]:
    problems = []
    if len(findings.classes) == 1:
        problems.append(f"{findings.classes[0]} is the only class: a classifier needs at least two")
    for name, part in parts.items():
        empty = [label for label, count in zip(findings.classes, part.classes, strict=True) if not count]
        problems += [f"{name} has no image of {some(empty)}"] * bool(empty)
        if part.groups and part.without_bias:
            problems.append(f"{counted(part.without_bias, 'image')} of {name} without a bias label")
    train = parts.get("train") or next(iter(parts.values()))
    if not train.groups:
        return problems
    if not findings.paired:
        problems.append("biases do not go with classes: call each as its class, or measures of conflicting images fail")
    else:
        problems += _pairing_problems(findings, train)
    test = parts.get("test")
    if test is not None and test.groups:
        pairs = [(i, j) for i, row in enumerate(train.groups) for j, count in enumerate(row) if count]
        lacking = [_group(findings, i, j) for i, j in pairs if not test.groups[i][j]]
        problems += [f"test has no image of {counted(len(lacking), 'group')}: {some(lacking)}"] * bool(lacking)
    return problems


def _pairing_problems(findings: Findings, train: Part) -> list[str]:
    alone = [
        label
        for i, (label, row) in enumerate(zip(findings.classes, train.groups, strict=True))
        if sum(row) and sum(row) == row[i]
    ]
    problems = [f"no bias-conflicting training image of {some(alone)}"] * bool(alone)
    others = [
        f"{findings.classes[i]} has {findings.bias_names[row.index(max(row))]}, not {findings.bias_names[i]}"
        for i, row in enumerate(train.groups)
        if i < len(row) and max(row) > row[i]
    ]
    return problems + [
        f"the most frequent bias of a class is another than the one it goes with: {some(others)}"
    ] * bool(others)


def _table(findings: Findings, parts: dict[str, Part]) -> Table:
    """Images of each group, or else aligned and conflicting ones of each class, or else of each class, by split."""
    columns = list(parts.values())
    table = [("", "", *parts), ("images", "", *(str(part.images) for part in columns))]
    if findings.classes:
        table += _class_rows(findings, columns)
    if any(part.conflicting is not None for part in columns):
        table.append(("conflicting", "", *(_percent(part.conflicting) for part in columns)))
    return table


def _class_rows(findings: Findings, parts: Sequence[Part]) -> Table:
    count, biases = len(findings.classes), len(findings.bias_names)
    if biases and count * biases <= _FEW_GROUPS:
        return [
            (findings.classes[i], findings.bias_names[j], *(_cell(part, i, j) for part in parts))
            for i in range(count)
            for j in range(biases)
        ]
    if findings.paired and 2 * count <= _MOST_ROWS:
        return [
            (findings.classes[i], kind, *(_side(part, i, kind) for part in parts))
            for i in range(count)
            for kind in ("aligned", "conflicting")
        ]
    if count <= _MOST_ROWS:
        return [(name, "", *(str(part.classes[i]) for part in parts)) for i, name in enumerate(findings.classes)]
    return [
        (f"{count} classes", name, *(str(pick(part.classes)) for part in parts)) for name, pick in _EXTREMES.items()
    ]


_EXTREMES = {"smallest": min, "largest": max}


def _cell(part: Part, target: int, bias: int) -> str:
    return str(part.groups[target][bias]) if part.groups else "\u2013"


def _side(part: Part, target: int, kind: str) -> str:
    if not part.groups:
        return "\u2013"
    aligned = part.groups[target][target]
    return str(aligned if kind == "aligned" else sum(part.groups[target]) - aligned)


def _sizes(findings: Findings) -> list[tuple[str, tuple[int, int, int]]]:
    return [(name, size) for name, size in (("height", findings.height), ("width", findings.width)) if size]


def _aligned(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = []
    for row in table:
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True) if width]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        rows.append("  ".join([*names, *numbers]).rstrip())
    return rows


def _group(findings: Findings, target: int, bias: int) -> str:
    return f"{findings.classes[target]} with {findings.bias_names[bias]}"


def _percent(share: float | None) -> str:
    return "\u2013" if share is None else f"{share:.2%}"


def _told(faults: Sequence[Fault]) -> str:
    return some([f"{fault.path} ({fault.reason})" for fault in faults])
