"""Where networks find their evidence, image by image: the guidance of pairs, and several runs on the same images.

Park et al., "Enhancing intrinsic features for debiasing via investigating class-discerning common attributes in
bias-contrastive pair" (CVPR 2024), Figures 3 and 4. Images are drawn by a seed, not chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from longcut.attribution import grad_cam
from longcut.core import Method
from longcut.core.features import check_feature_map, feature_map
from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.batches import EvaluationData
from longcut.data.image_set import ImageSet
from longcut.data.store import Store
from longcut.engine.launch import find_device
from longcut.evaluation.bias_negative_analysis import Members
from longcut.methods.guidance import compare
from longcut.recipes.models import Model
from longcut.recipes.reading import Say, open_images

Map = NDArray[np.float32]
"""`[y, x]` a number for each place of a map of features."""


@dataclass(frozen=True)
class Pair:
    """An image, its partner of the same class, and what the guidance makes of them: `E`, `c`, `r` and `IE`.

    Attributes:
        names: class, bias of the image, bias of the partner.
        paths: of both.
        image: `[h, w, 3]` as the network sees it.
        partner: likewise.
        exploitation: E(z), of the image.
        partner_exploitation: E of the partner.
        common: c(z).
        relative: r(z).
        weight: IE(z).
    """

    names: tuple[str, str, str]
    paths: tuple[str, str]
    image: NDArray[np.uint8]
    partner: NDArray[np.uint8]
    exploitation: Map
    partner_exploitation: Map
    common: Map
    relative: Map
    weight: Map


@dataclass(frozen=True)
class Explained:
    """An image, and where each of several runs finds its evidence for the image's class.

    Attributes:
        names: class, and bias where it is known.
        path: of the image.
        image: `[h, w, 3]` as the first run sees it.
        maps: of each run.
        said: the class that each run predicts.
    """

    names: tuple[str, str]
    path: str
    image: NDArray[np.uint8]
    maps: tuple[Map, ...]
    said: tuple[str, ...]


def explain(
    method: Method, images: Float[Tensor, "b c h w"], targets: Int[Tensor, " b"]
) -> tuple[Float[Tensor, "b d y x"], Float[Tensor, "b y x"], Int[Tensor, " b"]]:
    """Grad-CAM of a method's backbone, whatever the method makes of the features behind it.

    Args:
        method: in evaluation mode.
        images: normalised.
        targets: the class that each is explained for.

    Returns:
        The backbone's maps of features; E, from 0 to 1; and the predicted classes. Without gradient.

    Raises:
        ValueError: the method's backbone has no map of features.
    """
    backbone = mapped_backbone(method)
    with torch.no_grad():
        features = feature_map(backbone, images)
        said = method(images).argmax(1)

    def logits_of(maps: Tensor) -> Tensor:
        with _in_place_of_its_map(backbone, maps):
            logits: Tensor = method(images)
        return logits

    return features, grad_cam(features, logits_of, targets), said


def mapped_backbone(method: Method) -> nn.Module:
    """The network whose map is looked at: that of the prediction.

    Raises:
        ValueError: it has no map of features.
    """
    backbone = getattr(method, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"Grad-CAM reads the map of a method's backbone, and {type(method).__name__} has none")
    check_feature_map(backbone, "Grad-CAM")
    return backbone


def choose_pairs(
    targets: NDArray[np.int64], aligned: Members, partners: Members, count: int, *, seed: int = 0
) -> list[tuple[int, int]]:
    """Positions of aligned images and of partners of the same class, drawn at random: of each class in turn.

    Args:
        targets: `[s]` classes.
        aligned: `[s]` which samples may be the image.
        partners: `[s]` which may be the partner.
        count: at most so many pairs.
        seed: of the draws.
    """
    uniforms = keyed_uniforms(seed, 0, np.arange(len(targets)), Stream.PARTNER, 2)
    pairs: list[tuple[int, int]] = []
    for partner in _in_turn(targets, partners, uniforms[:, 0]):
        same = np.flatnonzero(aligned & (targets == targets[partner]))
        if len(pairs) == count:
            break
        if len(same):
            pairs.append((int(same[int(uniforms[partner, 1] * len(same))]), partner))
    return pairs


def choose_images(targets: NDArray[np.int64], members: Members, count: int, *, seed: int = 0) -> list[int]:
    """Positions of at most `count` of some samples, drawn at random: of each class in turn."""
    uniforms = keyed_uniforms(seed, 0, np.arange(len(targets)), Stream.ORDER, 1)[:, 0]
    return _in_turn(targets, members, uniforms)[:count]


def guided_pairs(model: Model, store: Store, chosen: Sequence[tuple[int, int]], *, tau: float) -> list[Pair]:
    """The guidance of pairs of training images, by the network as it is (equations 4 to 6).

    Args:
        model: a run with a map of features.
        store: its training images.
        chosen: positions of images and of their partners.
        tau: amplification factor.
    """
    first, second = (np.array(column, np.int64) for column in zip(*chosen, strict=True))
    pixels, normalised, targets = _read(model, store, first)
    others, partners, _ = _read(model, store, second)
    features, own, _ = explain(model.network, normalised, targets)
    matched, theirs, _ = explain(model.network, partners, targets)
    found = compare(features, matched, own, theirs, tau)
    maps = zip(*(_to_numpy(each) for each in found), strict=True)
    images = store.images
    return [
        Pair(
            (images.classes[images.targets[i]], bias_name(images, i), bias_name(images, j)),
            (images.paths[i], images.paths[j]),
            pixels[place],
            others[place],
            *each,
        )
        for place, ((i, j), each) in enumerate(zip(chosen, maps, strict=True))
    ]


def explain_runs(runs: Sequence[tuple[Model, ImageSet]], *, skip_bad: bool, say: Say) -> list[Explained]:
    """Grad-CAM of several runs, each of which sees the images as it was trained to, for the images' own classes.

    Args:
        runs: each with a map of features, and with the same few images under its own classes.
        skip_bad: leave unreadable images out and say which.
        say: is told.
    """
    stores = [open_images(images, model.image_size, skip_bad=skip_bad, say=say) for model, images in runs]
    known, every = stores[0].images, np.arange(len(stores[0]), dtype=np.int64)
    shown, columns = EvaluationData(stores[0], runs[0][0].image_size)[every]["images"].numpy(), []
    for (model, images), store in zip(runs, stores, strict=True):
        _, normalised, targets = _read(model, store, every)
        _, maps, said = explain(model.network, normalised, targets)
        columns.append((_to_numpy(maps), [images.classes[i] for i in said.tolist()]))
    return [
        Explained(
            (known.classes[known.targets[i]], bias_name(known, i)),
            known.paths[i],
            shown[i],
            tuple(maps[i] for maps, _ in columns),
            tuple(said[i] for _, said in columns),
        )
        for i in every.tolist()
    ]


def bias_name(images: ImageSet, index: int) -> str:
    """The name of an image's bias; empty where it is not known."""
    known = images.bias is not None and images.bias[index] >= 0
    return images.bias_names[images.bias[index]] if known and images.bias is not None else ""


