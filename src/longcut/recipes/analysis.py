"""The analyses of Park et al. (CVPR 2024): what a run's state says of images whose bias is known afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut import __version__
from longcut.data.image_set import ImageSet
from longcut.data.store import Store
from longcut.evaluation.bias_negative_analysis import Members, Sides, sides
from longcut.evaluation.results import commit
from longcut.recipes.explanations import (
    Explained,
    Pair,
    choose_images,
    choose_pairs,
    explain_runs,
    guided_pairs,
    mapped_backbone,
)
from longcut.recipes.models import Model, open_model
from longcut.recipes.reading import Say, measured_split, options_for, read_for
from longcut.recipes.sample_states import State, find_states, trained_on
from longcut.recipes.state_numbers import Numbers, has_difficulty, has_scores, read_numbers

_MARKS = {"T1": "reference_step", "T2": "guidance_step"}
_NEED_SCORES = "bias-negative set, share of fallen losses and guidance of pairs"


@dataclass(frozen=True)
class Analysis:
    """What was found.

    Attributes:
        about: the run, its weights, its data and how many images are on each side.
        marks: steps at which the method changes what it does, by name.
        numbers: of its state.
        left_out: what does not apply, and why.
        pairs: the guidance of pairs of training images.
        runs: those that `explained` has maps of.
        explained: images of another split.
        split: which.
    """

    about: Mapping[str, Any]
    marks: Mapping[str, int]
    numbers: Numbers
    left_out: tuple[tuple[str, str], ...] = ()
    pairs: tuple[Pair, ...] = ()
    runs: tuple[str, ...] = ()
    explained: tuple[Explained, ...] = ()
    split: str = ""


def analyse(
    run: str,
    data: Path,
    *,
    beside: Sequence[str] = (),
    num_pairs: int = 6,
    num_images: int = 6,
    seed: int = 0,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> Analysis:
    """Read the state that a run kept of its samples beside the bias labels of its data.

    Args:
        run: folder of a run; without `run.sample_state_every` its last state alone is there, and curves are points.
        data: what it was trained on, with bias labels; its test split is where maps of several runs are shown.
        beside: runs to show beside it on the same images, one without guidance for example.
        num_pairs: pairs of training images whose guidance is shown; 0 for none.
        num_images: images that are explained; 0 for none.
        seed: of which images are shown.
        skip_bad: leave unreadable images out and say which.
        say: is told what is going on.

    Raises:
        ValueError: no state was kept, the data are not those trained on or have no bias labels, or a run is missing.

    Source:
        Park et al., "Enhancing intrinsic features for debiasing via investigating class-discerning common attributes
        in bias-contrastive pair" (CVPR 2024), sections 3.2, 4.3 and 4.4.
    """
    models = [_open(name) for name in dict.fromkeys([run, *beside])]
    model = models[0]
    folder = Path(model.subject.run)
    states = find_states(folder, model.network, model.subject.step or 0)
    store = trained_on(folder, model.network, data, skip_bad=skip_bad, say=say)
    assert store.images.bias is not None  # trained_on() has refused data without
    known = sides(store.images.targets, store.images.bias)
    numbers, last = read_numbers(states, known, store.images.targets), states.read(states.last)
    pairs, no_pairs = _pairs(model, store, last, known, num_pairs, seed)
    mapped, no_maps = _mapped(models if num_images else [])
    return Analysis(
        about=_about(model, store, known, data, states.last),
        marks={mark: getattr(model.network, name) for mark, name in _MARKS.items() if hasattr(model.network, name)},
        numbers=numbers,
        left_out=(*_not_kept(model, last), *no_pairs, *no_maps),
        pairs=tuple(pairs),
        **(_explained(mapped, data, num_images, seed, skip_bad, say) if mapped else {}),
    )


def _open(name: str) -> Model:
    if name.startswith("timm:"):
        raise ValueError(f"{name} was not trained here: analyse reads folders of runs")
    return open_model(name)[0]


def _not_kept(model: Model, state: State) -> list[tuple[str, str]]:
    """What a state does not allow, and why."""
    if has_scores(state):
        return []
    if has_difficulty(state):
        why = "has no bias-negative scores: it weighs every image by its relative difficulty, which is shown instead"
    else:
        why = f"keeps neither bias-negative scores nor two networks' losses: curves of {', '.join(state)} alone"
    return [(_NEED_SCORES, f"{model.subject.method} {why}")]


def _pairs(
    model: Model, store: Store, last: State, known: Sides, count: int, seed: int
) -> tuple[list[Pair], list[tuple[str, str]]]:
    """Pairs with their guidance, as many as there are; and why there is none."""
    if not has_scores(last) or not count:
        return [], []
    members = (last["candidate"] > 0) & (last["score"] > 0) & known.conflicting
    chosen = choose_pairs(store.images.targets, known.aligned, members, count, seed=seed)
    if not chosen:
        why = "the bias-negative set holds no conflicting image of a class that has aligned ones"
        return [], [("guidance of pairs", why)]
    return guided_pairs(model, store, chosen, tau=float(getattr(model.network, "tau", 1.0))), []


def _mapped(models: Sequence[Model]) -> tuple[list[Model], list[tuple[str, str]]]:
    """The models with a map of features; and why others have none."""
    mapped, why = [], []
    for model in models:
        try:
            mapped_backbone(model.network)
        except ValueError as error:
            why.append((f"maps of {model.subject.run}", str(error)))
        else:
            mapped.append(model)
    return mapped, why


def _explained(models: Sequence[Model], data: Path, count: int, seed: int, skip_bad: bool, say: Say) -> dict[str, Any]:
    """Maps of all runs on the same images of the split that is measured."""
    split = measured_split(data, options_for(models[0], data))
    sets = [read_for(model, data, split or None)[1] for model in models]  # each refuses classes that are not its own
    chosen = _some(sets[0], count, seed)
    runs = [(model, images.select(chosen)) for model, images in zip(models, sets, strict=True)]
    shown = explain_runs(runs, skip_bad=skip_bad, say=say)
    return {"runs": tuple(model.subject.run for model in models), "split": split, "explained": tuple(shown)}


def _some(images: ImageSet, count: int, seed: int) -> NDArray[np.int64]:
    """Positions of a few images: conflicting ones, where there are any."""
    members: Members = np.ones(len(images), bool)
    if images.bias is not None and images.bias_is_paired:
        conflicting = sides(images.targets, images.bias).conflicting
        members = conflicting if conflicting.any() else members
    return np.array(choose_images(images.targets, members, count, seed=seed), np.int64)


def _about(model: Model, store: Store, known: Sides, data: Path, step: int) -> dict[str, Any]:
    aligned, conflicting = int(known.aligned.sum()), int(known.conflicting.sum())
    return {
        **asdict(model.subject),
        "state_step": step,
        "data": str(data),
        "data_hash": store.digest,
        "images": len(store),
        "aligned": aligned,
        "conflicting": conflicting,
        "unknown": len(store) - aligned - conflicting,
        "commit": commit(),
        "version": __version__,
    }
