"""What can be measured of a trained model, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from longcut.core import Method
from longcut.recipes.challenge import check_adversarial
from longcut.recipes.evaluating import evaluate, evaluate_all
from longcut.recipes.models import Model, kept_selections, open_model
from longcut.recipes.probe import probe
from longcut.recipes.similarity import similarity
from longcut.recipes.suite_options import SuiteOptions
from longcut.recipes.suites import run_suites

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """What models are measured on.

    Attributes:
        data: labelled images, with their splits.
        test: what accuracy is measured on: images or a Background Challenge.
        textures: tree of textures that mirrors the images'.
        stimuli: images of one class's shape and another's texture.
        limit: at most so many images for corruptions and cue conflict; all where None.
        adversarial: also find, on a challenge, the share of foregrounds that no background flips.
        skip_bad: leave unreadable images out and say which.
    """

    data: Path
    test: Path | None = None
    textures: Path | None = None
    stimuli: Path | None = None
    limit: int | None = None
    adversarial: bool = False
    skip_bad: bool = False

    def read_by(self, measure: str) -> dict[str, str | int | bool | None]:
        """What a measure reads of them, as plain data: to tell later whether it was made on the same."""
        given = {name: getattr(self, name) for name in _READS[measure]}
        return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}

    def check(self, measures: Sequence[str]) -> None:
        """Refuse what cannot be measured, before anything is trained or measured.

        Raises:
            ValueError: a measure is unknown or lacks what it reads, a path is not there, or `limit` is below 1.
        """
        unknown = [name for name in measures if name not in MEASURES]
        if unknown:
            raise ValueError(f"no measure is called {', '.join(unknown)}: there are {', '.join(MEASURES)}")
        for name, option in _NEEDED.items():
            if name in measures and getattr(self, option) is None:
                raise ValueError(f"the measure {name} needs --{option} DIR")
        for option in ("test", "textures", "stimuli"):
            path = getattr(self, option)
            if path is not None and not path.exists():
                raise ValueError(f"--{option} {path} does not exist")
        if self.adversarial and "accuracy" in measures:
            check_adversarial(self.test or self.data)
        self.suite_options()

    def suite_options(self) -> SuiteOptions:
        """Options of the suites.

        Raises:
            ValueError: `limit` is below 1.
        """
        return SuiteOptions(limit=self.limit, skip_bad=self.skip_bad)


def _accuracy(model: str, out: Path, sources: Sources, say: Say) -> None:
    opened, folder = open_model(model, out=out)
    evaluate(
        opened,
        sources.test or sources.data,
        folder,
        adversarial=sources.adversarial,
        skip_bad=sources.skip_bad,
        say=say,
    )


def _selections(model: str, out: Path, sources: Sources, say: Say) -> None:
    """Accuracy, and the measures by groups where the bias is labelled, of every checkpoint that the run kept."""
    opened = [open_model(model, selection=rule, out=out)[0] for rule in kept_selections(model)]
    evaluate_all(opened, sources.test or sources.data, out, skip_bad=sources.skip_bad, say=say)


def _probe(model: str, out: Path, sources: Sources, say: Say) -> None:
    opened, folder = open_model(model, out=out)
    probe(opened, sources.data, folder, skip_bad=sources.skip_bad, say=say)


def _corruptions(model: str, out: Path, sources: Sources, say: Say) -> None:
    opened, folder = _classifier(model, out)
    run_suites(opened, ["corruptions"], sources.data, folder, sources.suite_options(), say)


def _cue_conflict(model: str, out: Path, sources: Sources, say: Say) -> None:
    assert sources.stimuli is not None
    opened, folder = _classifier(model, out)
    run_suites(opened, ["cue-conflict"], sources.stimuli, folder, sources.suite_options(), say)


def _textures(model: str, out: Path, sources: Sources, say: Say) -> None:
    """Accuracy on the textures of the test images (Ge et al., NeurIPS 2021, Figures 7 and 9)."""
    assert sources.textures is not None
    opened, folder = _classifier(model, out)
    evaluate(opened, sources.textures, folder, name="textures", skip_bad=sources.skip_bad, say=say)


def _similarity(model: str, out: Path, sources: Sources, say: Say) -> None:
    similarity([model], sources.data, textures=sources.textures, skip_bad=sources.skip_bad, say=say)


def _classifier(model: str, out: Path) -> tuple[Model, Path]:
    """A model that learned from classes with its own head, an encoder with the linear probe that is fitted on it."""
    opened, folder = open_model(model, out=out)
    if isinstance(opened.network, Method) and not opened.network.supervised:
        return open_model(model, out=out, head="linear")
    return opened, folder


MEASURES: dict[str, Callable[[str, Path, Sources, Say], None]] = {
    "accuracy": _accuracy,
    "selections": _selections,
    "probe": _probe,
    "corruptions": _corruptions,
    "cue-conflict": _cue_conflict,
    "textures": _textures,
    "similarity": _similarity,
}
"""Names that a sweep's `--measure` takes, in the order in which they are made: a probe comes before what reads it."""
_READS = {
    "accuracy": ("data", "test", "adversarial"),
    "selections": ("data", "test"),
    "probe": ("data",),
    "corruptions": ("data", "limit"),
    "cue-conflict": ("stimuli", "limit"),
    "textures": ("textures",),
    "similarity": ("data", "textures"),
}
_NEEDED = {"cue-conflict": "stimuli", "textures": "textures"}
