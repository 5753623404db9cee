"""Biased sets: the colours of each construction, what lies in the folder, and what does not change it."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import files
from made_images import write_images

from longcut.corruptions import corrupt
from longcut.data.builders import biased_set, digit_parts
from longcut.data.builders.biased_mnist import build_biased_mnist
from longcut.data.builders.colored_digits import build_colored_mnist
from longcut.data.builders.colour_variance import build_colour_mnist
from longcut.data.builders.corrupted_set import build_corrupted
from longcut.data.builders.corruption_lists import LISTS, corruptions_for
from longcut.data.builders.grey_images import GreyImages, read_grey_images
from longcut.data.builders.painted_digits import LFF_COLOURS, LNL_COLOURS, REBIAS_COLOURS
from longcut.data.builders.severity import build_severity
from longcut.data.decoding import read_image, write_image
from longcut.data.image_set import read_images
from longcut.data.pasting import cover

SIDE = 6
Build = Callable[..., biased_set.BiasedSet]
BUILDS: dict[str, tuple[Build, dict[str, object]]] = {
    "lff": (build_colored_mnist, {"ratio": 0.1, "valid": 100}),
    "pgd": (build_colored_mnist, {"ratio": 0.1, "construction": "pgd"}),
    "rebias": (build_biased_mnist, {"rho": 0.9, "valid": 100}),
    "variance": (build_colour_mnist, {"variance": 0.02, "valid": 100}),
}


@pytest.fixture(scope="module")
def digits() -> GreyImages:
    """Noise with black and white in each image; labels in no order."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (1400, SIDE, SIDE), np.uint8)
    images[:, 0], images[:, 1] = 0, 255
    labels, test_labels = (draw.permutation(np.arange(count) % 10) for count in (1000, 400))
    return GreyImages(images[:1000], labels, images[1000:], test_labels)


@pytest.fixture
def mnist(digits: GreyImages, tmp_path: Path) -> Path:
    return write_npz(tmp_path / "mnist.npz", digits)


def write_npz(path: Path, digits: GreyImages) -> Path:
    arrays = {name: getattr(digits, name) for name in ("train_images", "test_images")}
    labels = {name: getattr(digits, name).astype(np.uint8) for name in ("train_labels", "test_labels")}
    np.savez_compressed(path, **arrays, **labels)
    return path


def manifest(folder: Path, split: str | None = None) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if split in (None, row["split"])]


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([int(row[name].rpartition("#")[2]) for row in rows])


