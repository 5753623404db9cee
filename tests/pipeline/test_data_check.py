"""`longcut data check`: what is in a set is counted, and what is wrong with it is found, each by itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Longcut, Refused
from made_images import write_images, write_masks
from PIL import Image

from longcut.data.check_text import check_text, problems_of
from longcut.data.checking import Findings, check_set
from longcut.data.layouts import LayoutOptions

pytestmark = pytest.mark.usefixtures("one_process")

FINE = "- nothing is wrong with it"


def paint(root: Path, *files: str, side: int = 8) -> Path:
    """Images of which no two are alike."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        seed = [*f"{root}/{file}".encode()]
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side + 2, 3), np.uint8)).save(root / file)
    return root


def biased(root: Path, *extra: str) -> Path:
    """A sound set of two classes; the test split has every group."""
    paint(root, "align/0/1_0_0.png", "align/0/2_0_0.png", "align/0/8_0_0.png", "align/1/3_1_1.png", "align/1/9_1_1.png")
    paint(root, "conflict/0/4_0_1.png", "conflict/1/5_1_0.png", "valid/6_0_0.png", "valid/7_1_1.png")
    return paint(root, *(f"test/{t}{b}_{t}_{b}.png" for t in (0, 1) for b in (0, 1)), *extra)


def problem(root: Path, **options: object) -> str:
    found = problems_of(check_set(root, **options))
    assert len(found) == 1, found
    return found[0]


def test_a_sound_set(tmp_path: Path, longcut: Longcut) -> None:
    root = biased(tmp_path / "set")
    paint(root, "test/large_1_1.png", side=32)
    told = longcut("data", "check", root)
    assert told.code == 0
    assert told.out.splitlines() == [
        f"{root}: align and conflict, 14 images",
        "",
        "                 train    val    test",
        "images               7      2       5",
        "0            0       3      1       1",
        "0            1       1      0       1",
        "1            0       1      0       1",
        "1            1       2      1       2",
        "conflicting     28.57%  0.00%  40.00%",
        "",
        "pixels: height 8 to 32, median 8; width 10 to 34, median 10",
        "",
        FINE,
    ]


def test_everything_as_json(tmp_path: Path, longcut: Longcut) -> None:
    root = biased(tmp_path)
    (root / "align/1/3_1_1.png").write_bytes(b"nothing")
    told = longcut("data", "check", root, "--json")
    assert told.code == 0
    found = json.loads(told.out)
    assert found["layout"] == "align and conflict"
    assert found["images"] == 13
    assert found["splits"]["train"] == {
        "images": 7,
        "classes": [4, 3],
        "groups": [[3, 1], [1, 2]],
        "conflicting": 2 / 7,
        "without_bias": 0,
    }
    assert found["paired"] is True
    assert found["height"] == [8, 8, 8]
    assert found["broken"] == [["align/1/3_1_1.png", "it holds no image of a known format"]]
    assert len(found["problems"]) == 1


def test_broken_files_are_listed(tmp_path: Path, longcut: Longcut) -> None:
    root = biased(tmp_path)
    cut = root / "align/0/x_0_0.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    (root / "test/empty_0_1.png").touch()
    for name in ("u", "v"):
        (root / f"test/{name}_0_1.png").write_text("no image")
    told = longcut("data", "check", root)
    assert told.code == 0
    assert told.out.splitlines()[-1] == (
        "- 4 images cannot be read: align/0/x_0_0.jpg (the file is cut short), test/empty_0_1.png (the file is empty), "
        "test/u_0_1.png (it holds no image of a known format), ..."
    )


def test_a_listed_image_that_is_missing(tmp_path: Path) -> None:
    paint(tmp_path, "1.png", "2.png")
    (tmp_path / "images.csv").write_text("path,target\n1.png,a\n2.png,b\n3.png,b\n")
    assert problem(tmp_path) == "1 image cannot be read: 3.png (No such file or directory)"


def test_duplicates_across_splits(tmp_path: Path) -> None:
    root = biased(tmp_path)
    shutil.copy(root / "align/0/1_0_0.png", root / "align/0/again_0_0.png")
    assert problems_of(check_set(root)) == [], "twice in one split is no leak"
    shutil.copy(root / "align/0/1_0_0.png", root / "test/a_0_0.png")
    assert problem(root) == "1 file in more than one split: align/0/1_0_0.png = test/a_0_0.png"
    for place, name in enumerate(("2_0_0", "8_0_0", "again_0_0")):
        shutil.copy(root / f"align/0/{name}.png", root / f"valid/{place}_0_0.png")
    found = check_set(root)
    assert found.num_duplicates == 3
    assert found.duplicates == (
        ("align/0/2_0_0.png", "valid/0_0_0.png"),
        ("align/0/8_0_0.png", "valid/1_0_0.png"),
        ("align/0/1_0_0.png", "valid/2_0_0.png"),
    ), "the training image first"
    shutil.copy(root / "align/1/9_1_1.png", root / "test/b_1_1.png")
    said = problem(root)
    assert said.startswith("4 files in more than one split: align/0/2_0_0.png = valid/0_0_0.png; ")
    assert said.endswith("align/0/1_0_0.png = valid/2_0_0.png, ...")


