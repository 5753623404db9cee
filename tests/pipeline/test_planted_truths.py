"""Audits of networks whose one cue is known: it is named and no other, with labels and without."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import CUES
from planted_audits import (
    SEEDS,
    Size,
    alarms,
    audit,
    audited_cases,
    audited_clean_sets,
    named,
    planted_case,
    planted_images,
    truth,
    without_labels,
)
from planted_nets import SmallNet, Together

from longcut.data.decoding import read_image, write_image
from longcut.data.image_set import ImageSet, read_images

Case = Callable[[str, int], tuple[SmallNet, ImageSet]]
SMALL = Size(training_images=240, steps=80, images=120)

pytestmark = pytest.mark.usefixtures("one_process")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A network and a set to audit it on, by cue and seed; each is made once."""
    return functools.cache(functools.partial(_made, tmp_path_factory.mktemp("planted")))


def _made(folder: Path, cue: str, seed: int) -> tuple[SmallNet, ImageSet]:
    return planted_case(folder, cue, seed, SMALL)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cue", CUES)
def test_the_planted_cue_is_named_and_no_other(case: Case, tmp_path: Path, cue: str, seed: int) -> None:
    result = audit(*case(cue, seed), tmp_path)
    assert named(result) == truth(cue), result.summary
    assert {effect.unit for effect in result.effects if effect.kind == "swapped"} == {"accuracy"}


@pytest.mark.parametrize("cue", CUES)
def test_it_is_named_without_labels_too(case: Case, tmp_path: Path, cue: str) -> None:
    network, images = case(cue, 0)
    result = audit(network, without_labels(images), tmp_path)
    assert named(result) == truth(cue), result.summary
    assert {effect.unit for effect in result.effects if effect.kind == "swapped"} == {"agreement"}


def test_an_effect_is_as_large_as_a_cue_goes_with_the_class(case: Case, tmp_path: Path) -> None:
    """Of a network that goes by the colour alone: 0.8 - 0.2 where four of five images have that of their class."""
    network, _ = case("colour", 0)
    result = audit(network, planted_images(tmp_path, "colour", 7, 400, strength=0.8), tmp_path / "out")
    assert named(result) == ["colour"]
    effect = result.effect("colour_gap")
    assert effect is not None
    assert effect.low < 0.6 < effect.high
    assert effect.high - effect.low < 0.3


def test_two_cues_are_both_named(case: Case, tmp_path: Path) -> None:
    network = Together(case("colour", 0)[0], case("border", 0)[0])
    images = _in_frames(case("colour", 0)[1], tmp_path / "framed")
    for number, each in enumerate((images, without_labels(images))):
        result = audit(network, each, tmp_path / f"out{number}")
        assert sorted(named(result)) == ["border", "colour"], result.summary


def _in_frames(images: ImageSet, root: Path) -> ImageSet:
    """The first class in dark frames, the second in bright ones."""
    assert images.masks is not None
    for path, mask, target in zip(images.paths, images.masks, images.targets, strict=True):
        pixels = read_image(images.root / path)
        framed = np.full_like(pixels, (31, 224)[target])
        framed[2:-2, 2:-2] = pixels[2:-2, 2:-2]
        write_image(root / "images" / path, framed)
        (root / "masks" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mask, root / "masks" / path)
    return read_images(root / "images").with_masks(root / "masks")


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_file_format_is_named_where_only_some_files_are_jpeg(case: Case, tmp_path: Path, share: float) -> None:
    """Files of high quality stand as PNG, with the same pixels: all of one class, or half of it."""
    network, images = case("file", 0)
    root = images.root.parent
    shutil.copytree(root, tmp_path / "mixed")
    files = sorted((tmp_path / "mixed" / "images" / "first").iterdir())
    for file in files[: round(share * len(files))]:
        Image.fromarray(read_image(file)).save(file.with_suffix(".png"))
        file.unlink()
    mixed = read_images(tmp_path / "mixed" / "images").with_masks(tmp_path / "mixed" / "masks")
    result = audit(network, mixed, tmp_path / "out")
    assert named(result) == ["file"], result.summary
    effect = result.effect("file_gap")
    assert effect is not None
    assert effect.value == pytest.approx(0.5, abs=0.05), "a file can be made worse, never better"


def test_what_a_network_looks_at_by_chance_is_not_named(case: Case, tmp_path: Path) -> None:
    """On a clean set nothing goes with the class; without labels the same network does go by the border."""
    network, _ = case("border", 0)
    images = planted_images(tmp_path, "none", 8, 200)
    assert named(audit(network, images, tmp_path / "labelled")) == []
    assert named(audit(network, without_labels(images), tmp_path / "unlabelled")) == ["border"]


def test_images_that_lend_to_each_other_say_less_together(case: Case, tmp_path: Path) -> None:
    """More of one class has dark frames here, by chance: the effect of 24 points says nothing."""
    images = planted_images(tmp_path, "none", 113, 100)
    assert alarms(case("border", 0)[0], images, tmp_path / "out") == (False, True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cue", CUES)
def test_over_twenty_seeds(cue: str) -> None:
    cases = list(audited_cases(cue, range(SEEDS), Size()))
    wrong = [
        named(result) for case in cases for result in (case.labelled, case.unlabelled) if named(result) != truth(cue)
    ]
    assert len(wrong) <= (6 if cue == "none" else 0), "three of twenty on the clean set, with labels and without"
    assert sum(case.accuracy for case in cases) / len(cases) > 0.97


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_false_alarms_are_rare_on_clean_sets() -> None:
    """At most 5 % of sets, and what 100 sets add by chance; more where images are taken for independent."""
    found = list(audited_clean_sets(100, 100))
    alarms = {about: sum(one[about][0] for one in found) for about in found[0]}
    assert max(alarms.values()) <= 10, alarms
    naive = sum(one[about][1] for one in found for about in one)
    assert naive > 2 * sum(alarms.values())
