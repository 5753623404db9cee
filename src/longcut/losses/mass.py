"""What the negatives weigh in a softmax: log-sum-exp of similarities, in few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CACHED = 2**17
"""Numbers that a processor's cache holds while one block of similarities is worked on."""
LEFT_OUT = 1e30
"""How far below all others the logit of a negative is that does not count."""


def log_mass(
    similarities: Float[Tensor, "b k"],
    mask: Bool[Tensor, "b k"] | None = None,
    *,
    temperature: float,
    scale: float | Float[Tensor, " k"] = 1.0,
) -> Float[Tensor, " b"]:
    r"""Log of the mass of a group of negatives, given their similarities.

    .. math:: \log \sum_k e^{a\,s_k/t}

    Computed in float32 at least, whatever the autocast, and by log-sum-exp, so that no temperature overflows. The
    gradient (of first order, for the similarities) is made from the result, block by block: nothing of the size of
    the similarities is kept for it but themselves.

    Args:
        similarities: of each anchor to each negative.
        mask: True where a negative counts.
        temperature: divides every similarity.
        scale: multiplies the similarities inside the exponent, one number or one for each negative. A constant.

    Returns:
        One value per anchor, in nats; minus infinity where no negative counts.
    """
    factor = scale / temperature
    similarities = at_least_float32(similarities)
    if isinstance(factor, Tensor):
        factor = factor.detach().to(similarities.dtype)
    result: Tensor = _LogMass.apply(similarities, mask, factor)
    return result


def bank_mass(
    queries: Float[Tensor, "b d"], bank: Float[Tensor, "k d"], *, temperature: float, scale: float = 1.0
) -> Float[Tensor, " b"]:
    r"""`log_mass` of the cosines of each query to a bank that all of them share.

    The cosines are never there all at once: each block of the bank is multiplied, summed up and, where the queries
    need a gradient, weighed back, while it is in the cache. So the gradient is ready with the result (one product
    `[b,k] x [k,d]`, as backward would take), and backward does not read the bank: it may be written to before.

    Args:
        queries: embeddings, of any length.
        bank: unit vectors; they get no gradient.
        temperature: divides every cosine.
        scale: multiplies the cosines inside the exponent.

    Returns:
        One value per query, in nats.
    """
    with torch.autocast(queries.device.type, enabled=False):
        units = functional.normalize(at_least_float32(queries), dim=1)
        result: Tensor = _BankMass.apply(units, bank.detach().to(units.dtype), scale / temperature)
    return result


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float64 where it is, else in float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


class _LogMass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, similarities: Tensor, mask: Tensor | None, factor: float | Tensor) -> Tensor:
        result = similarities.new_full((len(similarities),), -torch.inf)
        for rows in _blocks(similarities):
            logits = similarities[rows] * factor
            if mask is not None:
                logits.add_(_as_numbers(mask[rows], logits).sub_(1).mul_(LEFT_OUT))
            mass = logits.logsumexp(dim=1)
            result[rows] = mass.masked_fill_(mass < -LEFT_OUT / 2, -torch.inf)
        ctx.factor = factor
        ctx.save_for_backward(similarities, mask, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        similarities, mask, result = ctx.saved_tensors
        slope = torch.empty_like(similarities)
        # Where none counts the mask makes all zero; any finite number will do in the result's place.
        result = result.masked_fill(result == -torch.inf, 0)[:, None]
        for rows in _blocks(similarities):
            weights = torch.mul(similarities[rows], ctx.factor, out=slope[rows]).sub_(result[rows])
            if mask is None:
                weights.exp_()
            else:  # What does not count may be above the result, and must not overflow before it is taken out.
                weights.clamp_(max=0).exp_().mul_(_as_numbers(mask[rows], weights))
            weights.mul_(gradient[rows, None]).mul_(ctx.factor)
        return slope, None, None


def _blocks(similarities: Tensor) -> list[slice]:
    """Rows that fit in a processor's cache at a time; on a GPU all of them."""
    b, k = similarities.shape
    if b * k == 0:
        return []
    step = max(1, CACHED // k) if similarities.device.type == "cpu" else b
    return [slice(start, start + step) for start in range(0, b, step)]


def _as_numbers(mask: Tensor, like: Tensor) -> Tensor:
    """1 and 0, by way of bytes: on a CPU torch converts those, other than booleans, many at a time."""
    return mask.view(torch.uint8).to(like.dtype)


class _BankMass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, bank: Tensor, factor: float) -> Tensor:
        needed = ctx.needs_input_grad[0]
        b = len(queries)
        step = max(1, CACHED // max(1, b)) if queries.device.type == "cpu" else max(1, len(bank))
        top = queries.new_full((b, 1), -torch.inf)
        total = queries.new_zeros(b, 1)
        mean, scaled = torch.zeros_like(queries), queries * factor
        for block in bank.split(step):
            logits = scaled @ block.T
            higher = torch.maximum(top, logits.amax(dim=1, keepdim=True))
            weights = logits.sub_(higher).exp_()
            rescale = (top - higher).exp_()
            total.mul_(rescale).add_(weights.sum(dim=1, keepdim=True))
            if needed:
                mean.mul_(rescale).addmm_(weights, block)
            top = higher
        ctx.save_for_backward(mean.div_(total).mul_(factor) if needed else None)
        return (total.log() + top)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient[:, None] * slope, None, None
