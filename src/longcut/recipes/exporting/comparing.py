"""Whether what was exported says what the run says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from longcut.data.batches import EvaluationData
from longcut.recipes.exporting.about import Comparison
from longcut.recipes.exporting.source import Source
from longcut.recipes.inputs import Inputs, Say, training_images
from longcut.recipes.reading import open_images

TOLERANCE = 1e-4
"""The largest difference between two logits that counts as none, times the largest logit where that is above 1."""
COUNT = 8
Pixels = UInt8[Tensor, "b h w 3"]
Loaded = Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, "b n"]]
"""What was exported, loaded again: images in 0 to 1 to logits."""


@torch.no_grad()
def compare(source: Source, loaded: Loaded, training: Pixels | None) -> Comparison:
    """Compare the logits of what was exported with the run's own.

    The images are passed on together and one by one, since a graph may hold on to the size of the batch that it was
    made with.

    Args:
        source: the run's classifier.
        loaded: what was exported.
        training: images of the training set, where they are at hand.

    Raises:
        ValueError: a difference is larger than `TOLERANCE` allows, or the logits have another shape.
    """
    pixels = _random_images(source.settings.data.image_size)
    pixels = pixels if training is None else torch.cat([pixels, training])
    expected = source.network(source.normalisation(pixels)).double()
    images = pixels.permute(0, 3, 1, 2).float() / 255
    found = [loaded(images), torch.cat([loaded(image[None]) for image in images])]
    if any(logits.shape != expected.shape for logits in found):
        shapes = " and ".join(str([*logits.shape]) for logits in found)
        raise ValueError(
            f"loaded again it gives logits of the shape {shapes}, not {[*expected.shape]}: nothing is kept"
        )
    difference = float((torch.stack(found).double() - expected).abs().max())  # not a number where one is none
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:
        raise ValueError(
            f"loaded again its logits differ from the run's by {difference:.1e}, and {allowed:.1e} is allowed: "
            "nothing is kept"
        )
    return Comparison(difference, allowed, COUNT, len(pixels) - COUNT)


def training_pixels(source: Source, say: Say) -> Pixels | None:
    """A few images that the run was trained on; None where they are not at hand.

    Args:
        source: of whose run.
        say: is told why there are none.
    """
    size = source.settings.data.image_size
    try:
        if source.data is None:
            raise ValueError("the run does not say what it was trained on")
        images = training_images(source.settings, Inputs(source.data))
        chosen = images.select(np.linspace(0, len(images) - 1, min(COUNT, len(images))).astype(np.int64))
        store = open_images(chosen, size, skip_bad=True, say=say)
        return EvaluationData(store, size)[np.arange(len(store))]["images"]
    except (ValueError, OSError) as error:
        say(f"checked on random images alone: {error}")
        return None


def _random_images(size: int) -> Pixels:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (COUNT, size, size, 3), dtype=torch.uint8, generator=generator)
