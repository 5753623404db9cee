"""What methods need that read the labels of a bias, refused in one line where there are none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

WITHOUT_LABELS = ("erm", "gce", "lff", "disent", "intrinsic", "jtt", "rebias", "hex", "lnl")
"""Methods that need no bias labels."""


def check_bias_labels(num_bias: int, by: str) -> None:
    """Refuse data whose bias is not labelled.

    Args:
        num_bias: how many values the bias has; 0 where it is not labelled.
        by: which method reads the labels.

    Raises:
        ValueError: the bias is not labelled; names methods that do without.
    """
    if num_bias < 1:
        raise ValueError(
            f"{by} needs bias labels, and none are read: give a `bias` column, with data.bias_labels=true, or take a "
            f"method without: {', '.join(WITHOUT_LABELS)}"
        )


def lacking_groups(counts: Float[Tensor, "n k"]) -> tuple[str, ...]:
    """What to tell a person of groups without a training sample: a line, or none where all have some.

    Args:
        counts: samples of each class with each bias.
    """
    empty = int((counts == 0).sum())
    if not empty:
        return ()
    return (f"{empty} of {counts.numel()} groups of class and bias have no training image, and so no weight",)


def count_groups(group_counts: Sequence[Sequence[int]], num_classes: int, num_bias: int) -> Float[Tensor, "n k"]:
    """Counts of samples as a table of numbers.

    Args:
        group_counts: samples of each class with each bias.
        num_classes: how many rows it has.
        num_bias: how many columns it has.

    Raises:
        ValueError: it is no table of that size, or counts no sample.
    """
    rows = [list(row) for row in group_counts]
    if len(rows) != num_classes or any(len(row) != num_bias for row in rows):
        raise ValueError(
            f"the counts must have {num_classes} rows of {num_bias}, one for each class and bias: not {rows}"
        )
    counts = torch.tensor(rows, dtype=torch.float32)
    if not counts.sum() > 0:
        raise ValueError(f"the counts count no sample: {rows}")
    return counts