def read_split(folder: Path, split: str, digits: GreyImages) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images, the grey ones they were made of, targets and biases."""
    rows, images = manifest(folder, split), np.load(folder / f"{split}.npy")
    assert images.dtype == np.uint8
    assert images.shape == (len(rows), SIDE, SIDE, 3)
    sources = column(rows, "source")
    grey, labels = (
        (digits.train_images, digits.train_labels)
        if rows[0]["source"].startswith("train")
        else (digits.test_images, digits.test_labels)
    )
    targets = column(rows, "target")
    assert (labels[sources] == targets).all()
    return images, grey[sources], targets, column(rows, "bias")


# The colours.


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.05), (4, 0.005), (None, 0.005)])
def test_nam_et_al_paint_the_stroke(
    severity: int | None, deviation: float, digits: GreyImages, mnist: Path, tmp_path: Path
) -> None:
    build_colored_mnist(mnist, tmp_path / "out", ratio=0.1, severity=severity, valid=0)
    images, grey, _, bias = read_split(tmp_path / "out", "train", digits)
    shown = images[:, 1, 0].astype(np.float64)  # where the digit is white: the colour's levels, rounded down
    away = shown / 255 - LFF_COLOURS[bias]
    assert np.abs(away).max() < 5 * deviation + 1 / 255
    inner = ((LFF_COLOURS > 0.2) & (LFF_COLOURS < 0.8))[bias]  # where nothing is clipped
    assert away[inner].std() == pytest.approx(deviation, rel=0.12)
    channels = np.corrcoef(away[bias == 2].T)
    assert np.abs(channels[np.triu_indices(3, 1)]).max() < 0.4  # drawn for each channel
    levels = grey[..., None] / 255
    assert (images <= levels * (shown + 1)[:, None, None]).all()
    assert (images > levels * shown[:, None, None] - 1).all()
    assert (images[:, 0] == 0).all()


def test_ahn_et_al_paint_the_stroke_in_the_colours_of_kim_et_al(
    digits: GreyImages, mnist: Path, tmp_path: Path
) -> None:
    build_colored_mnist(mnist, tmp_path / "out", ratio=0.1, construction="pgd")
    for split in ("train", "valid", "test"):
        images, grey, _, bias = read_split(tmp_path / "out", split, digits)
        expected = grey[..., None] * LNL_COLOURS[bias][:, None, None].astype(np.float64)
        assert np.abs(images - expected).max() < 0.7
    assert {tuple(row) for row in np.rint(LNL_COLOURS * 255)} >= {(220, 20, 60), (128, 0, 0), (253, 233, 16)}


def test_bahng_et_al_paint_whatever_is_black(digits: GreyImages, mnist: Path, tmp_path: Path) -> None:
    build_biased_mnist(mnist, tmp_path / "out", rho=0.9, valid=100)
    for split in ("train", "valid", "test", "biased_test"):
        images, grey, targets, bias = read_split(tmp_path / "out", split, digits)
        black = grey == 0
        assert (images[~black] == 255).all()
        assert (images[black] == np.repeat(REBIAS_COLOURS[bias], black.sum(axis=(1, 2)), axis=0)).all()
        if split == "biased_test":
            assert (bias == targets).all()


@pytest.mark.parametrize("variance", [0.02, 0.05])
def test_the_variance_is_that_of_each_channel(variance: float, digits: GreyImages, mnist: Path, tmp_path: Path) -> None:
    build_colour_mnist(mnist, tmp_path / "out", variance=variance, valid=0)
    for split in ("train", "test"):
        images, _, targets, bias = read_split(tmp_path / "out", split, digits)
        assert (split == "train") == (bias == targets).all()
        away = images[:, 1, 0] / 255 - LNL_COLOURS[bias]
        middle = ((LNL_COLOURS > 0.45) & (LNL_COLOURS < 0.6))[bias]  # two deviations from being clipped
        assert np.square(away[middle]).mean() == pytest.approx(variance, rel=0.25)


# Who conflicts.


@pytest.mark.parametrize("name", BUILDS)
def test_validation_is_as_biased_as_training_and_testing_is_not(
    name: str, digits: GreyImages, mnist: Path, tmp_path: Path
) -> None:
    build, options = BUILDS[name]
    built = build(mnist, tmp_path / "out", **options)
    assert list(built.images) == ["train", "valid", "test"] + ["biased_test"] * (name == "rebias")
    assert built.images["train"] + built.images["valid"] == 1000
    assert built.images["valid"] == 100
    assert not built.was_complete
    share = built.conflicting["train"] / built.images["train"]
    assert abs(built.conflicting["valid"] - 100 * share) <= 1
    assert share == pytest.approx(0 if name == "variance" else 0.1, abs=0.03 if name == "pgd" else 0.006)
    rows = manifest(tmp_path / "out")
    sources = [row["source"] for row in rows if row["split"] in ("train", "valid")]
    assert sorted(sources) == sorted(f"train#{i}" for i in range(1000))
    assert all(row["aligned"] == str(int(row["target"] == row["bias"])) for row in rows)
    _, _, targets, bias = read_split(tmp_path / "out", "test", digits)
    cells = np.bincount(10 * targets + bias, minlength=100)
    if name in ("lff", "rebias"):
        assert cells.max() - cells.min() <= 2
    else:
        assert abs((bias == targets).mean() - 0.1) < 0.05


def test_training_colours_of_nam_et_al_follow_the_order_of_the_set(mnist: Path, tmp_path: Path) -> None:
    """Whatever the seed: blocks of each class, in the order of the colours."""
    for seed in (0, 1):
        build_colored_mnist(mnist, tmp_path / str(seed), ratio=0.3, valid=0, seed=seed)
        rows = manifest(tmp_path / str(seed), "train")
        for c in "0369":
            found = [row["bias"] for row in rows if row["target"] == c]
            assert found == sorted(found)
            assert abs(found.count(c) - 70) <= 1
    assert (tmp_path / "0/images.csv").read_bytes() == (tmp_path / "1/images.csv").read_bytes()
    assert (tmp_path / "0/train.npy").read_bytes() != (tmp_path / "1/train.npy").read_bytes()


# What does not change a set.


@pytest.mark.parametrize("name", BUILDS)
def test_a_seed_says_it_all(name: str, mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, options = BUILDS[name]
    build(mnist, tmp_path / "a", **options)
    monkeypatch.setattr(biased_set, "_BLOCK", 7)
    build(mnist, tmp_path / "b", **options)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    build(mnist, tmp_path / "c", **options, seed=1)
    assert files(tmp_path / "a")["valid.npy"] != files(tmp_path / "c")["valid.npy"]


def test_an_image_is_the_same_whatever_is_held_out(mnist: Path, tmp_path: Path) -> None:
    build_colored_mnist(mnist, tmp_path / "whole", ratio=0.1, valid=0)
    build_colored_mnist(mnist, tmp_path / "parts", ratio=0.1, valid=300)
    whole = np.load(tmp_path / "whole/train.npy")
    assert not (tmp_path / "whole/valid.npy").exists()
    for split in ("train", "valid"):
        sources = column(manifest(tmp_path / "parts", split), "source")
        assert (np.load(tmp_path / f"parts/{split}.npy") == whole[sources]).all()


def test_training_and_test_images_of_a_number_get_their_own_colours(mnist: Path, tmp_path: Path) -> None:
    build_colour_mnist(mnist, tmp_path / "out", variance=0.02, valid=0)
    train, test = (np.load(tmp_path / f"out/{split}.npy")[:400, 1, 0] / 255 for split in ("train", "test"))
    away = [
        images - LNL_COLOURS[column(manifest(tmp_path / "out", split)[:400], "bias")]
        for split, images in (("train", train), ("test", test))
    ]
    assert abs(np.corrcoef(away[0].ravel(), away[1].ravel())[0, 1]) < 0.1


def test_an_interrupted_build_goes_on(mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_biased_mnist(mnist, tmp_path / "whole", rho=0.9, valid=100)
    written: list[str] = []
    write = biased_set._write_array

    def stop_at_the_third(path: Path, part: biased_set.Part) -> None:
        written.append(part.name)
        if len(written) == 3:
            (path.parent / ".half.part").write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, part)

    monkeypatch.setattr(biased_set, "_write_array", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        build_biased_mnist(mnist, tmp_path / "out", rho=0.9, valid=100)
    assert not (tmp_path / "out/images.csv").exists()
    built = build_biased_mnist(mnist, tmp_path / "out", rho=0.9, valid=100)
    assert not built.was_complete
    assert written == ["train", "valid", "test", "test", "biased_test"]
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    again = build_biased_mnist(mnist, tmp_path / "out", rho=0.9, valid=100)
    assert again.was_complete
    assert again.conflicting == built.conflicting
    assert len(written) == 5


def test_a_second_build_leaves_a_running_one_alone(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_colored_mnist(mnist, tmp_path / "whole", ratio=0.1, valid=0)
    reserve, refused = biased_set._reserve, []

    def build_again(part: Path) -> None:
        monkeypatch.setattr(biased_set, "_reserve", reserve)
        with pytest.raises(ValueError, match="wait until it has finished") as error:
            build_colored_mnist(mnist, tmp_path / "out", ratio=0.1, valid=0)
        refused.append(str(error.value))
        reserve(part)

    monkeypatch.setattr(biased_set, "_reserve", build_again)
    build_colored_mnist(mnist, tmp_path / "out", ratio=0.1, valid=0)
    assert len(refused) == 1
    assert "another process builds" in refused[0]
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_half_an_array_is_none(mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*args: object, **options: object) -> np.ndarray:
        raise OSError("no space")

    monkeypatch.setattr(digit_parts, "paint_digits", break_off)
    with pytest.raises(OSError, match="no space"):
        build_colored_mnist(mnist, tmp_path / "out", ratio=0.1, valid=0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"build.json"}


# What is read back, and where digits come from.


def test_the_set_is_read_as_any_other(digits: GreyImages, mnist: Path, tmp_path: Path) -> None:
    build_colored_mnist(mnist, tmp_path / "out", ratio=0.1, valid=100)
    images, _, targets, bias = read_split(tmp_path / "out", "train", digits)
    found = read_images(tmp_path / "out/images.csv", "train")
    assert found.classes == tuple("0123456789")
    assert found.bias is not None
    assert len(found) == 900
    for place in range(0, 900, 97):
        row = int(found.paths[place].rpartition("#")[2])
        assert (found.targets[place], found.bias[place]) == (targets[row], bias[row])
        assert (read_image(found.root / found.paths[place]) == images[row]).all()
    picture = read_image(tmp_path / "out/grid.jpg")
    assert picture.shape[0] > 10 * biased_set._CELL
    assert picture.shape[1] > 2 * biased_set._SHOWN * biased_set._CELL
    record = json.loads((tmp_path / "out/build.json").read_text())
    assert (record["ratio"], record["construction"], record["severity"], record["valid"]) == ("0.1", "lff", 4, 100)
    assert record["longcut"]


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def test_digits_are_the_same_from_whichever_files(digits: GreyImages, mnist: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "keras.npz",
        x_train=digits.train_images,
        y_train=digits.train_labels.astype(np.uint8),
        x_test=digits.test_images,
        y_test=digits.test_labels.astype(np.uint8),
    )
    packed, plain, folders = tmp_path / "packed", tmp_path / "plain", tmp_path / "folders"
    packed.mkdir()
    plain.mkdir()
    for ours, name in (("train", "train"), ("test", "t10k")):
        images, labels = getattr(digits, f"{ours}_images"), getattr(digits, f"{ours}_labels")
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            (plain / f"{name}-{kind}-ubyte").write_bytes(idx(array))
            (packed / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            write_image(folders / ours / str(label) / f"{index:05}.png", image)
    found = [read_grey_images(source) for source in (mnist, tmp_path / "keras.npz", packed, plain, folders)]
    assert {images.digest() for images in found} == {digits.digest()}
    assert (found[-1].train_images == digits.train_images).all()
    (plain / "t10k-labels-idx1-ubyte").write_bytes(idx(digits.test_labels)[:-1])
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte is no IDX file of bytes"):
        read_grey_images(plain)
    (plain / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match=r"plain lacks t10k-labels-idx1-ubyte\.gz: MNIST is four files"):
        read_grey_images(plain)


def test_mnist_itself(tmp_path: Path) -> None:
    mnist = Path(os.environ.get("LONGCUT_DATA") or "nowhere", "mnist.npz")
    if not mnist.is_file():
        pytest.skip("LONGCUT_DATA names no mnist.npz")
    built = build_colored_mnist(mnist, tmp_path / "out", ratio=0.01, valid=0)
    assert built.images == {"train": 60_000, "test": 10_000}
    assert abs(built.conflicting["train"] - 600) <= 10
    rows = manifest(tmp_path / "out", "train")
    cells = np.bincount(10 * column(rows, "target") + column(rows, "bias"), minlength=100).reshape(10, 10)
    assert np.abs(np.diag(cells) / cells.sum(axis=1) - 0.99).max() < 2e-4
    images = np.load(tmp_path / "out/train.npy", mmap_mode="r")
    for c in range(10):
        painted = images[column(rows, "bias") == c]
        brightest = painted.reshape(len(painted), -1, 3).max(axis=1)
        assert np.abs(np.median(brightest, axis=0) / 255 - LFF_COLOURS[c]).max() < 0.01


# Corruptions.


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for split, count in (("train", 40), ("test", 6)):
        write_images(tmp_path / "photographs" / split, count=count, size=24, seed=len(split))
    write_images(tmp_path / "photographs/test", count=9, size=20, seed=2)
    return tmp_path / "photographs"


def test_each_class_has_its_corruption(photographs: Path, tmp_path: Path) -> None:
    names = "brightness", "original", "contrast"
    built = build_corrupted(
        photographs, tmp_path / "out", ratio=0.1, corruptions=names, severity=3, valid=20, workers=1
    )
    assert built.images == {"train": 100, "valid": 20, "test": 27}
    assert built.conflicting == {"train": 10, "valid": 2, "test": 18}
    for split in built.images:
        made = np.load(tmp_path / f"out/{split}.npy")
        assert made.shape[1:] == (20, 20, 3)
        for row, image in zip(manifest(tmp_path / "out", split), made, strict=True):
            assert row["attribute"] == dict(zip(("bird", "cat", "dog"), names, strict=True))[row["bias"]]
            clean = cover(read_image(photographs / row["source"]), 20, 20)
            if row["attribute"] == "original":
                assert (image == clean).all()
            else:
                batch = torch.from_numpy(clean.copy()).permute(2, 0, 1)[None]
                expected = corrupt(batch, row["attribute"], 3)[0].permute(1, 2, 0).numpy()
                assert np.abs(image.astype(int) - expected).max() <= 1
    cells = {(row["target"], row["bias"]) for row in manifest(tmp_path / "out", "test")}
    assert len(cells) == 9


def test_a_split_for_validation_is_as_biased_as_training(photographs: Path, tmp_path: Path) -> None:
    write_images(photographs / "val", count=20, size=24, seed=3)
    options = {"ratio": 0.1, "corruptions": "brightness,original,contrast", "workers": 1}
    built = build_corrupted(photographs, tmp_path / "out", **options)
    assert built.images == {"train": 120, "valid": 60, "test": 27}
    assert built.conflicting == {"train": 12, "valid": 6, "test": 18}
    with pytest.raises(ValueError, match=r"has a split 'val' of its own: leave valid = 5 out"):
        build_corrupted(photographs, tmp_path / "other", valid=5, **options)


def test_any_number_of_processes_gives_the_same_bytes(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longcut.data.builders.corrupted_set._BLOCK", 4)
    for workers in (1, 2):
        build_corrupted(
            photographs,
            tmp_path / f"by {workers}",
            ratio=0.1,
            corruptions="gaussian_noise,saturate,snow",
            size=16,
            workers=workers,
        )
    assert files(tmp_path / "by 1") == files(tmp_path / "by 2")
    build_corrupted(
        photographs,
        tmp_path / "seed",
        ratio=0.1,
        corruptions="gaussian_noise,saturate,snow",
        size=16,
        seed=1,
        workers=1,
    )
    assert files(tmp_path / "by 1")["train.npy"] != files(tmp_path / "seed")["train.npy"]


def test_lists_are_those_of_nam_et_al() -> None:
    assert [len(set(names)) for names in LISTS.values()] == [10, 10]
    assert set(LISTS["type0"]).isdisjoint(LISTS["type1"])
    assert corruptions_for("type0", 3) == ("snow", "frost", "fog")
    assert corruptions_for("type1", 10)[-1] == "original"
    assert corruptions_for("fog, original", 2) == ("fog", "original")


# Subsets.


def write_table(folder: Path, groups: dict[tuple[str, str, str], int], *, extra: str = "", ends: str = "") -> Path:
    """A CSV of `(split, target, bias)` with as many images each; nothing is opened."""
    lines = [f"path,target,split,bias{extra}"]
    for (split, target, bias), count in groups.items():
        lines += [f"{split}/{target}{bias}{i}.png,{target},{split},{bias}{ends}" for i in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "set.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "set.csv"


GROUPS = {
    ("train", "a", "a"): 120,
    ("train", "a", "b"): 20,
    ("train", "b", "a"): 40,
    ("train", "b", "b"): 280,
    ("test", "a", "b"): 7,
    ("test", "b", "b"): 5,
}


def counts(folder: Path) -> dict[tuple[str, str, str], int]:
    with (folder / "images.csv").open(newline="", encoding="utf-8") as file:
        found = [(row["split"], row["target"], row["bias"]) for row in csv.DictReader(file)]
    return {group: found.count(group) for group in GROUPS}


@pytest.mark.parametrize(("ratio", "train"), [(0.05, (120, 7, 14, 280)), (0.2, (72, 20, 40, 168))])
def test_as_many_conflict_as_asked_for(ratio: float, train: tuple[int, ...], tmp_path: Path) -> None:
    """21 of 421 by dropping conflicting images, 60 of 300 by dropping aligned ones; each in its group's share."""
    build_severity(write_table(tmp_path / "set", GROUPS), tmp_path / "out", conflict_ratio=ratio)
    assert tuple(counts(tmp_path / "out").values()) == (*train, 7, 5)


