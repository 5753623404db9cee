"""Folders and tables of images: sorted, complete, and every mistake named in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from folders import fill

from longcut.data.image_set import ImageSet, mask_path, read_images, splits_of, texture_path


def refusal(*args: object, **options: object) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        read_images(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def many(count: int) -> ImageSet:
    paths = tuple(f"{c}/{i:03}.png" for c in "ab" for i in range(count))
    return ImageSet(Path("root"), paths, np.repeat([0, 1], count), ("a", "b"))


def test_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, "dog/b.png", "dog/a.JPG", "cat/z.jpeg", "cat/deep/er/y.webp", "dog/10.tif", "dog/9.bmp")
    images = read_images(tmp_path)
    assert images.paths == ("cat/deep/er/y.webp", "cat/z.jpeg", "dog/10.tif", "dog/9.bmp", "dog/a.JPG", "dog/b.png")
    assert images.classes == ("cat", "dog")
    assert images.targets.tolist() == [0, 0, 1, 1, 1, 1]
    assert images.root == tmp_path
    assert len(images) == 6
    assert images.bias is images.masks is images.boxes is None
    assert splits_of(tmp_path) == ()


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "a/notes.txt", "a/.hidden.png", "a/Thumbs.db", "a/png", "a/x.png.part", "readme.md")
    fill(tmp_path, ".git/2.png", "a/.cache/3.png", "b/4.PNG", "loose.jpg")
    assert read_images(tmp_path).paths == ("a/1.png", "b/4.PNG")
    assert read_images(tmp_path).classes == ("a", "b")


def test_spaces_and_unicode(tmp_path: Path) -> None:
    fill(tmp_path, "wheeled vehicle/ein Bild.png", "Ünï/写真 1.jpg", "Ünï/é.png")
    images = read_images(tmp_path)
    assert images.classes == ("wheeled vehicle", "Ünï")
    assert images.paths == ("wheeled vehicle/ein Bild.png", "Ünï/é.png", "Ünï/写真 1.jpg")
    assert all((images.root / path).is_file() for path in images.paths)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """It could be written to no table and no page."""
    fill(tmp_path, "a/1.png", "b/é.png", "b/" + os.fsdecode(b"caf\xe9.png"))
    assert refusal(tmp_path) == rf"{tmp_path}: 1 name not in UTF-8, to be renamed: 'b/caf\udce9.png'"


def test_splits(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png", "val/b/5.png")
    assert splits_of(tmp_path) == ("train", "val")
    assert read_images(tmp_path, "val").paths == ("val/a/3.png", "val/b/4.png", "val/b/5.png")
    assert read_images(tmp_path, "val").targets.tolist() == [0, 1, 1]
    whole = read_images(tmp_path)
    assert whole.paths == ("train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png", "val/b/5.png")
    assert whole.targets.tolist() == [0, 1, 0, 1, 1]
    assert refusal(tmp_path, "test") == f"{tmp_path} has no split 'test': it has train, val"


def test_a_class_keeps_its_number_where_a_split_lacks_another(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "train/b/2.png", "val/b/4.png")
    whole = read_images(tmp_path)
    assert whole.classes == ("a", "b")
    assert whole.targets.tolist() == [0, 1, 1]


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    images = read_images(fill(tmp_path, "2.png", "1.png", "x.txt"))
    assert images.paths == ("1.png", "2.png")
    assert images.classes == ()
    assert images.targets.tolist() == [-1, -1]


def test_images_without_a_class_stay_without_one(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "train/b/2.png", "test/3.png")
    images = read_images(tmp_path, classes=("b", "a"))
    assert dict(zip(images.paths, images.targets.tolist(), strict=True)) == {
        "test/3.png": -1,
        "train/a/1.png": 1,
        "train/b/2.png": 0,
    }


def test_classes_can_be_held_to_an_order(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/2.png", "c/3.png")
    images = read_images(tmp_path, classes=("c", "a", "b"))
    assert images.classes == ("c", "a", "b")
    assert images.targets.tolist() == [1, 2, 0]


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "val/a/1.png", "val/new one/2.png")
    said = refusal(tmp_path, "val", classes=("a", "gone", "old"))
    assert said.endswith(
        f"classes of {tmp_path} (val) differ from those trained on: it adds new one and lacks gone, old"
    )
    assert refusal(tmp_path, classes=("a", "new one", "old")).endswith("trained on: it lacks old")
    assert refusal(tmp_path, classes=("a",)).endswith("trained on: it adds new one")


def test_nothing_there(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "holds no images (.bmp, .gif" in refusal(tmp_path)
    fill(tmp_path, "a/x.txt", "b/y.txt")
    assert refusal(tmp_path).startswith(f"{tmp_path} holds no images")


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/note.txt")
    assert refusal(tmp_path) == f"class folder {tmp_path / 'b'} holds no images: remove it or fill it"


@pytest.mark.parametrize("count", [1, 5, 19])
def test_a_limit_keeps_the_same_images_always(count: int) -> None:
    images = many(30)
    limited = images.limit_per_class(count)
    assert limited.paths == tuple(sorted(limited.paths))
    assert np.bincount(limited.targets).tolist() == [count, count]
    assert limited.paths == many(30).limit_per_class(count).paths
    assert set(limited.paths) < set(images.limit_per_class(count + 1).paths)
    assert limited.paths != tuple(p for i, p in enumerate(images.paths) if i % 30 < count)
    assert limited.classes == images.classes


def test_a_limit_above_the_number_keeps_all() -> None:
    assert many(4).limit_per_class(9).paths == many(4).paths


@pytest.mark.parametrize("positions", [np.array([5, 0, 3]), np.array([True, False, False, True, False, True])])
def test_a_selection_selects_everything(positions: np.ndarray) -> None:
    whole = many(3)
    masks, boxes, bias = tuple(Path(f"{i}") for i in range(6)), np.arange(24.0).reshape(6, 4), np.arange(6) * 2
    images = ImageSet(whole.root, whole.paths, whole.targets, whole.classes, bias, masks, boxes)
    chosen = images.select(positions)
    expected = [5, 0, 3] if positions.dtype != bool else [0, 3, 5]
    assert chosen.paths == tuple(images.paths[i] for i in expected)
    assert chosen.targets.tolist() == [int(i > 2) for i in expected]
    assert chosen.masks == tuple(Path(str(i)) for i in expected)
    assert chosen.bias is not None
    assert chosen.bias.tolist() == [2 * i for i in expected]
    assert chosen.boxes is not None
    assert chosen.boxes[:, 0].tolist() == [4 * i for i in expected]
    assert chosen.classes == images.classes


def test_masks_mirror_the_tree(tmp_path: Path) -> None:
    fill(tmp_path / "images", "a/1.JPEG", "a/two.dots.jpg", "b/3.png")
    fill(tmp_path / "masks", "a/1.png", "b/3.png")
    images = read_images(tmp_path / "images", masks=tmp_path / "masks")
    assert images.masks == tuple(tmp_path / "masks" / name for name in ("a/1.png", "a/two.dots.png", "b/3.png"))
    assert images.usable_masks().tolist() == [True, False, True]
    for path, mirrored in (
        ("x/y.z.png", "x/y.z.png"),
        ("x/y.jpg#3", "x/y.png"),
        ("train.npy#17", "train/17.png"),
        ("x/y.npy#3", "x/y/3.png"),
    ):
        assert (mask_path(Path("m"), path), texture_path(path)) == (Path("m", mirrored), mirrored)


def test_masks_that_are_not_there_are_refused(tmp_path: Path) -> None:
    root = fill(tmp_path / "images", "a/1.jpg", "b/2.jpg")
    assert "is no folder of masks; make one with 'longcut data segment" in refusal(root, masks=tmp_path / "masks")
    fill(tmp_path / "masks", "1.png")
    expected = f"{tmp_path / 'masks' / 'a' / '1.png'} was expected"
    assert expected in refusal(root, masks=tmp_path / "masks")
    with pytest.raises(ValueError, match=r"no masks for the images in .*longcut data segment"):
        read_images(root).usable_masks()


def test_boxes(tmp_path: Path) -> None:
    root = fill(tmp_path / "images", "a/1.jpg", "a/2.jpg")
    table = tmp_path / "boxes.csv"
    table.write_text("file,x1,y1,x2,y2\na/2.jpg,1,2,3.5,4\nelsewhere.jpg,0,0,1,1\n")
    boxes = read_images(root, boxes=table).boxes
    assert boxes is not None
    assert np.isnan(boxes[0]).all()
    assert boxes[1].tolist() == [1, 2, 3.5, 4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,x1,y1,x2,y2\n1.jpg,0,0,1,1\n", "names none of the images in"),
        ("file,x1,y1,x2\na/1.jpg,0,0,1\n", "lacks the column 'y2'"),
        ("file,x1,y1,x2,y2\na/1.jpg,0,zero,1,1\n", "line 2: x1,y1,x2,y2 are not four numbers"),
        ("file,x1,y1,x2,y2\na/1.jpg,0\n", "line 2: x1,y1,x2,y2 are not four numbers"),
    ],
)
def test_broken_boxes_are_named(tmp_path: Path, text: str, says: str) -> None:
    root = fill(tmp_path / "images", "a/1.jpg")
    (tmp_path / "boxes.csv").write_text(text)
    said = refusal(root, boxes=tmp_path / "boxes.csv")
    assert says in said
    assert str(tmp_path / "boxes.csv") in said


def test_boxes_that_are_not_there(tmp_path: Path) -> None:
    assert "none.csv does not exist" in refusal(fill(tmp_path, "a/1.jpg"), boxes=tmp_path / "none.csv")


def test_a_table(tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    table.write_text(
        "\ufeffpath,target,split,bias,mask,x1,y1,x2,y2\n"
        "b.png,bird,train,water,m/b.png,1,2,3,4\n"
        "a b.png,fish,val,land,,,,,\n"
        "é.png,bird,,,,,,,\n",
        encoding="utf-8",
    )
    whole = read_images(table)
    assert whole.root == tmp_path
    assert whole.paths == ("a b.png", "b.png", "é.png")
    assert whole.classes == ("bird", "fish")
    assert whole.targets.tolist() == [1, 0, 0]
    assert whole.bias is not None
    assert whole.bias.tolist() == [0, 1, -1]
    assert whole.masks is not None
    assert whole.masks[1] == tmp_path / "m" / "b.png"
    assert not whole.usable_masks().any()
    assert whole.boxes is not None
    assert whole.boxes[1].tolist() == [1, 2, 3, 4]
    assert np.isnan(whole.boxes[[0, 2]]).all()
    assert splits_of(table) == ("train", "val")


def test_splits_of_a_table_share_classes_and_rows_without_one(tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    table.write_text("path,target,split,bias\n1.png,x,train,u\n2.png,y,val,v\n3.png,y,,u\n")
    train, val = read_images(table, "train"), read_images(table, "val")
    assert (train.paths, val.paths) == (("1.png", "3.png"), ("2.png", "3.png"))
    assert train.classes == val.classes == ("x", "y")
    assert (train.targets.tolist(), val.targets.tolist()) == ([0, 1], [1, 1])
    assert train.bias is not None
    assert val.bias is not None
    assert (train.bias.tolist(), val.bias.tolist()) == ([0, 0], [1, 0])
    table.write_text("path,target,split\n1.png,x,train\n")
    assert refusal(table, "val") == f"{table} has no split 'val': it has train"


def test_a_set_without_splits_has_not_the_one_that_is_named(tmp_path: Path) -> None:
    told = "has no split 'val': it has no splits; name none, and all of its images are taken"
    table = tmp_path / "images.csv"
    table.write_text("path,target\n1.png,x\n")
    for root in (fill(tmp_path / "classes", "cat/1.png", "dog/2.png"), fill(tmp_path / "flat", "1.png"), table):
        assert splits_of(root) == ()
        assert refusal(root, "val") == f"{root} {told}"
        assert refusal(root, "val", labelled=False) == f"{root} {told}"


def test_numbers_as_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    table.write_text("path,target\na.png,10\nb.png,9\nc.png,0\n")
    images = read_images(table)
    assert images.classes == ("0", "9", "10")
    assert images.targets.tolist() == [2, 1, 0]
    assert images.bias is images.masks is images.boxes is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"path,label\na.png,1\n", "lacks the column 'target'"),
        (b"", "lacks the column 'path'"),
        (b"path,target\na.png,\n", "line 2: target is empty"),
        (b"path,target\n,x\n", "line 2: path is empty"),
        (b"path,target\n\xff\xfe.png,x\n", "is no CSV in UTF-8"),
        (b"path,target,x1,y1,x2,y2\na.png,x,1,2,3,\n", "line 2: x1,y1,x2,y2 are not four numbers"),
    ],
)
def test_broken_tables_are_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "images.csv").write_bytes(content)
    said = refusal(tmp_path / "images.csv")
    assert says in said
    assert str(tmp_path / "images.csv") in said


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("path,target\n")
    assert refusal(tmp_path / "images.csv") == f"{tmp_path / 'images.csv'} has no rows"
