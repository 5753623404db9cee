"""Grad-CAM of any classifier: where its last map of features is, and what that says of an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from longcut.attribution.class_activation import evaluation_mode, evidence
from longcut.attribution.places import Located, as_map, find_layout

_PREFIXES = (0, 1, 2, 5)
"""Tokens before those of places, where a network does not say: none, a class's, a teacher's too, four registers too."""
_TRIED = 2


@dataclass(frozen=True)
class _Output:
    where: Located
    values: Tensor


def locate(network: nn.Module, images: Float[Tensor, "b c h w"]) -> Located | None:
    """Find the last map of features that the logits are made of.

    It is the last output of a module with more than one place on which the winning logits depend place by place: of a
    convolutional network its map before pooling, of a transformer that reads a class token the input of its last
    attention, since what comes later has nothing of other tokens. What attention makes inside is no map.

    Args:
        network: images to logits `[b, n]`. Its modes stay as they are, and no parameter gets a gradient.
        images: as the network takes them; the first two are tried.

    Returns:
        None where there is no such map, or the network gives no gradients.
    """
    with evaluation_mode(network), torch.inference_mode(False), torch.enable_grad():
        # Frozen weights give no gradient by themselves. What has none at all may leave torch, as ONNX's models do.
        wanted = [parameter.requires_grad for parameter in network.parameters()]
        tried = images[:_TRIED].clone().requires_grad_(bool(wanted) and not any(wanted))
        with _recorded(network, tried.shape) as outputs:
            logits = network(tried.clone())
        outputs = [output for output in outputs if output.values.requires_grad]
        if not (outputs and logits.requires_grad):
            return None
        winning = logits.amax(dim=1).sum()
        gradients = torch.autograd.grad(winning, [output.values for output in outputs], allow_unused=True)
    found = {o.where: g for o, g in zip(outputs, gradients, strict=True) if g is not None}
    speaking = [where for where, gradient in found.items() if as_map(gradient, where, tried.shape).count_nonzero()]
    # A head whose weights are still zero depends on nothing: then the last map is as good as any.
    return next(reversed(speaking or list(found)), None)


def explain(
    network: nn.Module, images: Float[Tensor, "b c h w"], targets: Int[Tensor, " b"], located: Located
) -> Float[Tensor, "b y x"]:
    """Grad-CAM: how much each place speaks for a class.

    Only what follows the map is differentiated. It works within `torch.inference_mode` and `torch.no_grad` too.

    Args:
        network: images to logits `[b, n]`. Its modes stay as they are, and no parameter gets a gradient.
        images: as the network takes them.
        targets: the logit that each image is explained for.
        located: by `locate`.

    Returns:
        As `grad_cam`: from 0 to 1, the maximum of each map being 1; zero where nothing speaks for the class.

    Raises:
        ValueError: `located` is of another network.

    Source:
        Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization" (ICCV
        2017), equations 1 and 2, whose maps are convolutional; tokens of places are read as one.
    """
    leaves: list[Tensor] = []
    calls = Counter[str]()

    def begin(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        calls[located.name] += 1
        if calls[located.name] != located.call + 1:
            return None
        torch.set_grad_enabled(True)
        leaves.append(output.detach().requires_grad_())
        return leaves[0].clone()  # what follows may write into it

    with evaluation_mode(network), torch.inference_mode(False), torch.no_grad():
        handle = network.get_submodule(located.name).register_forward_hook(begin)
        try:
            logits = network(images.clone())
        finally:
            handle.remove()
        if not leaves:
            raise ValueError(f"module {located.name!r} did not run in {type(network).__name__}: locate its map again")
        (gradient,) = torch.autograd.grad(logits.gather(1, targets.clone()[:, None]).sum(), leaves)
    features, weights = (as_map(values, located, images.shape) for values in (leaves[0], gradient))
    return evidence(features, weights.mean(dim=(2, 3)))


def energy_inside(maps: Float[Tensor, "b y x"], masks: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
    """The share of each map that lies on the foreground, once it is resized to the mask's size.

    Args:
        maps: not negative.
        masks: 1 on the foreground, 0 elsewhere, values between on soft edges.

    Returns:
        From 0 to 1; NaN for a map that is zero everywhere.

    Source:
        Wang et al., "Score-CAM: Score-weighted visual explanations for convolutional neural networks" (CVPR Workshops
        2020), section 4.3, the energy-based pointing game, with the object's mask for its box.
    """
    enlarged = functional.interpolate(maps[:, None], masks.shape[2:], mode="bilinear")
    return (enlarged * masks).sum(dim=(1, 2, 3)) / enlarged.sum(dim=(1, 2, 3))


@contextmanager
def _recorded(network: nn.Module, shape: Sequence[int]) -> Iterator[list[_Output]]:
    """The outputs that may be maps, in the order in which modules finish."""
    outputs: list[_Output] = []
    calls = Counter[str]()
    among_tokens = [False]  # whether each module that is running, or one around it, was given tokens
    prefixes = _prefixes(network)

    def begin(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        among_tokens.append(among_tokens[-1] or _are_tokens(inputs))

    def end(name: str, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        among_tokens.pop()
        call, calls[name] = calls[name], calls[name] + 1
        found = find_layout(output.shape, shape, prefixes) if isinstance(output, Tensor) else None
        if found is None:
            return None
        # Of tokens, queries, keys and values in one are wider than what they are made of. Four axes within what is made
        # of tokens are attention's: of its heads, or of a pair of tokens each.
        widened = _are_tokens(inputs) and inputs[0].shape[2] != output.shape[-1]
        if widened if found[0] == "tokens" else among_tokens[-1]:
            return None
        outputs.append(_Output(Located(name, call, *found), output))
        return output.clone()  # what follows may write into it

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            hooks.callback(module.register_forward_pre_hook(begin).remove)
            hooks.callback(module.register_forward_hook(partial(end, name)).remove)
        yield outputs


def _are_tokens(inputs: tuple[Any, ...]) -> bool:
    return bool(inputs) and isinstance(inputs[0], Tensor) and inputs[0].ndim == 3


def _prefixes(network: nn.Module) -> tuple[int, ...]:
    """How many tokens may stand before those of places; timm's transformers say it."""
    said = (getattr(module, "num_prefix_tokens", None) for module in network.modules())
    return next(((count, 0) for count in said if isinstance(count, int)), _PREFIXES)