def test_a_subset_leads_to_the_images_where_they_are(tmp_path: Path) -> None:
    table = write_table(tmp_path / "set", GROUPS)
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere/deep")
    build_severity(table, tmp_path / "link/out", conflict_ratio=0.05)
    whole, subset = read_images(table, "train"), read_images(tmp_path / "link/out/images.csv", "train")
    assert len(subset) == 421
    known = {(whole.root / path).resolve(): i for i, path in enumerate(whole.paths)}
    places = [known[(subset.root / path).resolve()] for path in subset.paths]
    assert whole.bias is not None
    assert subset.bias is not None
    assert (subset.bias == whole.bias[places]).all()
    assert (subset.targets == whole.targets[places]).all()
    assert all(path.startswith("../../../set/train/") for path in subset.paths)


def test_a_smaller_subset_is_part_of_a_larger_one(tmp_path: Path) -> None:
    table = write_table(tmp_path / "set", GROUPS)
    kept = []
    for ratio in (0.02, 0.05, 0.1):
        build_severity(table, tmp_path / str(ratio), conflict_ratio=ratio)
        kept.append(set(read_images(tmp_path / f"{ratio}/images.csv", "train").paths))
    assert kept[0] < kept[1] < kept[2]
    build_severity(table, tmp_path / "seed", conflict_ratio=0.05, seed=1)
    assert set(read_images(tmp_path / "seed/images.csv", "train").paths) != kept[1]