@contextmanager
def _in_place_of_its_map(backbone: nn.Module, maps: Tensor) -> Iterator[None]:
    """A backbone that finds these maps in any images: what follows it then depends on them alone.

    What a method puts together behind its backbone is its own (DisEnt's two encoders), so it is run, not rebuilt.
    """

    def given(images: Tensor) -> Tensor:
        return maps

    backbone.__dict__["forward_features"] = given
    try:
        yield
    finally:
        del backbone.__dict__["forward_features"]


def _in_turn(targets: NDArray[np.int64], members: Members, uniforms: NDArray[np.float64]) -> list[int]:
    """Positions of members: the first of each class, then the second of each, by the order of their draws."""
    positions = np.flatnonzero(members)
    positions = positions[np.argsort(uniforms[positions], kind="stable")]
    labels = targets[positions]
    by_class = np.argsort(labels, kind="stable")
    turns = np.empty(len(labels), np.int64)
    turns[by_class] = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])
    return [int(i) for i in positions[np.lexsort((labels, turns))]]


def _read(
    model: Model, store: Store, indices: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], Float[Tensor, "b c h w"], Int[Tensor, " b"]]:
    """Central squares of some images: as pixels, as the network's input, and their classes."""
    batch = EvaluationData(store, model.image_size)[indices]
    device = find_device()
    return batch["images"].numpy(), model.normalisation(batch["images"].to(device)), batch["targets"].to(device)


def _to_numpy(maps: Tensor) -> Map:
    values: Map = maps.float().cpu().numpy()
    return values
