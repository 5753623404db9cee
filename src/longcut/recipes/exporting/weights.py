"""State dicts: written with what is known of them, and compared by names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from longcut.data.decoding import write_whole
from longcut.data.layouts.samples import some
from longcut.recipes.exporting.about import About


def save_weights(tensors: Mapping[str, Tensor], file: Path, about: About) -> None:
    """Write a safetensors file whose header holds everything about the classifier.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors.torch import save

    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_whole(file, save(whole, metadata=about.header()))


def load_strictly(network: nn.Module, file: Path) -> nn.Module:
    """Put the weights of a safetensors file into a network whose names and shapes are the same; in evaluation mode.

    Raises:
        ValueError: they are not.
    """
    from safetensors.torch import load_file

    tensors = load_file(file)
    differ = difference(tensors, network.state_dict())
    if differ:
        raise ValueError(f"loaded again its weights do not fit ({differ}): nothing is kept; take --to onnx")
    network.load_state_dict(tensors)
    return network.eval()


def as_one_network(parts: nn.Sequential, classifier: str) -> dict[str, Tensor]:
    """The weights of a `backbone` and a `head` as those of one network, whose last layer is called `classifier`."""
    tensors: dict[str, Tensor] = dict(parts.get_submodule("backbone").state_dict())
    head = parts.get_submodule("head").state_dict()
    return tensors | {f"{classifier}.{key}": value for key, value in head.items()}


def difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """In which names and shapes two state dicts differ, in words; empty where in none."""
    shapes = [name for name in ours if name in theirs and ours[name].shape != theirs[name].shape]
    kinds = {
        "of ours alone": [name for name in ours if name not in theirs],
        "of theirs alone": [name for name in theirs if name not in ours],
        "of another shape": shapes,
    }
    return "; ".join(f"{len(names)} {kind}: {some(names)}" for kind, names in kinds.items() if names)