def test_masks_boxes_and_further_biases_stay(tmp_path: Path) -> None:
    groups = {("train", "a", "a"): 30, ("train", "b", "b"): 30, ("train", "a", "z"): 4, ("train", "b", "y"): 4}
    table = write_table(tmp_path / "set", groups, extra=",mask,x1,y1,x2,y2", ends=",mask.png,1,2,3,4.5")
    (tmp_path / "set/mask.png").write_bytes(b"there")
    build_severity(table, tmp_path / "out", conflict_ratio=0.1)
    whole, subset = read_images(table, "train"), read_images(tmp_path / "out/images.csv", "train")
    assert whole.bias is not None
    assert subset.bias is not None
    assert subset.masks is not None
    assert subset.boxes is not None
    assert {mask.resolve() for mask in subset.masks} == {tmp_path / "set/mask.png"}
    assert (subset.boxes == [1, 2, 3, 4.5]).all()
    assert np.bincount(subset.bias).tolist() == [30, 30, 4, 3] or np.bincount(subset.bias).tolist() == [30, 30, 3, 4]
    assert {(int(t), int(b)) for t, b in zip(subset.targets, subset.bias, strict=True)} == {
        (int(t), int(b)) for t, b in zip(whole.targets, whole.bias, strict=True)
    }


def test_a_set_of_arrays_has_subsets_too(mnist: Path, tmp_path: Path) -> None:
    build_colored_mnist(mnist, tmp_path / "cmnist", ratio=0.1, valid=100)
    built = build_severity(tmp_path / "cmnist/images.csv", tmp_path / "out", conflict_ratio=0.05)
    assert built.images["train"] == 810 + built.conflicting["train"]
    assert built.conflicting["train"] == 43
    found = read_images(tmp_path / "out/images.csv", "train")
    assert found.paths[0].startswith("../cmnist/train.npy#")
    assert read_image(found.root / found.paths[0]).shape == (SIDE, SIDE, 3)
    assert build_severity(tmp_path / "cmnist/images.csv", tmp_path / "out", conflict_ratio=0.05).was_complete
