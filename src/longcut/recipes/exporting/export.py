"""A run's classifier written for another library, and checked there before it is kept."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from longcut.core.features import feature_dim
from longcut.data.decoding import write_whole
from longcut.evaluation.heads import OWN, Head
from longcut.recipes.exporting import to_onnx, to_safetensors, to_timm, to_torchvision
from longcut.recipes.exporting.about import CARD, PREPROCESSING, About, Inputs, Target, names_file
from longcut.recipes.exporting.comparing import Loaded, compare, training_pixels
from longcut.recipes.exporting.source import Source, open_source
from longcut.recipes.inputs import Say

_WRITERS: dict[str, Callable[[Source, Path, About], Loaded]] = {
    "safetensors": to_safetensors.write,
    "timm": to_timm.write,
    "torchvision": to_torchvision.write,
    "onnx": to_onnx.write,
}
_FILES = {"onnx": "model.onnx"}
_WEIGHTS = "model.safetensors"
_SAME = ("target", "weights_hash", "head", "normalised_by")


def export_run(
    run: str,
    target: Target,
    out: Path,
    *,
    selection: str = "last",
    head: Head = OWN,
    with_preprocessing: bool = False,
    card: Callable[[About], str] | None = None,
    say: Say = lambda line: None,
) -> About:
    """Hand a run's classifier over to another library: the network that predicts, without what only training needs.

    The weights are loaded again in that library, and the logits of random and of a few training images compared with
    the run's own. What differs is not kept.

    Args:
        run: its folder, `DIR` or `run:DIR`.
        target: library that it is for.
        out: a folder, which also gets `preprocessing.json` and the model card; or, but for timm, the name of the file
            with the weights alone, whose header says the same. A folder with the same export is replaced.
        selection: which of the run's checkpoints.
        head: what classifies: the run's `own` head, the `linear` probe that `longcut probe` fitted, or the last layer
            that `longcut dfr` retrained.
        with_preprocessing: ONNX only: put the normalisation into the graph, which then takes images in 0 to 1.
        card: writes the model card.
        say: is told what is going on.

    Returns:
        What was exported, with the comparison.

    Raises:
        ValueError: there is no such run, it does not fit the target, `out` holds something else, or the logits differ.
        OSError: `out` cannot be written. Nothing is left behind.
    """
    _check(target, out, with_preprocessing)
    source = open_source(run, selection=selection, head=head)
    about = _about(source, target, out, with_preprocessing)
    again = _holds_the_same(out, about)
    near = next(folder for folder in out.absolute().parents if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=near) as staged:
        folder = Path(staged, "export")
        folder.mkdir()
        about = _checked(source, about, folder, say)
        if not names_file(out):
            _write_companions(folder, about, card)
        out.parent.mkdir(parents=True, exist_ok=True)
        _put(folder / about.file if names_file(out) else folder, out, again=again)
    say(f"loaded again, the logits differ by {about.comparison}")
    return about


def _checked(source: Source, about: About, folder: Path, say: Say) -> About:
    """Write into `folder` what the target loads, and compare it with the run."""
    loaded = _WRITERS[about.target](source, folder, about)
    with (folder / about.file).open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return replace(about, digest=digest, comparison=compare(source, loaded, training_pixels(source, say)))


def _check(target: str, out: Path, with_preprocessing: bool) -> None:
    """Refuse at once what cannot be.

    Raises:
        ValueError: says what.
    """
    if target not in get_args(Target):
        raise ValueError(f"--to {target}: there are {', '.join(get_args(Target))}")
    if with_preprocessing and target != "onnx":
        raise ValueError(f"--with-preprocessing goes with --to onnx: weights for {target} hold no preprocessing")
    if not names_file(out):
        return
    suffix = Path(_FILES.get(target, _WEIGHTS)).suffix
    if target == "timm":
        raise ValueError(f"--out {out} is a file: timm loads a folder with weights and configuration, name that")
    if out.suffix.lower() != suffix:
        raise ValueError(f"--out {out}: --to {target} writes a file {suffix}, name one, or a folder")
    if out.exists():
        raise ValueError(f"{out} exists: choose another --out, or remove it")


def _about(source: Source, target: Target, out: Path, with_preprocessing: bool) -> About:
    parts = source.parts
    return About(
        target=target,
        file=_FILES.get(target, _WEIGHTS),
        classes=source.classes,
        inputs=Inputs(
            image_size=source.settings.data.image_size,
            mean=source.normalisation.mean,
            std=source.normalisation.std,
            normalised_by="graph" if with_preprocessing else "caller",
        ),
        backbone=source.backbone,
        num_features=None if parts is None else feature_dim(parts.get_submodule("backbone")),
        num_parameters=None if parts is None else sum(weight.numel() for weight in parts.parameters()),
        origin=source.origin,
    )


def _holds_the_same(out: Path, about: About) -> bool:
    """Whether a folder holds this very export; a missing or an empty one does not.

    Raises:
        ValueError: it holds anything else.
    """
    if names_file(out) or not out.exists():
        return False
    if not out.is_dir():
        raise ValueError(f"{out} is a file: --out names a folder")
    found = sorted(file.name for file in out.iterdir())
    if not found:
        return False
    foreign = [name for name in found if name not in (about.file, to_timm.CONFIGURATION, PREPROCESSING, CARD)]
    before = _read(out / PREPROCESSING)
    if foreign or before is None:
        raise ValueError(f"{out} holds {(foreign or found)[0]} and is no export: choose another --out")
    for key in _SAME:
        if before.get(key) != about.facts()[key]:
            raise ValueError(
                f"{out} holds an export with {key} = {before.get(key)!r}, not {about.facts()[key]!r}: choose another "
                "--out, or remove it"
            )
    return True


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_companions(folder: Path, about: About, card: Callable[[About], str] | None) -> None:
    """What lies beside the weights."""
    text = json.dumps({"file": about.file, **about.facts()}, indent=2, ensure_ascii=False)
    write_whole(folder / PREPROCESSING, f"{text}\n".encode())
    if card is not None:
        write_whole(folder / CARD, card(about).encode())


def _put(whole: Path, out: Path, *, again: bool) -> None:
    """Move a whole file or folder to its place; the same export is replaced file by file."""
    if again:
        for file in sorted(whole.iterdir()):
            file.replace(out / file.name)
        return
    if out.is_dir():
        out.rmdir()
    whole.rename(out)
