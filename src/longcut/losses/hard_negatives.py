"""Ways to make more of the negatives that there are: weighted, moved closer, mixed."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from longcut.losses.contrast import contrast_with
from longcut.losses.mass import at_least_float32, log_mass


def debiased_mass(
    positive: Float[Tensor, " b"],
    negatives: Float[Tensor, "b k"],
    mask: Bool[Tensor, "b k"] | None = None,
    *,
    temperature: float,
    prior: float = 0.1,
) -> Float[Tensor, " b"]:
    r"""Log mass of the negatives without the share that false negatives have in it (DCL).

    .. math:: \log \max\left( \frac{\sum_k e^{s_k/t} - N \tau\, e^{s^+/t}}{1 - \tau},\; N e^{-1/t} \right)

    Args:
        positive: similarity of each anchor to its positive.
        negatives: similarity of each anchor to each of its negatives, drawn from all images alike.
        mask: True where a negative counts; N is their number.
        temperature: divides every similarity.
        prior: tau, the probability that a negative is of the anchor's class; 0 gives `log_mass`.

    Returns:
        One value per anchor, in nats, for `contrast_with`; minus infinity where no negative counts.

    Raises:
        ValueError: the prior is not in [0, 1).

    Source:
        Chuang et al., "Debiased contrastive learning" (NeurIPS 2020), section 4.
    """
    mass = log_mass(negatives, mask, temperature=temperature)
    return _without_false_negatives(mass, positive, _log_count(negatives, mask), temperature, prior)


def hard_mass(
    positive: Float[Tensor, " b"],
    negatives: Float[Tensor, "b k"],
    mask: Bool[Tensor, "b k"] | None = None,
    *,
    temperature: float,
    prior: float = 0.1,
    concentration: float = 1.0,
) -> Float[Tensor, " b"]:
    r"""`debiased_mass` of negatives weighted by how close they are to the anchor (HCL).

    In the place of :math:`\sum_k e^{s_k/t}` stands

    .. math:: N\, \frac{\sum_k e^{(1+\beta) s_k/t}}{\sum_k e^{\beta s_k/t}}

    whose weights get their gradient as in the authors' code.

    Args:
        positive: similarity of each anchor to its positive.
        negatives: similarity of each anchor to each of its negatives.
        mask: True where a negative counts; N is their number.
        temperature: divides every similarity.
        prior: tau, the probability that a negative is of the anchor's class.
        concentration: beta, how much the closest count more; 0 gives `debiased_mass`.

    Returns:
        One value per anchor, in nats, for `contrast_with`; minus infinity where no negative counts.

    Raises:
        ValueError: the prior is not in [0, 1).

    Source:
        Robinson et al., "Contrastive learning with hard negative samples" (ICLR 2021), section 3.
    """
    log_count = _log_count(negatives, mask)
    weighted = log_mass(negatives, mask, temperature=temperature, scale=1 + concentration)
    weights = log_mass(negatives, mask, temperature=temperature, scale=concentration)
    return _without_false_negatives(weighted - weights + log_count, positive, log_count, temperature, prior)


def modified_contrast(
    positive: Float[Tensor, " b"],
    negatives: Float[Tensor, "b k"],
    *masses: Float[Tensor, " b"],
    temperature: float,
    epsilon: float = 0.1,
    weight: float = 1.0,
    mask: Bool[Tensor, "b k"] | None = None,
) -> Float[Tensor, " b"]:
    r"""Mean of `contrast` and of the same after the positive moved away and the negatives closer (IFM).

    .. math:: \frac{L(s^+, s) + w\, L(s^+ - \epsilon,\; s + \epsilon)}{1 + w}

    Args:
        positive: similarity of each anchor to its positive.
        negatives: similarity of each anchor to each of its negatives.
        masses: log masses of further groups of negatives; their logits move by epsilon / t as well.
        temperature: divides every similarity.
        epsilon: by how much each similarity moves; 0 gives `contrast_with`.
        weight: of the second loss against the first.
        mask: True where one of `negatives` counts.

    Returns:
        One loss per anchor, in nats.

    Source:
        Robinson et al., "Can contrastive learning avoid shortcut solutions?" (NeurIPS 2021), section 3.
    """
    masses = (log_mass(negatives, mask, temperature=temperature), *masses)
    plain = contrast_with(positive, *masses, temperature=temperature)
    # Moving every negative by epsilon moves their mass by epsilon / t: only the difference to the positive counts.
    moved = contrast_with(at_least_float32(positive) - 2 * epsilon, *masses, temperature=temperature)
    return (plain + weight * moved) / (1 + weight)


def mix_hard_negatives(
    queries: Float[Tensor, "b d"],
    bank: Float[Tensor, "k d"],
    similarities: Float[Tensor, "b k"],
    *,
    num_hardest: int,
    num_mixed: int,
    num_query_mixed: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b m"]:
    r"""Cosines of each query to synthetic negatives, mixed from its hardest ones (MoCHi).

    `num_mixed` of them are :math:`a n_i + (1 - a) n_j` with a from U(0, 1), `num_query_mixed` are
    :math:`\beta q + (1 - \beta) n_j` with beta from U(0, 0.5), all made unit vectors; i and j are drawn from the
    query's `num_hardest` nearest embeddings of the bank. They are constants: only the query gets a gradient.

    Args:
        queries: embeddings, of any length.
        bank: unit vectors.
        similarities: cosine of each query to each embedding of the bank; minus infinity keeps one out.
        num_hardest: how many of the bank a query's partners are drawn from; all where fewer are there.
        num_mixed: how many are mixed of two negatives.
        num_query_mixed: how many are mixed of the query and a negative.
        generator: of the partners and the shares.

    Returns:
        The cosines, `m` = `num_mixed` + `num_query_mixed` for each query: a group of negatives for `log_mass`.

    Source:
        Kalantidis et al., "Hard negative mixing for contrastive learning" (NeurIPS 2020), sections 4.1 and 4.2.
    """
    size = 3, len(queries), num_mixed + num_query_mixed
    dtype = torch.promote_types(queries.dtype, torch.float32)
    uniforms = torch.rand(size, generator=generator, device=queries.device, dtype=dtype)
    return mix_drawn_negatives(queries, bank, similarities, uniforms, num_hardest=num_hardest, num_mixed=num_mixed)


def mix_drawn_negatives(
    queries: Float[Tensor, "b d"],
    bank: Float[Tensor, "k d"],
    similarities: Float[Tensor, "b k"],
    uniforms: Float[Tensor, "3 b m"],
    *,
    num_hardest: int,
    num_mixed: int,
) -> Float[Tensor, "b m"]:
    """`mix_hard_negatives` from given draws: a process passes its rows of those for the global batch.

    Args:
        queries: as there.
        bank: as there.
        similarities: as there.
        uniforms: in [0, 1), float64 where the queries are and float32 else: what chooses i and j, and the share.
        num_hardest: as there.
        num_mixed: how many of the `m` are mixed of two negatives; the others are mixed of the query and one.

    Returns:
        As there.
    """
    with torch.autocast(queries.device.type, enabled=False):
        units = functional.normalize(at_least_float32(queries), dim=1)
        with torch.no_grad():
            bank = bank.to(units.dtype)
            first, second = _draw_hardest(similarities, num_hardest, uniforms[:2])
            share = uniforms[2, :, :, None]
            synthetic = bank[second]
            synthetic[:, :num_mixed].lerp_(bank[first[:, :num_mixed]], share[:, :num_mixed])
            synthetic[:, num_mixed:].lerp_(units[:, None], share[:, num_mixed:] / 2)
            synthetic /= synthetic.norm(dim=2, keepdim=True)
        return torch.einsum("bd,bmd->bm", units, synthetic)


def _draw_hardest(similarities: Tensor, num_hardest: int, drawn: Tensor) -> Tensor:
    """Where in the bank the drawn of each query's nearest are, by numbers from U(0, 1) of shape [2,b,m]."""
    hardest, places = similarities.topk(min(num_hardest, similarities.shape[1]), dim=1)
    count = (hardest > -torch.inf).sum(dim=1)[:, None]
    rank = (drawn * count).long().minimum((count - 1).clamp(min=0))
    return places.expand(2, -1, -1).gather(2, rank)


def _log_count(negatives: Tensor, mask: Tensor | None) -> Tensor:
    b, k = negatives.shape
    dtype = torch.promote_types(negatives.dtype, torch.float32)
    count = torch.full((b,), k, device=negatives.device) if mask is None else mask.sum(dim=1)
    return count.to(dtype).log()


def _without_false_negatives(
    mass: Tensor, positive: Tensor, log_count: Tensor, temperature: float, prior: float
) -> Tensor:
    """The estimate of Chuang et al. on logarithms."""
    if not 0 <= prior < 1:
        raise ValueError(f"prior must be a probability below 1, not {prior}")
    floor = log_count - 1 / temperature
    log_prior = math.log(prior) if prior else -math.inf
    excess = at_least_float32(positive) / temperature + log_prior + log_count - mass
    # Where the false negatives outweigh all, or none counts, the logarithm has no value: the floor stands there.
    remain = excess < 0
    kept = (-excess.masked_fill(~remain, -1).expm1()).log()
    return torch.where(remain, mass + kept - math.log1p(-prior), floor).maximum(floor)
