"""Starting weights of a backbone: from a local file, by timm's name, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from longcut.backbones.weight_files import (
    SUFFIXES,
    file_hash,
    first_of,
    fit,
    read_weights,
    require_host,
    state_dict_in,
)

_PREFIXES = ("module.", "backbone.")
_HEADS = ("fc.", "head.", "head_dist.", "classifier.")


def load_weights(backbone: nn.Module, source: str, *, timm_name: str) -> str:
    """Load starting weights into a backbone, in place.

    Args:
        backbone: a network of `create_backbone`.
        source: `none`; a local `.safetensors` file, or a `.pt`/`.pth` file with timm's or torchvision's names, also
            nested under `state_dict` or `model` and behind `module.` or `backbone.`; a run's checkpoint, of which the
            method's backbone is taken; or weights of timm's by name (`resnet50.a1_in1k`), which are downloaded.
        timm_name: the name that the backbone was created by.

    Returns:
        What was loaded, in words. A classifier in the file is left out and said.

    Raises:
        ValueError: the file is missing, is not weights, or does not fit; or the weights cannot be downloaded.
    """
    if source == "none":
        return "from scratch"
    path = Path(source).expanduser()
    if path.suffix.lower() in SUFFIXES or path.is_file():
        left_out = _fit(backbone, _read(path), path.name, timm_name)
        note = f"; left out: {', '.join(left_out)}" if left_out else ""
        return f"{path.name} (sha256:{file_hash(path)[:12]}{note})"
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
        return f"{path.name} (sha256:{file_hash(path)[:12]})"
    name = _pretrained_name(timm_name, timm_name)
    _fit(model, _download(model, name, classifier=True), name, timm_name)
    return f"timm:{name}"


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors of a weights file by name, unwrapped; of a method's, those of its backbone."""
    tensors = state_dict_in(read_weights(path), path)
    for prefix in _PREFIXES:
        inner = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        tensors = inner or tensors
    return tensors


def _fit(backbone: nn.Module, tensors: dict[str, Tensor], source: str, name: str) -> list[str]:
    """Load tensors whose names and shapes are the backbone's; return the classifier's names, which are left out."""
    own = backbone.state_dict()
    left_out = [key for key in tensors if key not in own and key.startswith(_HEADS)]
    fit(backbone, tensors, source, name, left_out=left_out)
    return left_out


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
    known = f"timm has {first_of(names)} for {timm_name}" if names else f"timm has no weights for {timm_name}"
    raise ValueError(
        f"no weights file and no weights of timm's called {source!r}; {known}; or give a local file, or none"
    )


def _download(backbone: nn.Module, name: str, *, classifier: bool = False) -> dict[str, Tensor]:
    import timm
    from huggingface_hub.constants import ENDPOINT

    configuration: Any = timm.models.get_pretrained_cfg(name)
    if not _is_cached(configuration.hf_hub_id):
        require_host(ENDPOINT if configuration.hf_hub_id else configuration.url, name)
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
