"""Answers that name no class, refused: of logits that are no numbers, the first class would be the largest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class NotFiniteError(ValueError):
    """What a network computes is no finite number any more."""


def check_answers(largest: NDArray[np.floating], paths: Sequence[str], whose: str, *, form: str = "") -> None:
    """Refuse answers that name no class.

    A logit of -inf is an answer: never this class, as a mask says it. NaN, +inf and -inf for every class are none.

    Args:
        largest: `[s]` each image's largest logit, or the probability of it: not finite where there is no answer.
        paths: `[s]` of the images.
        whose: what gave the answers.
        form: that the images had; empty where they were as they are.

    Raises:
        NotFiniteError: some images have no answer: names the first of them.
    """
    wrong = np.flatnonzero(~np.isfinite(largest))
    if len(wrong):
        images = f"{len(wrong)} of {len(largest)} images{form and f' ({form})'}"
        raise NotFiniteError(
            f"{whose} gives answers that are not finite (NaN or infinite) for {images}, {paths[wrong[0]]} for one: "
            "its training has diverged, or it cannot take such images"
        )
