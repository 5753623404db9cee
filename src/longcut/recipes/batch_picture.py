"""A batch of a run, as a picture to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longcut.data.batches import TrainingData
from longcut.data.decoding import write_image
from longcut.data.order import Order

_SHOWN = 16


def draw_first_batch(data: TrainingData, order: Order, path: Path) -> None:
    """Write the first batch as the network sees it: images above, and what was made of each of them below.

    Args:
        data: of the run.
        order: of its batches.
        path: of the picture; left as it is where it is there already.
    """
    if path.exists():
        return
    epoch, indices = next(order.keys(0, 1))
    batch = data[epoch, indices[:_SHOWN]]
    rows = [np.concatenate([*batch[name].numpy()], axis=1) for name in ("images", "composites") if name in batch]
    stacks = [batch[name].numpy() for name in ("views", "non_semantic") if name in batch]
    rows += [np.concatenate([*stack[:, view]], axis=1) for stack in stacks for view in range(stack.shape[1])]
    write_image(path, np.concatenate(rows, axis=0))