def test_rows_of_arrays_are_compared_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    np.save(tmp_path / "train.npy", pixels[:4])
    np.save(tmp_path / "test.npy", pixels[3:])
    rows = [f"train.npy#{i},{i % 2},train,{i % 2 if i < 3 else 0}" for i in range(4)]
    rows += [f"test.npy#{i},{i % 2},test,{i % 2}" for i in range(3)]
    (tmp_path / "images.csv").write_text("\n".join(["path,target,split,bias", *rows]))
    found = check_set(tmp_path)
    assert found.layout == "table of images"
    assert (found.num_duplicates, found.duplicates) == (1, (("train.npy#3", "test.npy#0"),))
    assert found.height == (8, 8, 8)
    (tmp_path / "images.csv").write_text("\n".join(["path,target,split,bias", *rows, "train.npy#4,1,train,1"]))
    assert [fault.path for fault in check_set(tmp_path).broken] == ["train.npy#4"]


def test_classes_without_conflicting_images(tmp_path: Path) -> None:
    root = biased(tmp_path)
    (root / "conflict/1/5_1_0.png").unlink()
    assert problem(root) == "no bias-conflicting training image of 1"


def test_groups_that_are_not_tested(tmp_path: Path) -> None:
    root = biased(tmp_path)
    (root / "test/10_1_0.png").unlink()
    assert problem(root) == "test has no image of 1 group: 1 with 0"


