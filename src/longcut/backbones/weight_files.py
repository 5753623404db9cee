"""Weights files: read without running what is in them, unwrapped, and fitted to a network name by name."""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".tar", ".ckpt")
NESTED = ("state_dict", "model")
"""Where checkpoints of others keep the weights, outermost first."""
_SHOWN = 3


def read_weights(path: Path) -> Any:
    """What a weights file holds, on the CPU.

    Raises:
        ValueError: there is no such file, it is damaged, or it is a pickle of more than weights; none of its code is
            run.
    """
    if not path.is_file():
        raise ValueError(f"no weights file {path}; give an existing file, a name of timm's, or none")
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # it is refused below
            warnings.filterwarnings("ignore", ".*TorchScript archive", UserWarning)  # likewise
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, OSError) as error:
        with path.open("rb") as file:
            is_pickle = file.read(2).startswith((b"\x80", b"PK"))  # a bare one, or torch's zip around one
        if is_pickle and (isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error)):
            raise ValueError(
                f"{path} is a pickle that is not weights alone: refused, and none of its code was run; "
                "save its state_dict() as .safetensors"
            ) from error
        raise ValueError(f"{path} is damaged or not a weights file of torch's; download or save it again") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error}); download or save it again") from error


def state_dict_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what `read_weights` read, also where it is nested in a checkpoint.

    Of a checkpoint of longcut's it is that of the method, with the buffers of the first process.

    Raises:
        ValueError: there is none.
    """
    match content:
        case {"parameters": Mapping() as parameters, "ranks": [{"buffers": Mapping() as buffers}, *_]}:
            content = {**parameters, **buffers}
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path} holds no state dict (names and tensors); save state_dict() of the network into it")
    return {str(key): value for key, value in content.items()}


def without_wrappers(tensors: Mapping[str, Tensor], prefixes: Sequence[str]) -> dict[str, Tensor]:
    """The tensors under the names that they had before something wrapped the network, which put one of `prefixes`
    before every name; again as long as there is one."""
    tensors = dict(tensors)
    while prefix := next((p for p in prefixes if tensors and all(key.startswith(p) for key in tensors)), ""):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def fit(
    network: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str, *, left_out: Sequence[str] = ()
) -> None:
    """Load tensors into a network, in place: all or nothing, and every one of both.

    Args:
        network: to load into.
        tensors: by name.
        source: of the tensors, for people.
        name: of the network, likewise.
        left_out: names among the tensors that are passed over.

    Raises:
        ValueError: tensors are missing, unexpected or of another shape: how many, and the first few of each.
    """
    own = network.state_dict()
    unexpected = [key for key in tensors if key not in own and key not in left_out]
    # Files from before torch 0.4 do not count batches, and nothing reads the count.
    missing = [key for key in own if key not in tensors and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} is {list(tensors[key].shape)} in the file and {list(value.shape)} in the network"
        for key, value in own.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if missing or unexpected or shapes:
        kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        wrong = "; ".join(f"{len(keys)} {kind}: {first_of(keys)}" for kind, keys in kinds.items() if keys)
        raise ValueError(f"{source} does not fit {name}: {wrong}; take weights of this very network, or none")
    network.load_state_dict({key: tensors[key] for key in own if key in tensors}, strict=False)


def first_of(keys: Sequence[str]) -> str:
    """The first few of some names, for people."""
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_host(address: str, name: str) -> None:
    """Fail at once where the host of weights cannot be reached; clients that download them try for most of a minute.

    Raises:
        ValueError: says how to go on without a network.
    """
    request = urllib.request.Request(address, method="HEAD")
    try:
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
            raise urllib.error.URLError("HF_HUB_OFFLINE is set")
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        raise ValueError(
            f"cannot reach {address} for {name}; download its weights where there is a network "
            "and give the file's path, or none for random ones"
        ) from error
