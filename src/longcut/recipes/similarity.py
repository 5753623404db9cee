"""How similar a query is to its positive, to other images and to images without meaning, by several runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longcut.data.batches import Parts, TrainingData
from longcut.data.cache import open_store
from longcut.data.image_set import ImageSet, splits_of
from longcut.data.loader import BatchLoader
from longcut.data.order import evaluation_keys
from longcut.data.store import Store
from longcut.engine.build import build_augmentation, build_patches
from longcut.engine.launch import find_device
from longcut.engine.run_folder import read_settings
from longcut.engine.settings import Settings
from longcut.evaluation.metrics import COSINES, Measure, measure
from longcut.evaluation.results import append_rows, row
from longcut.evaluation.similarity import draw_others, pair_similarities
from longcut.recipes.frozen import read_known
from longcut.recipes.inputs import Say, texture_images, training_recipe, with_textures
from longcut.recipes.models import Model, open_model
from longcut.recipes.reading import BATCH, options_for

KINDS = ("positive", "negative", "patch", "texture")
"""What a query is compared with, in the order of the figures."""


@dataclass(frozen=True)
class Similarities:
    """Cosines of the queries of one run."""

    run: str
    embedding: str
    """Where they were measured: after the projector, or the features where the method has none."""
    values: dict[str, NDArray[np.float32]]
    """For each of `KINDS` that was measured `[s]`; for standard negatives `[s, k]`."""
    rows: list[dict[str, Any]] = field(repr=False)
    """What was added to the run's results: the mean over queries."""


def similarity(
    runs: Sequence[str],
    data: Path,
    *,
    textures: Path | None = None,
    split: str | None = None,
    selection: str = "last",
    num_negatives: int = 16,
    limit_per_class: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> list[Similarities]:
    """Measure runs on the same pairs, each with its own augmentation, and keep the rows in its folder.

    Query and positive are two augmentations of an image, standard negatives the queries of other images, the patch
    negative is made of the query by the run's `[patches]`, the texture negative is the image's texture. All of them go
    through the trained network and its projector in evaluation mode; the papers' figures take positives and negatives
    from the momentum network.

    Args:
        runs: their folders.
        data: images, with classes or without.
        textures: tree of textures that mirrors the images'; images without one are left out.
        split: of the images; `train` where there is one and None is given, as in the papers.
        selection: which checkpoint.
        num_negatives: standard negatives of each query.
        limit_per_class: at most so many images of each class; of all, where there are no classes.
        seed: of every draw, so that runs with the same augmentation see the same pairs.
        skip_bad: leave unreadable images out and say which.
        say: is told what is going on.

    Raises:
        ValueError: a run, images or textures are missing, or there are no two images.

    Source:
        Ge et al., "Robust contrastive learning using negative samples with diminished semantics" (NeurIPS 2021),
        Figures 2, 3 and 13.
    """
    if num_negatives < 1:
        raise ValueError(f"each query has at least 1 standard negative, not {num_negatives}")
    found = []
    for name in dict.fromkeys(runs):
        model, folder = open_model(name, selection=selection)
        settings = read_settings(folder)
        images = _images(model, settings, data, split, textures, limit_per_class, say)
        pairs = _Pairs(model, settings, images, textures, seed, skip_bad, say)
        values = pairs.similarities(num_negatives)
        label = split or ("train" if "train" in splits_of(data, options=options_for(model, data)) else "all")
        about = {"data": str(data), "data_hash": pairs.digest}
        rows = [
            row(model.subject, f"similarity_{kind}", label, _mean(each), **about) | {"embedding": pairs.embedding}
            for kind, each in values.items()
        ]
        append_rows(folder / "results.jsonl", rows)
        found.append(Similarities(name, pairs.embedding, values, rows))
        say(f"{name}: {len(values['positive'])} queries, compared by their {pairs.embedding}")
    return found


def _mean(cosines: NDArray[np.float32]) -> Measure:
    """Mean over queries; each has one cosine or several."""
    return measure(cosines.reshape(len(cosines), -1).mean(1), bounds=COSINES)


def _images(
    model: Model, settings: Settings, data: Path, split: str | None, textures: Path | None, limit: int | None, say: Say
) -> ImageSet:
    split = split or ("train" if "train" in splits_of(data, options=options_for(model, data)) else None)
    images = read_known(model, data, split, labelled=settings.data.labels)
    if textures is not None:
        images = with_textures(images, textures, data, say)
    return images.limit_per_class(limit) if limit else images


class _Pairs:
    """Pairs of images as a run augments them, and their cosines."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        images: ImageSet,
        textures: Path | None,
        seed: int,
        skip_bad: bool,
        say: Say,
    ) -> None:
        self._model, self._settings, self._seed = model, settings, seed
        self._store = self._open(images, skip_bad, say)
        self._textures: Store | None = None
        self.digest = self._store.digest
        if textures is not None:
            self._textures = self._open(texture_images(self._store.images, textures), False, say)
            self.digest += f"+{self._textures.digest}"
        self.embedding, self._embed = _embedding(model.network)

    def similarities(self, num_negatives: int) -> dict[str, NDArray[np.float32]]:
        """Cosines of each kind."""
        others = draw_others(len(self._store), num_negatives, seed=self._seed)
        parts: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
        queries = []
        with torch.inference_mode():
            for batch in self._batches(Parts(views=1, non_semantic="patch")):
                assert batch.views is not None
                assert batch.non_semantic is not None
                query = self._embed(batch.images)
                queries.append(query)
                parts["positive"].append(pair_similarities(query, self._embed(batch.views[:, 0])))
                parts["patch"].append(pair_similarities(query, self._embed(batch.non_semantic[:, 0])))
            known = torch.cat(queries)
            for query, drawn in zip(queries, np.split(others, range(BATCH, len(others), BATCH)), strict=True):
                parts["negative"].append(pair_similarities(query, known[torch.from_numpy(drawn).to(known.device)]))
            if self._textures is not None:
                for query, batch in zip(queries, self._batches(Parts(non_semantic="texture")), strict=True):
                    assert batch.non_semantic is not None
                    parts["texture"].append(pair_similarities(query, self._embed(batch.non_semantic[:, 0])))
        return {kind: torch.cat(some).cpu().numpy() for kind, some in parts.items() if some}

    def _batches(self, parts: Parts) -> BatchLoader:
        """Every image once; the same query for the same image, whatever else is made of it."""
        data = TrainingData(
            self._store,
            build_augmentation(self._settings),
            seed=self._seed,
            parts=parts,
            patches=build_patches(self._settings),
            textures=self._textures if parts.non_semantic == "texture" else None,
        )
        keys = [(0, indices) for indices in evaluation_keys(len(self._store), BATCH)]
        return BatchLoader(data, keys, normalisation=self._model.normalisation, device=find_device())

    def _open(self, images: ImageSet, skip_bad: bool, say: Say) -> Store:
        """Records as training reads them, so that those of its own images are found decoded."""
        recipe = training_recipe(self._model.image_size, composites=False)
        return open_store(images, recipe, mode=self._settings.data.cache, skip_bad=skip_bad, say=say)


def _embedding(network: nn.Module) -> tuple[str, Callable[[Tensor], Tensor]]:
    """What embeddings are called, and how they come from images: after the projector where there is one."""
    encode: Callable[[Tensor], Tensor] = network.encode  # type: ignore[assignment]
    projector = getattr(network, "projector", None)
    if not isinstance(projector, nn.Module):
        return "features", encode
    return "projections", lambda images: projector(encode(images))
