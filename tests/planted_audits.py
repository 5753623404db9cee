"""What an audit says of small networks that each use one cue of a planted set.

`python tests/planted_audits.py` prints the tables of `docs/protocols/audit.md`, in about an hour on one core.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from planted import CLASSES, CUES, SIDE, planted_set
from planted_nets import PLAIN, SmallNet, Together, accuracy_of, train_net, untrained_net
from torch import nn

from longcut.data.image_set import ImageSet, read_images
from longcut.evaluation.audit.kept_scores import KeptScores
from longcut.evaluation.audit.result import AuditResult
from longcut.evaluation.audit.step_down import StepDown
from longcut.evaluation.results import Subject, weights_hash
from longcut.recipes.audit.changes import SWAPPED
from longcut.recipes.audit.run import AuditOptions, run_audit
from longcut.recipes.models import Model

SEEDS, CLEAN_SETS = 20, 200
_TRAINING, _CLEAN = 1_000, 10_000
"""The first seeds of training sets and of clean sets: none is a test set's."""


@dataclass(frozen=True)
class Size:
    """How much work a network and its audit are."""

    training_images: int = 600
    steps: int = 200
    images: int = 400


@dataclass(frozen=True)
class Audited:
    """A network on a planted set, audited with labels and without."""

    accuracy: float
    labelled: AuditResult
    unlabelled: AuditResult


def planted_images(folder: Path, cue: str, seed: int, num_images: int, *, strength: float = 1.0) -> ImageSet:
    """A planted set with its masks, in a folder of its own."""
    made = planted_set(folder / f"{cue}_{seed}", cue, seed=seed, num_images=num_images, strength=strength)
    return read_images(made / "images").with_masks(made / "masks")


def planted_case(folder: Path, cue: str, seed: int, size: Size) -> tuple[SmallNet, ImageSet]:
    """A network that has learned a planted set, and another set to audit it on."""
    training = planted_images(folder, cue, _TRAINING + seed, size.training_images)
    return train_net(training, seed, size.steps), planted_images(folder, cue, seed, size.images)


def without_labels(images: ImageSet) -> ImageSet:
    """The same images without classes."""
    return replace(images, classes=(), targets=np.full(len(images), -1))


def audit(network: nn.Module, images: ImageSet, out: Path, *, seed: int = 0) -> AuditResult:
    """The swaps of all cues, and what is named."""
    subject = Subject("planted", "none", "small net", seed, None, "last", "none", weights_hash(network))
    model = Model(network, CLASSES, SIDE, PLAIN, subject, num_classes=len(CLASSES))
    return run_audit(model, images, out, AuditOptions(suites=tuple(SWAPPED), cache=out / "cache", gallery=0, seed=seed))


def named(result: AuditResult) -> list[str]:
    """The cues that an audit names."""
    return [shortcut.cue for shortcut in result.named]


def truth(cue: str) -> list[str]:
    """The cues that are to be named on a planted set."""
    return [] if cue == "none" else [cue]


def audited_cases(cue: str, seeds: Iterable[int], size: Size) -> Iterator[Audited]:
    """A network and its audits for each seed."""
    for seed in seeds:
        with TemporaryDirectory() as name:
            network, images = planted_case(Path(name), cue, seed, size)
            results = (audit(network, each, Path(name, "out")) for each in (images, without_labels(images)))
            yield Audited(accuracy_of(network, images), *results)


def audited_clean_sets(num_sets: int, num_images: int) -> Iterator[dict[str, tuple[bool, bool]]]:
    """False alarms, set by set: on a clean set no cue goes with the class, whatever a network looks at.

    Yields:
        For each network whether anything is named, and whether it would be if images said as much together as apart.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        looking = {cue: train_net(planted_images(folder, cue, _CLEAN, 600), 0, 200) for cue in CUES if cue != "file"}
        pair = Together(looking["border"], looking["colour"])
        for seed in range(num_sets):
            images = planted_images(folder / "set", "none", _CLEAN + 1 + seed, num_images)
            networks = {**looking, "border and colour": pair, "untrained": untrained_net(images, seed)}
            yield {about: alarms(network, images, folder / "out", seed) for about, network in networks.items()}
            shutil.rmtree(folder / "set")


def alarms(network: nn.Module, images: ImageSet, out: Path, seed: int = 0) -> tuple[bool, bool]:
    """Whether an audit names anything, and whether it would if images said as much together as apart."""
    result = audit(network, images, out, seed=seed)
    kept = KeptScores.load(out)
    recipes = {cue: kept.recipe(about.name) for cue, about in SWAPPED.items()}
    differences = {cue: kept.differences(recipe) for cue, recipe in recipes.items() if recipe is not None}
    return bool(result.named), bool(StepDown.begin(differences).named)


def _print_planted(num_seeds: int) -> None:
    print("| planted | recognised | named, and no other | likewise without labels | its effect | others named |")
    print("|---|---|---|---|---|---|")
    for cue in CUES:
        cases = list(audited_cases(cue, range(num_seeds), Size()))
        right = [sum(named(getattr(case, kind)) == truth(cue) for case in cases) for kind in ("labelled", "unlabelled")]
        effects = [s.effect.value for case in cases for s in case.labelled.shortcuts if s.cue == cue] or [0.0]
        others = sum(bool(set(named(r)) - {cue}) for case in cases for r in (case.labelled, case.unlabelled))
        recognised = 100 * np.mean([case.accuracy for case in cases])
        span = f"{100 * min(effects):.1f} to {100 * max(effects):.1f}" if cue != "none" else ""
        counts = " | ".join(f"{count} of {num_seeds}" for count in right)
        print(f"| {cue} | {recognised:.1f} % | {counts} | {span} | {others} of {2 * num_seeds} |", flush=True)


def _print_clean(num_sets: int, num_images: int) -> None:
    found = list(audited_clean_sets(num_sets, num_images))
    print(f"| {num_images} images; the network goes by | false alarms | without the design effect |")
    print("|---|---|---|")
    for about in found[0]:
        shares = (100 * np.mean([alarms[about][which] for alarms in found]) for which in (0, 1))
        print(f"| {'shape' if about == 'none' else about} |", " | ".join(f"{share:.1f} %" for share in shares), "|")


def main() -> None:
    """Print each table as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="planted sets and networks of each cue")
    parser.add_argument("--sets", type=int, default=CLEAN_SETS, help="clean sets of each size")
    options = parser.parse_args()
    _print_planted(options.seeds)
    for num_images in (100, 400):
        print()
        _print_clean(options.sets, num_images)


if __name__ == "__main__":
    main()
