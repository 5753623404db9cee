"""What an audit found: the record that pages, comparisons and guards read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from longcut.data.decoding import write_whole

FILE = "audit.json"
FORMAT = 1
Kind = Literal["swapped", "removed", "alone", "measured"]
Unit = Literal["accuracy", "agreement", "share", "error"]


@dataclass(frozen=True)
class Effect:
    """One measure on one scale.

    Attributes:
        name: unique within an audit, snake_case; what a guard calls it, e.g. `bg_gap`.
        title: for people.
        suite: that it belongs to.
        kind: `swapped`, the score with a cue of the same class minus that with another class's; `removed`, the score
            lost without a cue; `alone`, the score above chance that a cue alone keeps; `measured`, a figure as it is.
        unit: of which score. `accuracy` where there are labels, `agreement` with the model's own prediction on the
            unchanged image where there are none.
        value: the effect, as a share; with its 95 % interval `low` to `high`.
        n: images that it rests on.
        before: the score that it is compared with; of `attention_excess` the foreground's share of the image; else None
            for `measured`.
        after: the score with the change.
        needs_masks: whether it rests on foreground masks.
        note: what a reader must know, in a sentence; else empty.
    """

    name: str
    title: str
    suite: str
    kind: Kind
    unit: Unit
    value: float
    low: float
    high: float
    n: int
    before: float | None = None
    after: float | None = None
    needs_masks: bool = False
    note: str = ""


@dataclass(frozen=True)
class Shortcut:
    """A cue and what is said of it.

    Attributes:
        cue: `background`, `border`, `colour`, `texture` or `file`.
        effect: its swap.
        named: whether the audit says that the model takes it.
        explained_by: the cue that was named and, once made alike in all images, leaves nothing of this one, or that
            this one is a part of.
        verdict: a sentence that says what it rests on.
    """

    cue: str
    effect: Effect
    named: bool
    explained_by: str | None
    verdict: str


@dataclass(frozen=True)
class Flip:
    """An image whose prediction a change turned, for the gallery.

    Attributes:
        suite: of the change.
        effect: name of the effect that it belongs to.
        path: of the image.
        target: its class, None without labels.
        prediction: on the unchanged image.
        confidence: of it.
        changed_prediction: on the variant.
        changed_confidence: of it.
        original: picture file of the unchanged image, relative to the audit's folder.
        variant: picture file of the variant.
        overlay: picture file of the unchanged image under its Grad-CAM; None where there is none.
    """

    suite: str
    effect: str
    path: str
    target: str | None
    prediction: str
    confidence: float
    changed_prediction: str
    changed_confidence: float
    original: str
    variant: str
    overlay: str | None = None


@dataclass(frozen=True)
class NotRun:
    """A suite that could not run, and why."""

    suite: str
    why: str


@dataclass(frozen=True)
class AuditResult:
    """Everything that an audit found.

    Attributes:
        title: names model and images.
        model: name, weights hash, starting weights, number of classes, image size, mean and std, step and selection.
        data: path, hash, number of images, classes, whether labelled, and why not.
        masks: `source` (`given`, `grabcut` or `none`), how many images have one, mean area, and further quality.
        summary: a short paragraph that says first what a person wants to know.
        warnings: what belongs at the top of the page: random weights, no labels, few images.
        shortcuts: those named, then those explained by them, then the rest; of each the largest first.
        effects: all of them, the shortcuts' too, in the order in which they are shown.
        per_class: a row for each class: `name`, `n`, `accuracy`, and the value of each swap by its effect's name.
        groups: a row for each group where the bias is labelled: `target`, `bias`, `n`, `accuracy`, `low`, `high`.
        flips: for the gallery.
        not_run: suites that could not run.
        settings: what was asked for.
        versions: of longcut, torch, Python, and the commit.
    """

    title: str
    model: dict[str, Any]
    data: dict[str, Any]
    masks: dict[str, Any]
    summary: str
    warnings: tuple[str, ...]
    shortcuts: tuple[Shortcut, ...]
    effects: tuple[Effect, ...]
    per_class: tuple[dict[str, Any], ...] = ()
    groups: tuple[dict[str, Any], ...] = ()
    flips: tuple[Flip, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> tuple[Shortcut, ...]:
        """The shortcuts that the model is said to take."""
        return tuple(shortcut for shortcut in self.shortcuts if shortcut.named)

    def effect(self, name: str) -> Effect | None:
        """An effect by its name; None where it was not measured."""
        return next((effect for effect in self.effects if effect.name == name), None)

    def save(self, folder: Path) -> Path:
        """Write `audit.json`, whole or not at all; its path."""
        write_whole(folder / FILE, json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode())
        return folder / FILE

    @classmethod
    def load(cls, folder: Path) -> AuditResult:
        """Read what `save` wrote.

        Raises:
            ValueError: the folder holds no audit, or one of another format.
        """
        try:
            values = json.loads((folder / FILE).read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"{folder} holds no audit: make one with 'longcut audit MODEL IMAGES --out {folder}'"
            ) from None
        except ValueError:
            raise ValueError(f"{folder / FILE} is damaged: run the audit again") from None
        try:
            if values.pop("format", None) != FORMAT:
                raise ValueError(f"{folder / FILE} is of another version of longcut: run the audit again")
            values["shortcuts"] = tuple(Shortcut(**{**s, "effect": Effect(**s["effect"])}) for s in values["shortcuts"])
            for name, kind in (("effects", Effect), ("flips", Flip), ("not_run", NotRun)):
                values[name] = tuple(kind(**entry) for entry in values[name])
            for name in ("warnings", "per_class", "groups"):
                values[name] = tuple(values[name])
            return cls(**values)
        except (AttributeError, KeyError, TypeError):
            raise ValueError(f"{folder / FILE} is damaged: run the audit again") from None
