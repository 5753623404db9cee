"""What the methods share that take non-semantic negatives.

Songwei Ge, Shlok Mishra, Haohan Wang, Chun-Liang Li, David Jacobs. "Robust contrastive learning using negative samples
with diminished semantics", NeurIPS 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from longcut.core.method import NonSemantic
from longcut.losses import cosine, log_mass
from longcut.methods.checks import check_counts


def fields_to_ask_for(non_semantic: NonSemantic | None, alpha: float, num_non_semantic: int) -> frozenset[str]:
    """What of a batch the term reads: nothing where there is none, or where alpha is 0.

    Raises:
        ValueError: alpha is negative or not finite, or fewer than one image is asked for.
    """
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha must be a finite number from 0, not {alpha}; 0 leaves non-semantic negatives out")
    check_counts(num_non_semantic=num_non_semantic)
    return frozenset({"non_semantic"}) if non_semantic and alpha else frozenset()


def non_semantic_mass(
    queries: Float[Tensor, "b d"], embeddings: Sequence[Float[Tensor, "b d"]], *, alpha: float, temperature: float
) -> Float[Tensor, " b"]:
    r"""Log mass of each query's non-semantic images, for `contrast_with`.

    .. math:: \log \sum_v e^{\alpha\, z \cdot z^{ns}_v / t}

    Args:
        queries: embeddings, of any length.
        embeddings: those of each query's images, one tensor for each of them.
        alpha: multiplies the cosine inside the exponent.
        temperature: divides every cosine.

    Source:
        Ge et al. (NeurIPS 2021), equation 1, the second term of the denominator.
    """
    similarities = torch.stack([cosine(queries, each) for each in embeddings], dim=1)
    return log_mass(similarities, temperature=temperature, scale=alpha)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """While it lasts, BatchNorm normalises by the batch and leaves its running statistics as they are.

    They are what evaluation normalises by, and it never sees a non-semantic image.
    """
    norms = [(module, module.momentum) for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
