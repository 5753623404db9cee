"""The demo's images, and what the demo shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from longcut.data.builders.digits import build_digits, load_photographs
from longcut.data.decoding import read_image, read_mask
from longcut.data.image_set import read_images
from longcut.recipes import demo


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    build_digits(folder, seed=3)
    return folder


def test_every_digit_is_in_one_split_with_a_mask_of_its_size(digits: Path) -> None:
    splits = [read_images(digits / "images", name, masks=digits / "masks") for name in ("train", "test")]
    names = [{Path(path).stem for path in images.paths} for images in splits]
    assert len(names[0] | names[1]) == 1797
    assert not names[0] & names[1]
    for images in splits:
        assert images.usable_masks().all()
        assert images.classes == tuple("0123456789")
    assert len(splits[1]) / 1797 == pytest.approx(0.3, abs=0.03)


def test_the_mask_is_the_digit(digits: Path) -> None:
    """Where it is full the image has the digit's one colour, which no photograph has."""
    images = read_images(digits / "images", "test", masks=digits / "masks").select(np.arange(0, 400, 40))
    assert images.masks is not None
    for path, mask in zip(images.paths, images.masks, strict=True):
        pixels, full = read_image(images.root / path), read_mask(mask) == 255
        assert len(np.unique(pixels[full], axis=0)) == 1
        assert 0.02 < full.mean() < 0.5


def test_the_background_tells_the_class_as_often_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a photograph of one colour for each class, the background can be read off a corner."""
    flat = [np.full((200, 300, 3), 20 * c, np.uint8) for c in range(len(load_photographs()))]
    monkeypatch.setattr("longcut.data.builders.digits.load_photographs", lambda: flat)
    build_digits(tmp_path, seed=0, correlation=0.7)
    images = read_images(tmp_path / "images", masks=tmp_path / "masks")
    assert images.masks is not None
    own = []
    for path, mask, target in zip(images.paths, images.masks, images.targets, strict=True):
        background = read_image(images.root / path)[read_mask(mask) == 0]
        own.append(background[0, 0] == 20 * target)
    assert np.mean(own) == pytest.approx(0.7, abs=0.03)


def test_the_same_seed_gives_the_same_bytes(digits: Path, tmp_path: Path) -> None:
    build_digits(tmp_path, seed=3)
    for part in ("images", "masks"):
        files = sorted((digits / part).rglob("*.png"))[::97]
        assert files
        assert all((tmp_path / file.relative_to(digits)).read_bytes() == file.read_bytes() for file in files)


def test_an_impossible_correlation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"correlation is a probability, not 1\.5"):
        build_digits(tmp_path, seed=0, correlation=1.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_clad_plus_leans_less_on_backgrounds(tmp_path: Path) -> None:
    runs = demo.run_demo(tmp_path, seed=0)
    assert runs is not None
    erm, _, clad_plus = (measured(run) for run in runs)
    assert clad_plus["bg_gap", "mixed_same-mixed_rand"] < 0.5 * erm["bg_gap", "mixed_same-mixed_rand"]
    assert clad_plus["accuracy", "mixed_rand"] > erm["accuracy", "mixed_rand"] + 0.1
    assert clad_plus["accuracy", "original"] > erm["accuracy", "original"] - 0.05


def measured(run: Path) -> dict[tuple[str, str], float]:
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    return {(row["metric"], row["dataset"]): row["value"] for row in rows if row["class"] is None}
