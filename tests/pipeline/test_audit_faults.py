"""`longcut audit` on what is wrong, odd or cut short: one line or a plain word on the page, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import audit_networks
import numpy as np
import pytest
from command_line import Longcut, Refused
from folders import full_disk
from made_images import CLASSES, write_images, write_masks
from PIL import Image

from longcut.evaluation.audit.result import AuditResult
from longcut.recipes.audit.folder import held

pytestmark = pytest.mark.usefixtures("one_process")
COMMAND = "from longcut.cli import main; main()"
PLAIN = ("--image-size", 32, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
COLOUR = "audit_networks:mean_colour"
HOSTILE = "<img src=x onerror=alert(1)>"
Audit = Callable[..., AuditResult]


@pytest.fixture
def audit(longcut: Longcut, tmp_path: Path) -> Audit:
    """An audit that ends well."""

    def run(model: str, images: Path, *words: object) -> AuditResult:
        told = longcut("audit", model, images, "--out", tmp_path / "audit", *PLAIN, *words)
        assert told.code == 0, told.err
        assert "Traceback" not in told.err
        return AuditResult.load(tmp_path / "audit")

    return run


@pytest.fixture
def wrong(refused: Refused, tmp_path: Path) -> Refused:
    """The line that an audit is refused with, of which nothing is left."""

    def run(model: str, images: Path, *words: object) -> str:
        line = refused("audit", model, images, "--out", tmp_path / "audit", *PLAIN, *words)
        assert not (tmp_path / "audit").exists()
        return line

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos", count=4)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks", count=4)


def left_out(found: AuditResult) -> dict[str, str]:
    return {left.suite: left.why for left in found.not_run}


# Images.


def test_there_is_nothing_to_audit(tmp_path: Path, wrong: Refused) -> None:
    assert f"{tmp_path / 'nowhere'} does not exist" in wrong(COLOUR, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'} holds no images" in wrong(COLOUR, tmp_path / "empty")
    photos = write_images(tmp_path / "photos", classes=["bird", "cat"], count=1)
    (photos / "dog").mkdir()
    assert f"class folder {photos / 'dog'} holds no images: remove it or fill it" in wrong(COLOUR, photos)
    one = write_images(tmp_path / "one", classes=["bird"], count=1)
    assert f"{one} has 1 image: an audit needs at least 2" in wrong(COLOUR, one)
    write_images(tmp_path / "split" / "test", count=1)
    assert f"{tmp_path / 'split'} has no split 'val': it has test" in wrong(
        COLOUR, tmp_path / "split", "--split", "val"
    )


@pytest.mark.parametrize("classes", [["bird", "cat"], ["bird"]], ids=["two classes", "one class"])
def test_two_images_in_all(classes: list[str], audit: Audit, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", classes=classes, count=2 // len(classes))
    write_masks(tmp_path / "masks", classes=classes, count=2 // len(classes))
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    found = audit(COLOUR, photos, "--masks", tmp_path / "masks", "--class-names", tmp_path / "names.txt")
    assert found.shortcuts == (), "an image needs a donor of its own class and of another"
    assert found.summary.startswith("No cue could be tested")
    assert "2 images are few: intervals are wide, and small shortcuts are not seen." in found.warnings
    accuracy = found.effect("accuracy")
    assert accuracy is not None
    assert (accuracy.value, accuracy.n) == (1, 2)
    assert "a donor of its own class" in left_out(found)["border"] or len(classes) == 1
    json.loads((tmp_path / "audit" / "audit.json").read_text(), parse_constant=pytest.fail)


def test_one_class_has_no_other_to_borrow_from(audit: Audit, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", classes=["bird"], count=5)
    masks = write_masks(tmp_path / "masks", classes=["bird"], count=5)
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    words = ["--class-names", tmp_path / "names.txt", "--masks", masks, "--suite", "border,patches"]
    found = audit(COLOUR, photos, *words)
    assert left_out(found)["border"] == "all images are of one class, so none can lend the border of another"
    assert {effect.suite for effect in found.effects} == {"figures", "patches"}


def test_another_number_of_classes(audit: Audit, photos: Path, masks: Path, tmp_path: Path) -> None:
    found = audit("audit_networks:five_classes", photos, "--masks", masks)
    said = "No labels: the model has 5 classes without names, the images 3."
    assert any(line.startswith(said) for line in found.warnings)
    assert said in (tmp_path / "audit" / "audit.html").read_text("utf-8")
    assert not found.data["labelled"]


def test_a_flat_folder_has_no_labels(audit: Audit, tmp_path: Path) -> None:
    flat = write_images(tmp_path / "flat", classes=["."], count=5)
    found = audit(COLOUR, flat, "--suite", "patches")
    assert any(line.startswith("No labels: the images have no class folders.") for line in found.warnings)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no image"], ids=["empty", "noise"])
def test_a_corrupt_image(
    content: bytes, photos: Path, masks: Path, audit: Audit, wrong: Refused, tmp_path: Path
) -> None:
    bad = photos / "cat" / "1.png"
    bad.write_bytes(content)
    for words in (["--masks", masks], ["--suite", "patches"]):
        line = wrong(COLOUR, photos, *words)
        assert f"cannot decode {bad}" in line
        assert "leave out all such files with --skip-bad" in line
        found = audit(COLOUR, photos, *words, "--skip-bad")
        assert found.data["n"] == 11
        shutil.rmtree(tmp_path / "audit")
    for file in sorted(photos.rglob("*.png"))[1:]:
        file.write_bytes(content)
    assert f"{photos} has 1 image that can be read: an audit needs at least 2" in wrong(
        COLOUR, photos, "--suite", "patches", "--skip-bad"
    )


def test_a_corrupt_image_gets_no_mask(audit: Audit, wrong: Refused, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", count=1)
    (photos / "cat" / "0.png").write_bytes(b"none")
    assert f"cannot decode {photos / 'cat' / '0.png'}" in wrong(COLOUR, photos)
    assert audit(COLOUR, photos, "--skip-bad").data["n"] == 2


def test_images_of_every_kind(tmp_path: Path, audit: Audit) -> None:
    """Grey, transparent, of 16 bits, a line, and all smaller than what the model sees."""
    shapes = {"grey": (20, 30), "clear": (9, 9, 4), "deep": (40, 20), "thin": (1, 50, 3)}
    for place, name in enumerate(CLASSES):
        for kind, shape in shapes.items():
            top = 65535 if kind == "deep" else 255
            pixels = np.random.default_rng(place).integers(0, top, shape).astype(np.uint16 if top > 255 else np.uint8)
            mask = np.zeros(shape[:2], np.uint8)
            mask[shape[0] // 3 : 2 * shape[0] // 3, shape[1] // 3 : 2 * shape[1] // 3] = 255
            for folder, array in (("photos", pixels), ("masks", mask)):
                file = tmp_path / folder / name / f"{kind}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(file)
    found = audit(COLOUR, tmp_path / "photos", "--masks", tmp_path / "masks", "--image-size", 48)
    assert found.data["n"] == 12
    assert {"accuracy", "bg_gap", "border_gap", "shape_removed_8"} <= {effect.name for effect in found.effects}


def test_names_that_mean_mischief(audit: Audit, tmp_path: Path, longcut: Longcut) -> None:
    classes = [f"{name} {HOSTILE}" for name in CLASSES]
    photos = write_images(tmp_path / "photos", classes=classes, count=3)
    for file in sorted(photos.rglob("*.png")):
        file.rename(file.with_name(f"{HOSTILE} & {file.name}"))
    write_masks(tmp_path / "masks", classes=classes, count=3)
    for file in sorted((tmp_path / "masks").rglob("*.png")):
        file.rename(file.with_name(f"{HOSTILE} & {file.name}"))
    found = audit(COLOUR, photos, "--masks", tmp_path / "masks")
    assert found.flips
    assert found.data["classes"] == classes
    text = (tmp_path / "audit" / "audit.html").read_text("utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    told = longcut("audit", COLOUR, photos, "--out", tmp_path / "two", *PLAIN, "--suite", "patches", "--limit", 2)
    assert told.code == 0


# Masks.


def test_masks_that_do_not_fit(photos: Path, masks: Path, wrong: Refused, audit: Audit, tmp_path: Path) -> None:
    assert f"{tmp_path / 'none'} is no folder of masks" in wrong(COLOUR, photos, "--masks", tmp_path / "none")
    (tmp_path / "none").mkdir()
    assert f"{tmp_path / 'none'} holds no mask of the images" in wrong(COLOUR, photos, "--masks", tmp_path / "none")
    other = write_masks(tmp_path / "other", classes=["cat"], count=1, size=20) / "cat" / "0.png"
    mask = masks / "cat" / "0.png"
    shutil.copy(other, mask)
    assert f"mask {mask} is 20x20, its image 36x36" in wrong(COLOUR, photos, "--masks", masks)
    assert audit(COLOUR, photos, "--masks", masks, "--skip-bad").data["n"] == 11
    shutil.rmtree(tmp_path / "audit")
    mask.write_bytes(b"no mask")
    assert f"cannot decode {mask}" in wrong(COLOUR, photos, "--masks", masks)


def test_masks_of_nothing_and_of_everything(photos: Path, masks: Path, audit: Audit) -> None:
    for value, name in ((0, "bird"), (255, "cat"), (255, "dog")):
        for file in sorted((masks / name).iterdir()):
            Image.fromarray(np.full((36, 36), value, np.uint8)).save(file)
    found = audit(COLOUR, photos, "--masks", masks)
    assert found.effect("accuracy") is not None
    assert found.effect("bg_gap") is None
    assert {effect.suite for effect in found.effects} >= {"patches", "frequency", "colour"}


# Models.


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("nowhere:at_all", "there is no module 'nowhere'"),
        ("audit_networks:mean_color", "the nearest names are mean_colour"),
        ("audit_networks:maps", "it gives the shape [4, 3, 32, 32] for 4 images; [4, classes] is needed"),
        ("audit_networks:numbers", "it gives int64, numbers of classes for one"),
        ("audit_networks:fails", "it fails on images [4, 3, 32, 32] (RuntimeError: no such layer)"),
        ("run:nowhere", "nowhere"),
        ("onnx:nowhere.onnx", "nowhere.onnx"),
        ("clip:large", "clip:large: there is no module 'clip'"),
    ],
)
def test_no_model(model: str, expected: str, photos: Path, masks: Path, wrong: Refused) -> None:
    assert expected in wrong(model, photos, "--masks", masks)


def test_probabilities_are_told_from_logits(photos: Path, masks: Path, audit: Audit) -> None:
    found = audit("audit_networks:probabilities", photos, "--masks", masks)
    assert any(line.startswith("The model gives probabilities") for line in found.warnings)
    accuracy = found.effect("accuracy")
    assert accuracy is not None
    assert accuracy.value == 1


def test_a_model_that_changes_its_mind(photos: Path, masks: Path, refused: Refused, tmp_path: Path) -> None:
    words = [photos, "--masks", masks, *PLAIN, "--out", tmp_path / "audit"]
    line = refused("audit", "audit_networks:other_shape_later", *words)
    assert "the model gave the shape [12, 2] for 12 images, and [images, 3] was expected" in line
    line = refused("audit", "audit_networks:fails_later", *words)
    assert line.endswith("audit_networks:fails_later fails on images [12, 3, 32, 32] (RuntimeError: no such layer)")
    line = refused("audit", "audit_networks:no_numbers_later", *words)
    assert "no_numbers_later gives answers that are not finite (NaN or infinite) for 6 of 12 images (original)" in line


def test_a_model_that_says_one_class_of_everything(tmp_path: Path, audit: Audit) -> None:
    flat = write_images(tmp_path / "flat", classes=["."], count=5)
    masks = write_masks(tmp_path / "masks", classes=["."], count=5)
    found = audit("audit_networks:one_class", flat, "--suite", "border,patches", "--masks", masks)
    assert found.summary.startswith("No cue could be tested")
    assert "The model says 'class 1' of every image: what it looks at cannot be told." in found.warnings
    assert left_out(found)["border"] == "all images are taken for one class, so none can lend the border of another"


def test_an_image_size_that_is_too_small(photos: Path, masks: Path, refused: Refused, tmp_path: Path) -> None:
    words = ["audit", COLOUR, photos, "--masks", masks, "--out", tmp_path / "audit", "--image-size"]
    assert "images of 4 x 4 have no grid of 8 x 8 patches: take larger images" in refused(*words, 4)
    assert "--image-size 0" in refused(*words, 0)
    assert "--mean 0.5: three numbers are needed, with commas between them" in refused(*words, 32, "--mean", "0.5")
    assert "standard deviations are positive, not (0.0, 1.0, 1.0)" in refused(*words, 32, "--std", "0,1,1")


# Words.


def test_wrong_words(photos: Path, masks: Path, wrong: Refused, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("folder,model_class\nbird,robin\n")
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    named = ["--class-names", tmp_path / "names.txt"]
    for words, expected in (
        (["--suite", "backgrund"], "no suite is called 'backgrund': did you mean 'background'?"),
        (["--format", "pdf"], "--format pdf: it is one of text, markdown, csv, json, html"),
        (["--fail-on", "bg_gap"], "'bg_gap' is no condition"),
        (["--limit", 1], "--limit 1"),
        (["--arch", "resnet18"], "--arch goes with FILE.safetensors"),
        (["--mapping", tmp_path / "map.csv"], "there is nothing to map: the model names no classes"),
        ([*named, "--mapping", tmp_path / "map.csv"], "which is no class of the model"),
        (["--mapping", tmp_path / "nowhere.csv"], "nowhere.csv does not exist"),
        (["--head", "linear"], "--head goes with run:DIR, not with audit_networks:mean_colour"),
        (["--head", "knn"], "'knn' is not one of 'own', 'linear', 'dfr'"),
        (["--split", "val"], f"{photos} has no split 'val': it has no splits"),
        (["--bias-column", "place"], "class folders, which have no bias to choose"),
    ):
        assert expected in wrong(COLOUR, photos, "--masks", masks, *words)


def test_folders_that_are_none_or_of_something_else(
    photos: Path, masks: Path, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    words = ["audit", COLOUR, photos, "--masks", masks, *PLAIN, "--out"]
    for out in (tmp_path / "thesis.txt", tmp_path / "thesis.txt" / "audit"):
        assert f"{tmp_path / 'thesis.txt'} is a file: --out names a folder" in refused(*words, out)
    before = sorted(photos.rglob("*"))
    assert f"{photos} exists and is no audit: choose another --out" in refused(*words, photos)
    assert sorted(photos.rglob("*")) == before
    (tmp_path / "busy").mkdir()
    with held(tmp_path / "busy"):
        assert f"another process audits into {tmp_path / 'busy'}" in refused(*words, tmp_path / "busy")


# Cut short.


def test_a_full_disk_loses_nothing(
    photos: Path, masks: Path, longcut: Longcut, refused: Refused, tmp_path: Path
) -> None:
    words = ["audit", "audit_networks:counted", photos, "--masks", masks, *PLAIN, "--out", tmp_path / "audit"]
    assert longcut(*words, "--out", tmp_path / "whole").code == 0
    size = (tmp_path / "whole" / "scores.npz").stat().st_size
    for limit, left in (
        (1500, ["parts"]),
        (size - 1, ["parts", "pictures"]),
        (size + 9, ["parts", "pictures", "scores.npz"]),
    ):
        with full_disk(limit):
            assert "too large" in refused(*words)
        assert sorted(file.name for file in (tmp_path / "audit").iterdir()) == left
        assert not list(tmp_path.rglob("audit/**/.*.part"))
    audit_networks.CALLS.clear()
    assert longcut(*words).code == 0
    assert [count for count in audit_networks.CALLS if count > 4] == [], "nothing was left to be scored"
    first, second = (AuditResult.load(tmp_path / name) for name in ("whole", "audit"))
    assert first.effects == second.effects

    (tmp_path / "audit" / "audit.html").unlink()
    with full_disk((tmp_path / "audit" / "audit.json").stat().st_size + 1):
        assert "too large" in refused(*words), "the page"
    assert longcut(*words).code == 0
    assert (tmp_path / "audit" / "audit.html").is_file()


def test_an_interrupt_is_told_in_a_line_and_gone_on_from(
    photos: Path, masks: Path, longcut: Longcut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["audit", "audit_networks:stopped", photos, "--masks", masks, *PLAIN, "--out", tmp_path / "audit"]
    environment = {
        **os.environ,
        "AUDIT_CALL": "9",
        "AUDIT_SIGNAL": str(int(signal.SIGINT)),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, words)], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 130
    assert ended.stderr.endswith("longcut: interrupted; run the same command again (train: with --resume) to go on\n")
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "audit" / "parts" / "original" / "000000.npz").is_file()
    monkeypatch.setenv("AUDIT_CALL", "0")
    assert longcut(*words).code == 0
