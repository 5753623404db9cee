"""State dicts: written with what is known of them, and compared by names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from longcut.data.decoding import write_whole
from longcut.recipes.exporting.about import About

_SHOWN = 3


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


def difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """In which names and shapes two state dicts differ, in words; empty where in none."""
    shapes = [name for name in ours if name in theirs and ours[name].shape != theirs[name].shape]
    kinds = {
        "of ours alone": [name for name in ours if name not in theirs],
        "of theirs alone": [name for name in theirs if name not in ours],
        "of another shape": shapes,
    }
    return "; ".join(f"{len(names)} {kind}: {_first(names)}" for kind, names in kinds.items() if names)


def _first(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
