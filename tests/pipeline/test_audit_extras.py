"""The suites of an audit beyond its core: networks of which the answer is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from longcut.corruptions import CORRUPTIONS, corrupt
from longcut.data.image_set import read_images
from longcut.data.loader import Normalisation
from longcut.evaluation.audit.result import Effect, NotRun
from longcut.evaluation.results import Subject
from longcut.recipes.audit.effects import Scored
from longcut.recipes.audit.extras import adversarial, corrupted
from longcut.recipes.audit.extras.adversarial import BACKGROUNDS, draw_backgrounds
from longcut.recipes.audit.extras.effects import extra_effects
from longcut.recipes.audit.extras.names import EXTRA, EXTRA_EFFECTS
from longcut.recipes.audit.extras.spread import spread
from longcut.recipes.audit.extras.texture_only import num_patches, texture_only
from longcut.recipes.audit.preparing import AuditOptions, prepare
from longcut.recipes.audit.scores import Changed, Logits, Pass, Scorer
from longcut.recipes.models import Model

CLASSES = ("a", "b", "c")
SIDE, COUNT = 32, 6
Look = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """Says what a function makes of images of 0 to 1, and counts them."""

    def __init__(self, look: Look, stop_at: int | None = None) -> None:
        super().__init__()
        self.look, self.stop_at, self.seen = look, stop_at, 0

    def encode(self, images: Tensor) -> Tensor:
        if self.stop_at is not None and self.seen >= self.stop_at:
            raise KeyboardInterrupt
        self.seen += len(images)
        return 20 * self.look(images)

    def classify(self, features: Tensor) -> Tensor:
        return features


def corner(images: Tensor) -> Tensor:
    """The channel of the background."""
    return images[:, :, :4, :4].mean(dim=(2, 3))


def centre(images: Tensor) -> Tensor:
    """The channel of the foreground."""
    return images[:, :, 14:18, 14:18].mean(dim=(2, 3))


def one_background(images: Tensor) -> Tensor:
    """Whether the background is that of the last class."""
    blue = (corner(images).argmax(dim=1) == 2).float()
    return torch.stack([1 - blue, blue, torch.zeros_like(blue)], dim=1)


def write(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def write_set(root: Path, *, coloured: bool = True, side: int = SIDE, classes: tuple[str, ...] = CLASSES) -> Path:
    """A square on a background; the channel that is brightest is the class's, and the square's too if `coloured`."""
    draw = np.random.default_rng(0)
    place, size = slice(side * 3 // 8, side * 5 // 8 + 1), side // 4 + 1
    for target, name in enumerate(classes):
        for number in range(COUNT):
            pixels = draw.integers(20, 60, (side, side, 3)) + 120 * (np.arange(3) == target)
            grey = np.repeat(draw.integers(20, 60, (size, size, 1)), 3, axis=2)
            pixels[place, place] = grey + coloured * 120 * (np.arange(3) == target)
            write(root / "images" / name / f"{number}.png", pixels)
            mask = np.zeros((side, side))
            mask[place, place] = 255
            write(root / "masks" / name / f"{number}.png", mask)
    return root


def measured(
    root: Path,
    network: Network,
    *suites: str,
    conflicts: Path | None = None,
    classes: tuple[str, ...] = CLASSES,
    size: int = SIDE,
    limit: int | None = None,
) -> dict[str, Effect | NotRun]:
    """What each suite gave, the parts being kept in `root / "parts"`."""
    about: dict[str, Any] = {"run": "r", "method": "m", "preset": "p", "seed": 0, "step": None, "selection": "last"}
    subject = Subject(**about, starting_weights="", weights_hash="")
    plain = Normalisation((0.5,) * 3, (0.25,) * 3)
    model = Model(network, classes, size, plain, subject, num_classes=3)
    network.mean, network.std = 0.5, 0.25
    options = AuditOptions(suites=suites, masks=root / "masks", cache=root / "cache", batch=4, limit=limit)
    prepared = prepare(model, read_images(root / "images"), options, lambda line: None)
    look = network.look
    network.look = lambda images: look(images * 0.25 + 0.5)
    logits = Logits(prepared.labelled.network, plain, prepared.reader.device)
    scorer = Scorer(logits, "p", prepared.images.paths, 4, root / "parts")
    targets = prepared.images.targets if prepared.labelled.labelled else None
    own = scorer.run("original", lambda i: Changed({"own": lambda: prepared.reader.images(i)}, {}), targets).scores
    reference = own["own"].predicted if targets is None else targets
    scored = Scored(own["own"], Pass({}, {}), reference, "agreement" if targets is None else "accuracy")
    network.seen = 0
    effects, not_run = extra_effects(prepared, scorer, scored, options, conflicts)
    return {each.suite: each for each in (*effects, *not_run)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


@pytest.mark.parametrize(("look", "value", "passes"), [(corner, 1.0, 2), (centre, 0.0, BACKGROUNDS)])
def test_adversarial_backgrounds_turn_who_looks_at_them(root: Path, look: Look, value: float, passes: int) -> None:
    network = Network(look)
    found = measured(root, network, "adversarial")["adversarial"]
    assert (found.value, found.n, found.kind, found.unit) == (value, 18, "measured", "share")
    assert found.low <= value <= found.high
    assert found.low < found.high
    assert network.seen == passes * 18  # who is turned is tried no further
    assert f"turns {100 * value:.1f} %" in found.note


def test_one_background_of_many_is_found(root: Path) -> None:
    """Half of the backgrounds of the first two classes turn them, and all of the last."""
    network = Network(one_background)
    found = measured(root, network, "adversarial")["adversarial"]
    assert found.value == 1
    first = float(found.note.split("turns ")[1].split(" %")[0])
    assert 33.3 < first < 100
    assert 2 * 18 < network.seen < 8 * 18


def test_backgrounds_are_those_of_predictions_where_there_are_no_labels(root: Path) -> None:
    for file in [*root.glob("images/*/*.png"), *root.glob("masks/*/*.png")]:
        file.rename(file.parent.parent / f"{file.parent.name}{file.name}")
    for name in CLASSES:
        (root / "images" / name).rmdir()
    found = measured(root, Network(corner), "adversarial", "corruptions")
    assert found["adversarial"].value == 1
    assert (found["corruptions"].unit, found["corruptions"].before) == ("agreement", 1.0)


def test_a_donor_without_a_mask_lends_nothing(root: Path) -> None:
    """Its object would come along: even who looks at nothing but objects would be turned."""
    for name in "bc":
        for file in root.glob(f"masks/{name}/*.png"):
            write(file, np.zeros((SIDE, SIDE)))
    found = measured(root, Network(corner), "adversarial", "textures")
    assert isinstance(found["adversarial"], NotRun)
    assert "masks are needed" in found["adversarial"].why
    assert found["textures"].n == 6


def test_only_some_images_are_tried(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "IMAGES", 5)
    monkeypatch.setattr(corrupted, "IMAGES", 4)
    found = measured(root, Network(corner), "adversarial", "corruptions")
    assert (found["adversarial"].n, found["corruptions"].n) == (5, 4)
    assert spread(18, 4).tolist() == [0, 5, 11, 17]
    assert spread(3, 5).tolist() == [0, 1, 2]


def test_backgrounds_come_from_all_others() -> None:
    groups = np.repeat(np.arange(4), [30, 20, 20, 1])
    lends = np.arange(71) % 10 != 0
    places, donors = draw_backgrounds(groups, lends, 7)
    assert places.tolist() == list(range(71))
    assert donors.shape == (71, BACKGROUNDS)
    assert (groups[donors] != groups[:, None]).all()
    assert lends[donors].all()
    assert all(len(np.unique(row)) == BACKGROUNDS for row in donors)
    assert (np.sort(donors, axis=1) != donors).any(axis=1).all()
    for own, expected in ((0, [0, 16, 16, 0]), (1, [27 / 45 * 32, 0, 18 / 45 * 32, 0])):
        for row in groups[donors[groups == own]]:  # group by group as many as there are to lend
            assert np.abs(np.bincount(row, minlength=4) - expected).max() <= 1
    assert 0.25 < (groups[donors[:30, 0]] == 1).mean() < 0.75  # and none of them first
    assert (donors != draw_backgrounds(groups, lends, 8)[1]).any()


def test_texture_alone_keeps_what_the_foreground_says(root: Path, tmp_path: Path) -> None:
    write(root / "masks" / "a" / "0.png", np.zeros((SIDE, SIDE)))
    found = measured(root, Network(corner), "textures")["textures"]
    chance = (5 * 5 + 6 * 6 + 6 * 6) / 17**2
    assert (found.kind, found.n, found.after) == ("alone", 17, 1.0)
    assert found.value == pytest.approx(1 - chance)
    grey = measured(write_set(tmp_path / "grey", coloured=False), Network(corner), "textures")["textures"]
    assert grey.value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (19, 27)])
def test_texture_is_patches_from_inside_the_mask(height: int, width: int) -> None:
    draw = np.random.default_rng(3)
    masks = np.ones((3, height, width))
    masks[0, 5:] = 0
    masks[1] = draw.uniform(size=(height, width)) > 0.2
    masks[2, :, 1:] = 0
    images = np.arange(3 * 3 * height * width, dtype=np.float64).reshape(3, 3, height, width)
    uniforms = draw.uniform(size=(3, num_patches(height, width)))
    arguments = [torch.from_numpy(array) for array in (images, masks[:, None], uniforms)]
    made, usable = (tensor.numpy() for tensor in texture_only(*arguments))
    assert usable.tolist() == [True, True, False]
    side, across = 2, -(-width // 2)
    for image, mask, own, result in zip(images[:2], masks[:2], uniforms[:2], made[:2], strict=True):
        corners = [
            (y, x)
            for y in range(height - side + 1)
            for x in range(width - side + 1)
            if mask[y : y + side, x : x + side].all()
        ]
        for y in range(height):
            for x in range(width):
                cell = y // side * across + x // side
                top, left = corners[int(own[cell] * len(corners))]
                assert (result[:, y, x] == image[:, top + y % side, left + x % side]).all()


def test_corruptions_cost_what_they_change(tmp_path: Path) -> None:
    """Images of one colour, that are known by being so: what changes none of them costs nothing."""
    flat = np.full((SIDE, SIDE, 3), 102)
    root = tmp_path / "flat"
    for number in range(COUNT):
        write(root / "images" / "a" / f"{number}.png", flat)
        write(root / "images" / "b" / f"{number}.png", np.random.default_rng(number).integers(0, 256, flat.shape))
    for name in "ab":
        write(root / "masks" / name / "0.png", np.zeros((SIDE, SIDE)))

    def is_flat(images: Tensor) -> Tensor:
        known = ((images - 0.4).abs().amax(dim=(1, 2, 3)) < 1e-3).float()
        return torch.stack([known, 1 - known, torch.zeros_like(known)], dim=1)

    found = measured(root, Network(is_flat), "corruptions")["corruptions"]
    image = torch.from_numpy(flat.astype(np.uint8)).permute(2, 0, 1)[None]
    changed = [bool((corrupt(image, name, 3) != image).any()) for name in CORRUPTIONS]
    assert 0 < sum(changed) < len(CORRUPTIONS)
    share = sum(changed) / len(CORRUPTIONS) / 2
    assert (found.kind, found.unit, found.n, found.before) == ("removed", "accuracy", 12, 1.0)
    assert found.value == pytest.approx(share)
    assert found.after == pytest.approx(1 - share)
    assert found.low < share < found.high
    assert "severity 3; the worst is gaussian noise, which costs 50.0 points" in found.note


def test_corruptions_have_the_severity_that_is_said(root: Path) -> None:
    level = corrupt(torch.full((1, 3, SIDE, SIDE), 40, dtype=torch.uint8), "brightness", 3)
    seen: list[float] = []

    def brightness(images: Tensor) -> Tensor:
        seen.append(float(images[0, 0, 2, 2]))
        return images.mean(dim=(2, 3))

    for file in root.glob("images/*/*.png"):
        write(file, np.full((SIDE, SIDE, 3), 40))
    measured(root, Network(brightness), "corruptions")
    rounds = len(seen) - 15 * 5  # before: the unchanged images, and what opens the model
    assert seen[rounds + CORRUPTIONS.index("brightness")] == pytest.approx(float(level[0, 0, 0, 0]) / 255, abs=1e-5)


def write_stimuli(folder: Path, names: tuple[str, ...] = CLASSES) -> Path:
    """The shape's channel is the background's, the texture's is the foreground's."""
    for shape, name in enumerate(names):
        for texture, other in enumerate(names):
            pixels = np.full((SIDE, SIDE, 3), 30) + 150 * (np.arange(3) == shape)
            pixels[12:20, 12:20] = 30 + 150 * (np.arange(3) == texture)
            write(folder / name / f"{name}1-{other}2.png", pixels)
    return folder


@pytest.mark.parametrize(("look", "value"), [(corner, 1.0), (centre, 0.0)])
def test_cue_conflict_tells_shape_from_texture(root: Path, tmp_path: Path, look: Look, value: float) -> None:
    found = measured(root, Network(look), "cue-conflict", conflicts=write_stimuli(tmp_path / "c"))["cue-conflict"]
    assert (found.name, found.value, found.n) == ("shape_bias", value, 6)
    assert found.low <= value <= found.high
    shares = f"{100 * value:.1f} % are decided for the shape, {100 * (1 - value):.1f} % for the texture"
    assert found.note == f"Of 6 conflicts {shares}, 0.0 % for neither. 3 stimuli are left out."


def test_cue_conflict_counts_decisions_for_neither(root: Path, tmp_path: Path) -> None:
    def often_red(images: Tensor) -> Tensor:
        return corner(images) + torch.tensor([1.0, 0.0, 0.0])

    found = measured(root, Network(often_red), "cue-conflict", conflicts=write_stimuli(tmp_path / "c"))["cue-conflict"]
    assert (found.value, found.n) == (0.5, 4)
    assert "33.3 % are decided for the shape, 33.3 % for the texture, 33.3 % for neither" in found.note


def test_cue_conflict_says_why_it_could_not_run(root: Path, tmp_path: Path) -> None:
    def why(conflicts: Path | None, look: Look = corner) -> str:
        found = measured(root, Network(look), "cue-conflict", conflicts=conflicts)["cue-conflict"]
        assert isinstance(found, NotRun)
        return found.why

    assert "no stimuli are given" in why(None)
    assert "no class in common" in why(write_stimuli(tmp_path / "other", ("x", "y")))
    same = write_stimuli(tmp_path / "same", ("a",))
    assert "no stimulus with a shape and a texture of two" in why(same)
    pair = write_stimuli(tmp_path / "pair", ("a", "b"))
    write_stimuli(tmp_path / "three")
    assert isinstance(measured(root, Network(corner), "cue-conflict", conflicts=pair)["cue-conflict"], Effect)


def test_stimuli_that_are_none_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gone"):
        measured(root, Network(corner), "cue-conflict", conflicts=tmp_path / "gone")
    write(tmp_path / "bad" / "a" / "nameless.png", np.zeros((SIDE, SIDE, 3)))
    with pytest.raises(ValueError, match=r"nameless\.png tells no texture"):
        measured(root, Network(corner), "cue-conflict", conflicts=tmp_path / "bad")


def test_what_cannot_run_says_why(tmp_path: Path) -> None:
    alone = write_set(tmp_path / "one", classes=("a",))
    assert "no image of another class" in measured(alone, Network(corner), "adversarial")["adversarial"].why
    small = write_set(tmp_path / "small", side=12)
    found = measured(small, Network(corner), *EXTRA, size=12)
    assert "images of 12 x 12 cannot be corrupted" in found["corruptions"].why
    assert found["adversarial"].value == 1
    bare = write_set(tmp_path / "bare")
    for file in bare.glob("masks/*/*.png"):
        write(file, np.zeros((SIDE, SIDE)))
    for suite in ("adversarial", "textures"):
        assert "masks are needed" in measured(bare, Network(corner), suite)[suite].why


def test_only_what_is_asked_for_runs(root: Path) -> None:
    network = Network(corner)
    assert measured(root, network, "background", "border") == {}
    assert network.seen == 0
    assert [about.suite for about in EXTRA_EFFECTS.values()] == list(EXTRA)


def test_it_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    conflicts = write_stimuli(tmp_path / "c")
    whole = Network(one_background)
    expected = measured(write_set(tmp_path / "whole"), whole, *EXTRA, conflicts=conflicts)
    total = whole.seen
    with pytest.raises(KeyboardInterrupt):
        measured(root, Network(one_background, stop_at=200), *EXTRA, conflicts=conflicts)
    rest = Network(one_background)
    assert measured(root, rest, *EXTRA, conflicts=conflicts) == expected
    assert 0 < rest.seen < total - 100
    again = Network(one_background)
    assert measured(root, again, *EXTRA, conflicts=conflicts) == expected
    assert again.seen == 0
