"""EnD's two regularisers, on similarities: what a bias shares apart, what a class shares together."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from longcut.losses.mass import at_least_float32


def disentangling(similarities: Float[Tensor, "b b"], bias: Int[Tensor, " b"]) -> Tensor:
    r"""How far the features of one bias are from being orthogonal on average, over all biases.

    .. math:: R_\perp = \frac{\sum_v \left| \sum_{(i,j) \in P_v} s_{ij} \right|}{\sum_v |P_v|}

    :math:`P_v` are the pairs of different samples whose bias is v, of whatever class. The absolute value is of a sum:
    pairs of opposite signs cancel. A sample whose bias is not known is in no pair.

    Args:
        similarities: cosine of each sample's features to each other's.
        bias: of each sample; -1 where it is not known.

    Returns:
        A scalar in [0, 1]; 0 with a graph where no two samples share a bias.

    Source:
        Tartaglione et al., "EnD" (CVPR 2021), the disentangling term, as its published code normalises it.
    """
    similarities = at_least_float32(similarities)
    same = ((bias[:, None] == bias) & (bias >= 0)).to(similarities.dtype)
    pairs = same.tril(-1) + same.triu(1)
    sums = (same * (similarities * pairs).sum(dim=1)).sum(dim=1)  # of its own bias, in each sample's place
    return (sums.abs() / same.sum(dim=1).clamp(min=1)).sum() / pairs.sum().clamp(min=1)


def entangling(
    similarities: Float[Tensor, "b b"],
    targets: Int[Tensor, " b"],
    bias: Int[Tensor, " b"],
    *,
    authors_pairs: bool = False,
) -> Tensor:
    r"""How far the features of one class are from being parallel where their biases differ.

    .. math:: R_\parallel = 1 - \frac{1}{|Q|} \sum_{(i,j) \in Q} \frac{1 + s_{ij}}{2}

    :math:`Q` are the pairs of one class and of different biases. A sample whose bias is not known is in no pair.

    Args:
        similarities: cosine of each sample's features to each other's.
        targets: class of each sample.
        bias: of each sample; -1 where it is not known.
        authors_pairs: as the authors' code, only those pairs whose later sample in the batch has the lower bias: it
            lays a lower triangle over pairs that are already ordered, which drops about half of them.

    Returns:
        A scalar in [0, 1]; 0 with a graph where there is no such pair.

    Source:
        Tartaglione et al., "EnD" (CVPR 2021), the entangling term.
    """
    similarities = at_least_float32(similarities)
    known = bias >= 0
    pairs = (targets[:, None] == targets) & (bias[:, None] != bias) & known[:, None] & known
    if authors_pairs:
        pairs = pairs.tril(-1) & (bias[:, None] < bias)
    count = pairs.sum()
    mean = ((1 + similarities) / 2 * pairs).sum() / count.clamp(min=1)
    return (1 - mean) * (count > 0)
