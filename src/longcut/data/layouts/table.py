"""A CSV `path,target[,split,bias,mask,x1,y1,x2,y2]`, or a folder that holds it as `images.csv`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longcut.data.layouts.samples import LayoutOptions, Samples, in_order, match_bias, places, sorted_names
from longcut.data.tables import columns_of, read_image_table

FILE = "images.csv"


def matches(root: Path) -> bool:
    """Whether a folder holds a table of its images; the Background Challenge's `images.csv` lists others."""
    return {"path", "target"} <= set(columns_of(root / FILE))


def read(root: Path, options: LayoutOptions) -> Samples:
    """Read the table; its paths and masks are relative to its folder.

    Raises:
        ValueError: the table has no rows.
        LabelError: names the line that is wrong.
    """
    table = root / FILE if root.is_dir() else root
    rows = read_image_table(table)
    if not rows:
        raise ValueError(f"{table} has no rows")
    rows = tuple(rows[i] for i in in_order([row.path for row in rows]))
    classes = sorted_names({row.target for row in rows})
    labelled = {row.bias for row in rows if row.bias}
    bias_names = match_bias(labelled, classes) if labelled else ()
    place, bias_place = places(classes), {"": -1, **places(bias_names)}
    has_masks, has_boxes = any(row.mask for row in rows), any(row.box for row in rows)
    return Samples(
        root=table.parent,
        paths=tuple(row.path for row in rows),
        targets=np.array([place[row.target] for row in rows], np.int64),
        classes=classes,
        splits=np.array([row.split for row in rows], np.str_),
        bias=np.array([bias_place[row.bias] for row in rows], np.int64) if labelled else None,
        bias_names=bias_names,
        masks=tuple(table.parent / (row.mask or "missing mask") for row in rows) if has_masks else None,
        boxes=np.array([row.box or (np.nan,) * 4 for row in rows], np.float64) if has_boxes else None,
    )
