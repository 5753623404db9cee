"""`longcut discover`: the cue that was planted and no other, pseudo-groups that train, and faults in one line."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, Longcut, Refused
from PIL import Image
from planted import CLASSES, CUES, planted_set

from longcut.data.decoding import read_image
from longcut.data.image_set import ImageSet, read_images
from longcut.engine.settings import parse_value, resolve
from longcut.evaluation.cues.naming import NARROWEST
from longcut.evaluation.cues.permutation import holm, p_value
from longcut.evaluation.cues.result import Discovery
from longcut.evaluation.cues.significance import Alone, CueTests
from longcut.recipes.discovery.run import DiscoverOptions, discover
from longcut.recipes.discovery.sets import read_set
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run

pytestmark = pytest.mark.usefixtures("one_process")

Found = Callable[..., tuple[str, ...]]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Cues that are named on a planted set, which is made once; the full number of images where `whole`."""
    folder = tmp_path_factory.mktemp("sets")

    def find(
        cue: str, seed: int, *, masked: bool = False, whole: bool = False, strength: float = 1.0
    ) -> tuple[str, ...]:
        count, permutations = (300, 999) if whole else (160, 199)
        root = folder / f"{cue}_{seed}_{count}_{strength}"
        if not root.is_dir():
            planted_set(root, cue, seed=seed, num_images=count, strength=strength)
        images = read_images(root / "images", masks=root / "masks" if masked else None)
        return discover(images, options=DiscoverOptions(seed=seed, permutations=permutations)).named

    return find


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose background goes with the class in nine of ten, which `images.csv` labels."""
    root = planted_set(tmp_path_factory.mktemp("planted") / "set", "background", seed=3, num_images=240, strength=0.9)
    with (root / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "target", "split", "bias"))
        for i, path in enumerate(sorted((root / "images").rglob("*.png"))):
            pixels = read_image(path)[3:29, 3:29].astype(int)
            ends = np.r_[:4, -4:0]
            corners = pixels[ends[:, None], ends].reshape(-1, 3)
            green = corners[:, 1].mean() > corners[:, 2].mean()
            split = "train" if i % 4 else "test"
            writer.writerow((f"images/{path.parent.name}/{path.name}", path.parent.name, split, CLASSES[int(green)]))
    return root


@pytest.fixture(scope="module")
def found(planted: Path) -> Discovery:
    chosen = read_set(planted)
    return discover(chosen.images, measured=chosen.measured)


def truth(cue: str) -> tuple[str, ...]:
    return () if cue == "none" else (cue,)


# Planted truths.


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("cue", CUES)
def test_the_planted_cue_is_named_and_no_other(cue: str, seed: int, named: Found) -> None:
    assert named(cue, seed) == truth(cue)


@pytest.mark.parametrize("cue", CUES)
def test_with_masks_too(cue: str, named: Found) -> None:
    assert named(cue, 0, masked=True) == truth(cue)


@pytest.mark.parametrize("cue", [cue for cue in CUES if cue != "none"])
def test_a_cue_that_breaks_in_one_image_of_ten(cue: str, named: Found) -> None:
    assert named(cue, 6, strength=0.9) == truth(cue)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cue", CUES)
def test_twenty_seeds(cue: str, masked: bool, named: Found) -> None:
    """Of the clean set at most three in twenty may be false alarms."""
    right = sum(named(cue, seed, masked=masked, whole=True) == truth(cue) for seed in range(20))
    assert right >= 17 if cue == "none" else right == 20


# What is found.


def test_findings_are_whole(found: Discovery) -> None:
    assert found.named == ("background",)
    first = found.cues[0]
    assert 0.85 < first.low < first.accuracy < first.high < 0.95
    assert first.chance == pytest.approx(0.5, abs=0.02)
    assert first.p == pytest.approx(0.001)
    assert first.p_corrected == pytest.approx(0.004), "of four cues"
    assert set(found.not_measured) == {"file", "size", "aspect"}
    assert {each.cue for each in found.cues} == {"background", "border", "colour", "texture"}
    assert found.whole.p_corrected == found.whole.p


def test_pseudo_groups_are_those_of_the_planted_cue(found: Discovery) -> None:
    """Of the images measured, and of the test split, on which nothing was fitted."""
    assert [part.images for part in found.agreement] == ["measured", "others"]
    for part, count in zip(found.agreement, (180, 60), strict=True):
        assert part.n == count == part.num_aligned + part.num_conflicting
        assert part.agrees > 0.97
        assert part.auroc is not None
        assert part.auroc > 0.97
    counts = found.groups
    assert counts is not None
    assert np.sum(counts) == 240
    assert np.trace(counts) == pytest.approx(0.9 * 240, abs=6)


def test_bias_labels_are_used_for_nothing_else(planted: Path, found: Discovery) -> None:
    chosen = read_set(planted)
    without = discover(chosen.images.without_bias(), measured=chosen.measured)
    assert without.cues == found.cues
    assert without.agreement == ()
    turned = replace(chosen.images, bias=1 - chosen.images.bias)  # type: ignore[operator]
    other = discover(turned, measured=chosen.measured)
    assert other.cues == found.cues
    assert other.agreement[0].agrees < 0.05


def test_biases_without_classes_agree_by_the_most_frequent(planted: Path) -> None:
    images = read_set(planted).images
    assert images.bias is not None
    three = replace(images, bias=images.bias + (np.arange(240) % 40 == 0), bias_names=("x", "y", "z"))
    (part,) = discover(three).agreement
    assert part.aligned is None
    assert 0.9 < part.agrees < 0.99
    assert part.usual == pytest.approx(np.bincount(three.bias).max() / 240)  # type: ignore[arg-type]


def test_copies_count_once(tmp_path: Path) -> None:
    """Twelve copies of each image, of which some would tell the class of the others."""
    made = planted_set(tmp_path / "set", "none", seed=0, num_images=60)
    for path in sorted((made / "images").rglob("*.png")):
        for copy in range(12):
            shutil.copy(path, path.with_stem(f"{path.stem}_{copy}"))
    found = discover(read_images(made / "images"))
    assert found.about["images"] == 780
    assert found.about["copies"] == 720
    assert found.named == ()
    alone = discover(read_images(planted_set(tmp_path / "alone", "none", seed=0, num_images=60) / "images"))
    assert [(each.cue, each.accuracy, each.p) for each in found.cues] == [
        (each.cue, each.accuracy, each.p) for each in alone.cues
    ]


@pytest.mark.parametrize("cue", ["size", "aspect"])
def test_size_and_proportions(cue: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for i in range(80):
        more = 1 + i % 2
        height, width = (24 * more, 30 * more) if cue == "size" else (24, 30 * more)
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        folder = tmp_path / CLASSES[i % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    found = discover(read_images(tmp_path))
    assert found.named[0] == cue
    assert found.cues[0].accuracy == 1


def test_the_result_is_the_seed_s(planted: Path, found: Discovery) -> None:
    chosen = read_set(planted)
    again = discover(chosen.images, measured=chosen.measured)
    assert again.record() == found.record()
    other = discover(chosen.images, measured=chosen.measured, options=DiscoverOptions(seed=1))
    assert other.cues[0].chance != found.cues[0].chance


def test_a_border_tells_more_than_any_ring(tmp_path: Path) -> None:
    """Each ring has a shade of its own, which goes with the class a little: the outermost no more than the others."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    ring = (15.5 - np.maximum(abs(y), abs(x))).astype(int) // 2
    for i in range(300):
        shades = 100 + 25 * (i % 2) + draw.normal(0, 20, 8)
        pixels = np.clip(shades[ring] + draw.normal(0, 5, (32, 32)), 0, 255).astype(np.uint8)
        folder = tmp_path / CLASSES[i % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).convert("RGB").save(folder / f"{i}.png")
    found = {each.cue: each for each in discover(read_images(tmp_path)).cues}
    assert found["border"].p < 0.01 < 0.05 < found["border"].p_corrected
    assert found["border"].explained_by == "ring"
    assert not found["border"].named


