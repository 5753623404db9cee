"""Starting weights of a backbone: from a local file, by timm's name, or none."""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".tar", ".ckpt")
_NESTED = ("state_dict", "model", "method")
_PREFIXES = ("module.", "backbone.")
_HEADS = ("fc.", "head.", "head_dist.", "classifier.")
_SHOWN = 3


def load_weights(backbone: nn.Module, source: str, *, timm_name: str) -> str:
    """Load starting weights into a backbone, in place.

    Args:
        backbone: a network of `create_backbone`.
        source: `none`; a local `.safetensors` file, or a `.pt`/`.pth` file with timm's or torchvision's names, also
            nested under `state_dict` or `model` and behind `module.` or `backbone.`; or weights of timm's by name
            (`resnet50.a1_in1k`), which are downloaded.
        timm_name: the name that the backbone was created by.

    Returns:
        What was loaded, in words. A classifier in the file is left out and said.

    Raises:
        ValueError: the file is missing, is not weights, or does not fit; or the weights cannot be downloaded.
    """
    if source == "none":
        return "from scratch"
    path = Path(source).expanduser()
    if path.suffix.lower() in _SUFFIXES or path.is_file():
        left_out = _fit(backbone, _read(path), path.name, timm_name)
        note = f"; left out: {', '.join(left_out)}" if left_out else ""
        return f"{path.name} (sha256:{_digest(path)[:12]}{note})"
    name = _pretrained_name(source, timm_name)
    _fit(backbone, _download(backbone, name), name, timm_name)
    return f"timm:{name}"


def load_classifier_weights(model: nn.Module, path: Path | None, timm_name: str) -> str:
    """Load weights with their classifier into a whole model of timm's, in place.

    Args:
        model: made by timm's name, with a classifier.
        path: a local file; None downloads timm's own.
        timm_name: the name that the model was created by.

    Returns:
        What was loaded, in words.

    Raises:
        ValueError: as `load_weights`; a file without the classifier, or with one of another size, does not fit.
    """
    if path is not None:
        if _fit(model, _read(path), path.name, timm_name):
            raise ValueError(f"{path} holds a classifier that does not fit {timm_name}")
        return f"{path.name} (sha256:{_digest(path)[:12]})"
    name = _pretrained_name(timm_name, timm_name)
    _fit(model, _download(model, name, classifier=True), name, timm_name)
    return f"timm:{name}"


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors of a weights file by name, unwrapped."""
    if not path.is_file():
        raise ValueError(f"no weights file {path}; give an existing file, a name of timm's, or none")
    if path.suffix.lower() == ".safetensors":
        return _unwrap(_read_safetensors(path), path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # it is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, OSError) as error:
        with path.open("rb") as file:
            is_pickle = file.read(2).startswith((b"\x80", b"PK"))  # a bare one, or torch's zip around one
        if is_pickle and isinstance(error, pickle.UnpicklingError):
            raise ValueError(
                f"{path} is a pickle that is not weights alone: refused, and none of its code was run; "
                "save its state_dict() as .safetensors"
            ) from error
        raise ValueError(f"{path} is damaged or not a weights file of torch's; download or save it again") from error
    return _unwrap(content, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error}); download or save it again") from error


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """Take a state dict out of a checkpoint, and its names out of what wrapped the network."""
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path} holds no state dict (names and tensors); save state_dict() of the network into it")
    tensors: dict[str, Tensor] = {str(key): value for key, value in content.items()}
    for prefix in _PREFIXES:
        inner = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        tensors = inner or tensors
    return tensors


def _fit(backbone: nn.Module, tensors: dict[str, Tensor], source: str, name: str) -> list[str]:
    """Load tensors whose names and shapes are the backbone's; return the classifier's names, which are left out."""
    own = backbone.state_dict()
    left_out = [key for key in tensors if key not in own and key.startswith(_HEADS)]
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
        wrong = "; ".join(f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in kinds.items() if keys)
        raise ValueError(f"{source} does not fit {name}: {wrong}; take weights of this very backbone, or none")
    backbone.load_state_dict({key: tensors[key] for key in own if key in tensors}, strict=False)
    return left_out


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pretrained_name(source: str, timm_name: str) -> str:
    """Full name of weights of timm's for the architecture, `resnet50` being the default ones."""
    import timm

    architecture = timm_name.partition(".")[0]
    names = timm.list_pretrained(f"{architecture}.*")
    if source == architecture:
        source = str(getattr(timm.models.get_pretrained_cfg(architecture), "tag", ""))
    name = source if "." in source else f"{architecture}.{source}"
    if name in names:
        return name
    known = f"timm has {_first(names)} for {timm_name}" if names else f"timm has no weights for {timm_name}"
    raise ValueError(
        f"no weights file and no weights of timm's called {source!r}; {known}; or give a local file, or none"
    )


def _download(backbone: nn.Module, name: str, *, classifier: bool = False) -> dict[str, Tensor]:
    import timm

    configuration: Any = timm.models.get_pretrained_cfg(name)
    if not _is_cached(configuration.hf_hub_id):
        _require_host(configuration, name)
    options: dict[str, Any] = {}
    patches: Any = getattr(backbone, "patch_embed", None)
    if configuration.fixed_input_size and patches is not None:
        options["img_size"] = patches.img_size  # position embeddings are resampled to it
    try:
        options |= {} if classifier else {"num_classes": 0}
        network = timm.create_model(name, pretrained=True, **options)
    except (OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name} could not be downloaded ({reason}); give its file with a local path") from error
    tensors: dict[str, Tensor] = network.state_dict()
    return tensors


def _is_cached(repository: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "pytorch_model.bin")
    return repository is not None and any(isinstance(try_to_load_from_cache(repository, f), str) for f in files)


def _require_host(configuration: Any, name: str) -> None:
    """Fail at once where the host of the weights cannot be reached: the hub's client would try for most of a minute."""
    from huggingface_hub.constants import ENDPOINT

    address = ENDPOINT if configuration.hf_hub_id else configuration.url
    request = urllib.request.Request(address, method="HEAD")
    try:
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
            raise urllib.error.URLError("HF_HUB_OFFLINE is set")
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        raise ValueError(
            f"cannot reach {address} for {name}; download its model.safetensors where there is a network "
            "and give the file's path, or none to start from scratch"
        ) from error
