"""`longcut data biased`: what is printed, what is there already, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from command_line import Longcut, Refused
from made_images import write_images

LABELS = np.arange(200, dtype=np.uint8) % 10
IMAGES = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)


def write_mnist(path: Path, **changes: np.ndarray) -> Path:
    arrays = {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES[:100], "test_labels": LABELS[:100]}
    np.savez(path, **{**arrays, **changes})
    return path


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    return write_mnist(tmp_path / "mnist.npz")


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("cmnist --ratio 0.1 --valid 50", ["train: 150 images, 15", "valid: 50 images, 5", "test: 100 images, 90"]),
        ("cmnist --ratio 0.1 --construction pgd", ["train: 180 images, ", "valid: 20 images, ", "test: 100 images, "]),
        (
            "biased-mnist --rho 0.9 --valid 50",
            ["train: 150 images, 15", "valid: 50 images, 5", "test: 100 images, 90", "biased_test: 100 images, 0"],
        ),
        ("colour-mnist --variance 0.02 --valid 0", ["train: 200 images, 0", "test: 100 images, "]),
    ],
)
def test_a_set_is_built_once(words: str, lines: list[str], mnist: Path, tmp_path: Path, longcut: Longcut) -> None:
    command = "data", "biased", *words.split(), "--mnist", mnist, "--out", tmp_path / "out"
    told = longcut(*command)
    assert told.code == 0, told.err
    printed = told.out.splitlines()
    assert len(printed) == len(lines)
    assert all(line.startswith(start) for line, start in zip(printed, lines, strict=True))
    splits = [line.partition(":")[0] for line in printed]
    expected = {*(f"{split}.npy" for split in splits), "images.csv", "manifest.csv", "grid.jpg", "build.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    written = (tmp_path / "out/train.npy").stat().st_mtime_ns
    again = longcut(*command)
    assert (again.code, again.out) == (0, told.out)
    assert "everything was there already" in again.err
    assert (tmp_path / "out/train.npy").stat().st_mtime_ns == written


def test_other_settings_are_refused_in_a_folder(
    mnist: Path, tmp_path: Path, longcut: Longcut, refused: Refused
) -> None:
    words = "data", "biased", "cmnist", "--mnist", mnist, "--out", tmp_path / "out", "--valid", 20
    assert longcut(*words, "--ratio", 0.1).code == 0
    assert "made with ratio = '0.1', not '0.2': give another folder" in refused(*words, "--ratio", 0.2)
    assert "made with seed = 0, not 1" in refused(*words, "--ratio", 0.1, "--seed", 1)
    assert "made with severity = 4, not 3" in refused(*words, "--ratio", 0.1, "--severity", 3)
    write_mnist(mnist, train_images=255 - IMAGES)
    assert "made with digits = 'sha256:" in refused(*words, "--ratio", 0.1)
    other = "data", "biased", "biased-mnist", "--mnist", mnist, "--out", tmp_path / "out", "--rho", 0.9, "--valid", 20
    assert "made with build = 'cmnist', not 'biased-mnist'" in refused(*other)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cmnist --ratio 0", "ratio is 0.0: it must lie above 0 and below 1"),
        ("cmnist --ratio 1", "ratio is 1.0: it must lie above 0 and below 1"),
        ("cmnist --ratio 0.0001 --valid 20", "ratio is 0.0001, by which none of 200 training images conflicts"),
        ("cmnist --ratio 0.1 --severity 6", "severity must be 1 to 5, not 6"),
        ("cmnist --ratio 0.1 --severity 0", "severity must be 1 to 5, not 0"),
        ("cmnist --ratio 0.1 --severity 4 --construction pgd", "severity 4 is one of the construction 'lff'"),
        ("cmnist --ratio 0.1", "valid is 5000: of 200 training images 0 to 199 can be held out"),
        ("biased-mnist --rho 1.1", "rho is 1.1: it must lie above 0 and be at most 1"),
        ("colour-mnist --variance 0", "variance is 0.0: it must be above 0"),
        ("colour-mnist --variance inf", "variance is inf: it must be above 0"),
    ],
)
def test_wrong_numbers_are_refused(words: str, message: str, mnist: Path, tmp_path: Path, refused: Refused) -> None:
    assert message in refused("data", "biased", *words.split(), "--mnist", mnist, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": IMAGES[..., None]}, r"training images uint8 \[200, 28, 28, 1\] and labels \[200\]: uint8"),
        ({"train_images": IMAGES / 255}, r"training images float64 \[200, 28, 28\]"),
        ({"test_labels": LABELS}, r"test images uint8 \[100, 28, 28\] and labels \[200\]"),
        ({"test_images": IMAGES[:100, 2:]}, r"training images \[200, 28, 28\] but test images \[100, 26, 28\]"),
        ({"train_labels": np.minimum(LABELS, 8)}, "no training image of the class 9: each of 0 to 9 needs some"),
        ({"test_labels": LABELS[:100] * 2 % 11}, "no test image of the class 9"),
        ({"train_labels": np.arange(200, dtype=np.uint8) % 12}, "training labels up to 11: there are colours for 0 to"),
    ],
)
def test_what_is_not_mnist_is_refused(
    changes: dict[str, np.ndarray], message: str, tmp_path: Path, refused: Refused
) -> None:
    mnist = write_mnist(tmp_path / "mnist.npz", **changes)
    told = refused(
        "data", "biased", "cmnist", "--mnist", mnist, "--ratio", 0.1, "--valid", 9, "--out", tmp_path / "out"
    )
    assert re.search(message, told), told


def test_where_mnist_is_not_the_forms_are_told(tmp_path: Path, refused: Refused) -> None:
    def told(mnist: Path) -> str:
        return refused("data", "biased", "biased-mnist", "--mnist", mnist, "--rho", 0.9, "--out", tmp_path / "out")

    forms = "give an .npz file with train_images, train_labels, test_images and test_labels"
    assert re.search(f"none does not exist: {forms}", told(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert re.search(f"empty has no folder 'train': {forms}", told(tmp_path / "empty"))
    (tmp_path / "text.npz").write_text("text")
    assert re.search(f"text.npz is no whole .npz file: {forms}", told(tmp_path / "text.npz"))
    np.savez(tmp_path / "other.npz", images=IMAGES)
    assert re.search(f"other.npz lacks the arrays of MNIST: {forms}", told(tmp_path / "other.npz"))
    np.save(tmp_path / "one.npy", IMAGES)
    assert re.search(f"one.npy is no whole .npz file: {forms}", told(tmp_path / "one.npy"))
    content = write_mnist(tmp_path / "broken.npz").read_bytes()
    (tmp_path / "broken.npz").write_bytes(content[:1000] + b"?" + content[1001:])
    assert re.search(rf"broken.npz is no whole .npz file \(.*\): {forms}", told(tmp_path / "broken.npz"))
    write_images(tmp_path / "cats/train")
    assert re.search(f"train has other folders than digits: {forms}", told(tmp_path / "cats"))


def test_photographs_are_corrupted(tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / "images" / split, count=10, size=20)
    words = (
        "data",
        "biased",
        "corrupted",
        tmp_path / "images",
        "--out",
        tmp_path / "out",
        "--ratio",
        0.2,
        "--workers",
        1,
    )
    told = longcut(*words, "--corruptions", "fog,original,saturate")
    assert told.code == 0, told.err
    assert told.out.splitlines() == [
        "train: 30 images, 6 conflicting (20.00%)",
        "test: 30 images, 20 conflicting (66.67%)",
    ]
    assert np.load(tmp_path / "out/train.npy").shape == (30, 20, 20, 3)
    assert "everything was there already" in longcut(*words, "--corruptions", "fog,original,saturate").err
    assert "corruptions = 'fog,original,saturate', not 'snow,frost,fog'" in refused(*words)


def test_photographs_that_cannot_be_corrupted(tmp_path: Path, refused: Refused) -> None:
    def told(*options: object, images: str = "images") -> str:
        return refused("data", "biased", "corrupted", tmp_path / images, "--out", tmp_path / "out", *options)

    for split in ("train", "test"):
        write_images(tmp_path / "images" / split, count=4, size=14)
    some = "--ratio", 0.2
    assert "ratio is 2.0" in told("--ratio", 2)
    assert "severity must be 1 to 5, not 0" in told(*some, "--severity", 0)
    assert "2 corruptions for 3 classes: give one for each class" in told(*some, "--corruptions", "fog,snow")
    assert "4 corruptions for 3 classes" in told(*some, "--corruptions", "fog,snow,frost,contrast")
    assert "corruptions are given twice: fog, fog, snow" in told(*some, "--corruptions", "fog,fog,snow")
    assert "no corruption is called 'rain': give type0, type1, or names of" in told(
        *some, "--corruptions", "fog,rain,a"
    )
    assert "size is 14: images are corrupted at 16 pixels and more, such as --size 32" in told(*some)
    assert "by which none of 12 training images conflicts" in told("--ratio", 0.01, "--size", 16)
    assert "valid is 12: of 12 training images" in told(*some, "--size", 16, "--valid", 12)
    write_images(tmp_path / "flat", count=4)
    assert "has no splits: a biased set is made of 'train' and of 'test', 'val'" in told(*some, images="flat")
    write_images(tmp_path / "one/train")
    assert "has the splits train: a biased set is made of" in told(*some, images="one")
    write_images(tmp_path / "few/train")
    write_images(tmp_path / "few/test", classes=["bird", "cat"])
    assert "the class 'dog' of" in told(*some, "--size", 16, images="few")
    write_images(tmp_path / "single/train", classes=["cat"])
    write_images(tmp_path / "single/test", classes=["cat"])
    assert "has 1 classes: each goes with a corruption, so two are needed" in told(*some, images="single")
    assert "lies inside" in refused(
        "data", "biased", "corrupted", tmp_path / "images", "--out", tmp_path / "images/test/o", *some
    )
    assert not (tmp_path / "out").exists()


def write_table(path: Path, conflicting: int, *, bias: bool = True, split: str = "train") -> Path:
    lines = ["path,target,split,bias" if bias else "path,target,split"]
    for i in range(20):
        target = "ab"[i % 2]
        other = "ba"[i % 2] if i < conflicting else target
        lines.append(f"{i}.png,{target},{split}" + (f",{other}" if bias else ""))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_subset_of_another_severity(tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    def words(table: Path, ratio: float) -> tuple[object, ...]:
        return "data", "biased", "severity", table, "--conflict-ratio", ratio, "--out", tmp_path / "out"

    table = write_table(tmp_path / "set.csv", 8)
    assert "conflict ratio is 1.0" in refused(*words(table, 1))
    assert "no subset has conflict ratio 0.01" in refused(*words(table, 0.01))
    message = "has 20 aligned and 0 conflicting training images, of which no subset has conflict ratio 0.1"
    assert message in refused(*words(write_table(tmp_path / "aligned.csv", 0), 0.1))
    message = "has no bias labels: give a CSV path,target,split,bias"
    assert message in refused(*words(write_table(tmp_path / "without.csv", 0, bias=False), 0.1))
    assert "has no split 'train'" in refused(*words(write_table(tmp_path / "test.csv", 8, split="test"), 0.1))
    holes = write_table(tmp_path / "holes.csv", 8)
    holes.write_text(holes.read_text().replace("3.png,b,train,a", "3.png,b,train,"))
    assert "has no bias label of 3.png in the split 'train'" in refused(*words(holes, 0.1))
    told = longcut(*words(table, 0.25))
    assert (told.code, told.out) == (0, "train: 16 images, 4 conflicting (25.00%)\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"images.csv", "build.json"}
    assert "everything was there already" in longcut(*words(table, 0.25)).err
    assert "made with conflict_ratio = '0.25', not '0.3'" in refused(*words(table, 0.3))