def test_a_border_that_tells_too_little_is_not_the_ring_s(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells more than the ring inside it does, and is not certain among all cues."""
    monkeypatch.setattr(CueTests, "exceeds", lambda tests, one, other: 0.01)
    monkeypatch.setattr(CueTests, "alone", with_p_of(CueTests.alone, "border", 0.04))
    border = next(cue for cue in discover(read_images(planted / "images")).cues if cue.cue == "border")
    assert border.p == 0.04 < 0.05 < border.p_corrected
    assert border.explained_by is None


def with_p_of(alone: Callable[..., Alone], cue: str, p: float) -> Callable[..., Alone]:
    def found(tests: CueTests, asked: str) -> Alone:
        told = alone(tests, asked)
        return replace(told, p=p) if asked == cue else told

    return found


def test_rows_of_arrays_have_no_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 100, (60, 28, 28), dtype=np.uint8)
    images[::2] += 100
    np.save(tmp_path / "train.npy", images)
    rows = "".join(f"train.npy#{i},{i % 2}\n" for i in range(60))
    (tmp_path / "images.csv").write_text(f"path,target\n{rows}", "utf-8")
    found = discover(read_images(tmp_path))
    assert "rows of an array" in found.not_measured["file"]
    assert found.named == ("background",), "what is in every part of an image counts to its background"


# Files.


def test_files_that_are_written(planted: Path, found: Discovery, tmp_path: Path, longcut: Longcut) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "carry_size.jpg").write_bytes(b"of a former discovery")
    told = longcut("discover", planted / "images.csv", "--out", out, "--format", "json")
    assert told.code == 0, told.err
    printed = json.loads(told.out)
    assert printed == json.loads((out / "discover.json").read_text("utf-8"))
    assert printed["named"] == ["background"]
    assert printed["cues"] == found.record()["cues"]
    names = {"discover.json", "pseudo_groups.csv", "carry.csv", "carry_background.jpg"}
    assert {file.name for file in out.iterdir()} == names
    with (out / "carry.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"carries", "breaks"}
    assert all((row["says"] == row["target"]) == (row["kind"] == "carries") for row in rows)
    assert all((float(row["margin"]) > 0) == (row["kind"] == "carries") for row in rows)
    first = [float(row["margin"]) for row in rows if (row["target"], row["kind"]) == (CLASSES[0], "carries")]
    assert first == sorted(first, reverse=True)
    assert len(first) == 24
    assert read_image(out / "carry_background.jpg").shape[0] > 4 * 128


def test_pseudo_groups_read_back_and_train(planted: Path, found: Discovery, tmp_path: Path, longcut: Longcut) -> None:
    assert longcut("discover", planted, "--out", tmp_path / "out", "--masks", planted / "masks").code == 2
    told = longcut("discover", planted / "images.csv", "--out", tmp_path / "out")
    assert told.code == 0, told.err
    table = tmp_path / "out" / "pseudo_groups.csv"
    images = read_images(table)
    assert images.classes == images.bias_names == CLASSES
    assert images.group_counts() == tuple(map(tuple, found.groups or ()))
    assert len(read_images(table, "test")) == 60
    assert (images.root / images.paths[0]).is_file()
    assert not Path(images.paths[0]).is_absolute()
    changes = {key: parse_value(value) for key, _, value in (word.partition("=") for word in SMALL)}
    train_run(resolve("group_dro_waterbirds", changes), Inputs(table), tmp_path / "run")
    told = longcut("evaluate", tmp_path / "run", "--data", table)
    assert told.code == 0, told.err
    assert "Worst group" in told.out


def test_masks_go_with_pseudo_groups(planted: Path, tmp_path: Path, longcut: Longcut) -> None:
    words = ("discover", planted / "images", "--masks", planted / "masks", "--out", tmp_path / "out")
    assert longcut(*words).code == 0
    images = read_images(tmp_path / "out" / "pseudo_groups.csv")
    assert images.masks is not None
    assert images.usable_masks().all()


def test_no_cue_no_groups(tmp_path: Path, longcut: Longcut) -> None:
    made = planted_set(tmp_path / "set", "none", seed=0, num_images=120)
    told = longcut("discover", made / "images", "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert told.out.startswith("no cue is named")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["discover.json"]


def test_what_is_printed(planted: Path, longcut: Longcut) -> None:
    told = longcut("discover", planted)
    assert told.code == 0, told.err
    assert told.out.startswith("the class is told from background alone: ")
    assert "that is no proof that a model does" in told.out
    assert "pseudo-groups of background beside the bias labels, 180 images measured: " in told.out
    assert "60 other images" in told.out
    told = longcut("discover", planted, "--split", "train", "--format", "csv", "--limit", 100)
    rows = list(csv.DictReader(told.out.splitlines()))
    assert [row["cue"] for row in rows if row["named"] == "True"] == ["background"]
    assert rows[-1]["cue"] == "whole image"


def test_reports_do_without_torch() -> None:
    code = "import longcut.report.discovery, longcut.recipes.discovery.run, sys; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


# Faults.


def few(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(draw.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("counts", "words", "said"),
    [
        ({"a": 9}, (), "has images of one class, 'a': at least two are needed"),
        ({"a": 1, "b": 1}, (), "class 'a' of {root} has 1 image: cross-validation in 5 folds needs 5 of each class"),
        ({"a": 9, "b": 3}, (), "leave the class out, or fewer folds (--folds 3)"),
        ({"": 8}, (), "has no classes, and discovery asks how well they are told"),
        ({}, (), "holds no images"),
        ({"a": 9, "b": 9}, ("--limit", 3), "limit is 3: at least 2 images of each of 2 classes are needed"),
        ({"a": 9, "b": 9}, ("--split", "val", "--folds", 1), "--folds 1"),
        ({"a": 9, "b": 9}, ("--split", "val"), "{root} has no split 'val': it has no splits; name none"),
        ({"a": 9, "b": 9}, ("--masks", "{root}/masks"), "is no folder of masks"),
        ({"a": 9, "b": 9}, ("--out", "{root}/out"), "lies inside {root} and would be read as its images"),
    ],
)
def test_faults_in_one_line(
    counts: dict[str, int], words: tuple[object, ...], said: str, tmp_path: Path, refused: Refused
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    few(root, {name: count for name, count in counts.items() if name})
    if "" in counts:
        for i in range(counts[""]):
            Image.new("RGB", (20, 20)).save(root / f"{i}.png")
    line = refused("discover", root, *(str(word).format(root=root) for word in words))
    assert said.format(root=root) in line


def test_fewer_folds_do(tmp_path: Path) -> None:
    images = read_images(few(tmp_path, {"a": 9, "b": 3}))
    assert discover(images, options=DiscoverOptions(folds=3)).named == ()


@pytest.mark.parametrize(("level", "fewest"), [(0.05, 139), (0.01, 699)])
def test_as_many_permutations_are_needed_as_any_cue_needs_to_be_named(level: float, fewest: int) -> None:
    DiscoverOptions(permutations=fewest, level=level)
    with pytest.raises(ValueError, match=f"permutations is {fewest - 1}: at least {fewest} are needed"):
        DiscoverOptions(permutations=fewest - 1, level=level)
    for permutations, reached in ((fewest, True), (fewest - 1, False)):
        best = p_value(1.0, np.zeros(permutations))
        assert (min(holm(dict.fromkeys(NARROWEST, best)).values()) <= level) == reached


def test_an_unreadable_image(tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    root = few(tmp_path / "data", {"a": 9, "b": 9})
    (root / "a" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    line = refused("discover", root)
    assert "3.png" in line
    assert "--skip-bad" in line
    told = longcut("discover", root, "--skip-bad")
    assert told.code == 0
    assert told.err.count("left out: ") == 1
    assert "17 images" in told.out


def test_images_without_a_mask_are_left_out(tmp_path: Path) -> None:
    made = planted_set(tmp_path / "set", "background", seed=0, num_images=100)
    lost = sorted((made / "masks").rglob("*.png"))[::5]
    for mask in lost:
        mask.unlink()
    lines: list[str] = []
    found = discover(read_images(made / "images", masks=made / "masks"), say=lines.append)
    assert lines == ["left out: 20 of 100 images, which have no mask"]
    assert len(found.images) == 80
    images: ImageSet = replace(found.images, masks=tuple(Path("missing") for _ in found.images.paths))
    with pytest.raises(ValueError, match=r"none of the images in .* has its mask"):
        discover(images)