def test_classes_that_a_split_lacks(tmp_path: Path) -> None:
    root = paint(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png")
    assert problem(root) == "test has no image of b"


def test_a_bias_that_goes_with_another_class(tmp_path: Path) -> None:
    paint(tmp_path, *(f"{i}.png" for i in range(6)))
    pairs = ["cow,sand", "cow,sand", "cow,grass", "camel,grass", "camel,grass", "camel,sand"]
    (tmp_path / "images.csv").write_text(
        "path,target,split,bias\n"
        + "".join(f"{i}.png,{pair.replace(',', ',train,')}\n" for i, pair in enumerate(pairs))
    )
    assert problems_of(check_set(tmp_path)) == []
    swapped = (tmp_path / "images.csv").read_text().replace("sand", "x").replace("grass", "sand").replace("x", "grass")
    (tmp_path / "images.csv").write_text(swapped)
    assert problem(tmp_path) == (
        "the most frequent bias of a class is another than the one it goes with: camel has sand, not grass, "
        "cow has grass, not sand"
    )
    (tmp_path / "images.csv").write_text(swapped.replace("cow,train,sand", "cow,train,snow"))
    assert "biases do not go with classes" in problem(tmp_path)
    assert check_set(tmp_path).splits["train"].conflicting is None


def test_labels_that_contradict_their_folders(tmp_path: Path) -> None:
    root = biased(tmp_path)
    (root / "align/0/2_0_0.png").rename(root / "align/0/2_0_1.png")
    assert problem(root) == "1 image in the wrong one of align and conflict, by their labels: align/0/2_0_1.png"
    (root / "align/0/2_0_1.png").rename(root / "align/1/2_0_0.png")
    assert problem(root) == "1 image in the folder of another class than their labels say: align/1/2_0_0.png"


def test_labels_that_are_lacking(tmp_path: Path) -> None:
    paint(tmp_path, *(f"{i}.png" for i in range(5)))
    rows = ["0.png,a,train,a", "1.png,a,train,b", "2.png,b,train,b", "3.png,b,train,a", "4.png,b,train,"]
    (tmp_path / "images.csv").write_text("\n".join(["path,target,split,bias", *rows]))
    assert problem(tmp_path) == "1 image of train without a bias label"
    (tmp_path / "images.csv").write_text("\n".join(["path,target,split,bias", *rows[:4], "4.png,b,,b"]))
    assert problem(tmp_path) == "1 image without a split, read with every one"


def test_images_beside_class_folders(tmp_path: Path) -> None:
    flat = paint(tmp_path / "flat", "a/1.png", "b/2.png", "4.jpg", "3.png", ".5.png")
    assert problem(flat) == "2 images beside the class folders, of no class: 3.png, 4.jpg"
    splits = paint(tmp_path / "splits", "1.png", "train/2.png", "train/a/3.png", "train/b/4.png")
    assert problem(splits) == "2 images beside the class folders, of no class: 1.png, train/2.png"
    unlabelled = paint(tmp_path / "unlabelled", "1.png", "2.png")
    assert problems_of(check_set(unlabelled)) == []
    paint(tmp_path / "listed", "a/1.png", "b/2.png", "3.png")
    (tmp_path / "listed" / "images.csv").write_text("path,target\na/1.png,a\nb/2.png,b\n")
    assert problems_of(check_set(tmp_path / "listed")) == []


def test_labels_that_cannot_be_read_are_a_finding(tmp_path: Path, longcut: Longcut) -> None:
    root = biased(tmp_path, "test/unknown.png")
    told = longcut("data", "check", root)
    assert told.code == 0
    assert told.out.splitlines()[-1] == f"- {root}: 1 name not of the form <id>_<target>_<bias>: test/unknown.png"
    assert json.loads(longcut("data", "check", root, "--json").out)["labels_fault"].endswith("test/unknown.png")
    (root / "metadata.csv").write_text("img_filename,y,split,place\na.jpg,4,0,0\n")
    assert "y is '4'" in longcut("data", "check", root).out
    (tmp_path / "french").mkdir()
    (tmp_path / "french" / os.fsdecode(b"caf\xe9.png")).touch()
    assert "1 name not in UTF-8, to be renamed: 'caf\\udce9.png'" in longcut("data", "check", tmp_path / "french").out


def test_masks(tmp_path: Path, longcut: Longcut) -> None:
    root, masks = write_images(tmp_path / "images", count=2), write_masks(tmp_path / "masks", count=2)
    assert longcut("data", "check", root, "--masks", masks).out.splitlines()[-1] == FINE
    (masks / "bird/0.png").unlink()
    (masks / "cat/1.png").write_bytes(b"")
    Image.new("L", (5, 7)).save(masks / "dog/0.png")
    assert longcut("data", "check", root, "--masks", masks).out.splitlines()[-1] == (
        "- 3 images without a mask that fits: bird/0.png (it has no mask), cat/1.png (its mask is broken: the file is "
        "empty), dog/0.png (its mask is 5x7, the image 36x36)"
    )


def test_masks_without_a_foreground(tmp_path: Path, longcut: Longcut) -> None:
    root, masks = write_images(tmp_path / "images", count=1), write_masks(tmp_path / "masks", count=1)
    Image.new("L", (36, 36)).save(masks / "bird/0.png")
    Image.new("L", (36, 36), 1).save(masks / "dog/0.png")
    assert longcut("data", "check", root, "--masks", masks).out.splitlines()[-2:] == [
        "- 1 image without a mask that fits: dog/0.png (its mask holds values up to 1: foreground is 128 to 255)",
        "- 1 image with an empty mask: bird/0.png",
    ]


def test_severities_and_attributes_are_options(tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    for severity in ("1pct", "5pct"):
        biased(tmp_path / severity)
    assert "holds the severities 1pct, 5pct" in refused("data", "check", tmp_path)
    assert longcut("data", "check", tmp_path, "--severity", "5").out.splitlines()[-1] == FINE
    assert check_set(tmp_path, LayoutOptions(severity="1")).images == 13
    assert "have no target to choose" in refused("data", "check", tmp_path, "--target", "Male")


def test_wrong_paths(tmp_path: Path, refused: Refused) -> None:
    assert "nowhere does not exist" in refused("data", "check", tmp_path / "nowhere")
    assert "holds no images" in refused("data", "check", tmp_path)
    assert "is no folder of masks" in refused("data", "check", biased(tmp_path), "--masks", tmp_path / "nowhere")


def test_large_tables_are_summed_up(tmp_path: Path) -> None:
    ten = paint(
        tmp_path / "ten",
        *(
            f"{part}/{t}/{t}_{t}_{(t + (part != 'align')) % 10}.png"
            for t in range(10)
            for part in ("align", "conflict")
        ),
    )
    lines = check_text(check_set(ten)).splitlines()
    assert lines[4:6] == ["0            aligned           1", "0            conflicting       1"]
    assert len(lines) == 2 + 2 + 20 + 1 + 4
    many = paint(tmp_path / "many", *(f"{t}/1.png" for t in range(41)), "7/2.png", "7/3.png")
    lines = check_text(check_set(many)).splitlines()
    assert lines[2:6] == [
        "                      all",
        "images                 43",
        "41 classes  smallest    1",
        "41 classes  largest     3",
    ]
    none = paint(tmp_path / "flat", "1.png", "2.png")
    assert check_text(check_set(none)).splitlines()[2:4] == ["        all", "images    2"]


def test_a_pool_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = biased(tmp_path)
    (root / "test/empty_0_1.png").touch()
    alone = check_set(root)
    monkeypatch.setattr("longcut.data.check_images._FEW", 0)
    assert check_set(root, workers=2) == alone


def test_photographs(longcut: Longcut) -> None:
    folder = Path(os.environ.get("LONGCUT_DATA") or "nowhere") / "bar_224"
    if not folder.is_dir():
        pytest.skip("LONGCUT_DATA names no folder with bar_224")
    lines = longcut("data", "check", folder).out.splitlines()
    assert lines[0] == f"{folder}: class folders, 2595 images"
    assert lines[-1] == FINE


def test_findings_start_empty() -> None:
    assert check_text(Findings("root", "class folders", labels_fault="why")) == "root: class folders\n\n- why"
