"""The Background Challenge proper: is there any background on which a foreground is not recognised?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from longcut.data.loader import Normalisation
from longcut.evaluation.collect import Classifier
from longcut.negatives import paste


@torch.inference_mode()
def survives_backgrounds(
    model: Classifier,
    foregrounds: UInt8[Tensor, "s h w c"],
    masks: UInt8[Tensor, "s h w"],
    targets: Int[Tensor, " s"],
    backgrounds: UInt8[Tensor, "k h w c"],
    *,
    normalisation: Normalisation,
    batch_size: int = 256,
) -> NDArray[np.bool_]:
    """Whether each foreground is classified rightly on every background.

    A foreground is tried no further once a background has flipped it, and the backgrounds that have flipped the most
    are tried first: a first block of backgrounds on a sample of foregrounds finds them.

    Args:
        model: in evaluation mode, on the device of the tensors.
        foregrounds: images whose foregrounds are pasted.
        masks: 255 where the foreground is.
        targets: classes of the foregrounds.
        backgrounds: images without a foreground, decoded, on the device.
        normalisation: from pixels to the model's input.
        batch_size: composites in one forward pass.

    Returns:
        `[s]`; its mean is the challenge accuracy.

    Source:
        Xiao et al., "Noise or signal" (ICLR 2021), section 4.
    """
    size = len(foregrounds)
    alive = torch.ones(size, dtype=torch.bool, device=foregrounds.device)
    flips = torch.zeros(len(backgrounds), device=foregrounds.device)
    untried = torch.ones(len(backgrounds), dtype=torch.bool, device=foregrounds.device)
    some = torch.arange(0, size, max(1, size // 32), device=foregrounds.device)

    def wrong(rows: Tensor, columns: Tensor) -> Tensor:
        """`[rows, columns]` whether each composite is misclassified."""
        pairs = torch.cartesian_prod(rows, columns)
        parts = []
        for chunk in pairs.split(batch_size):
            f, b = chunk[:, 0], chunk[:, 1]
            channels_first = [t.permute(0, 3, 1, 2) for t in (foregrounds[f], backgrounds[b])]
            composed = paste(channels_first[0], masks[f][:, None], channels_first[1])
            logits = model.classify(model.encode(normalisation(composed.permute(0, 2, 3, 1))))
            parts.append(logits.argmax(dim=1) != targets[f])
        return torch.cat(parts).view(len(rows), len(columns))

    flips += wrong(some, torch.arange(len(backgrounds), device=flips.device)).sum(dim=0)
    while untried.any() and alive.any():
        order = flips.masked_fill(~untried, -1).argsort(descending=True, stable=True)
        rows = alive.nonzero()[:, 0]
        columns = order[: max(1, min(int(untried.sum()), batch_size // len(rows)))]
        failed = wrong(rows, columns)
        flips[columns] += failed.sum(dim=0)
        untried[columns] = False
        alive[rows] = ~failed.any(dim=1)
    result: NDArray[np.bool_] = alive.cpu().numpy()
    return result
