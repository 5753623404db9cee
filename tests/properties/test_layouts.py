"""Published layouts: each is recognised, its splits and labels are those that its authors mean, mistakes are named."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from folders import fill

from longcut.data import tables
from longcut.data.destination import check_outside
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.layouts import LAYOUTS, LayoutOptions, find_layout
from longcut.data.tables import LabelError

SEVERE = LayoutOptions(severity="1pct")


def told(images: ImageSet) -> dict[str, tuple[str, str]]:
    """Names of class and bias by path."""
    assert images.bias is not None
    names = [images.bias_names[b] if b >= 0 else "" for b in images.bias]
    return {p: (images.classes[t], b) for p, t, b in zip(images.paths, images.targets, names, strict=True)}


def aligned(images: ImageSet) -> dict[str, bool]:
    assert images.bias is not None
    return dict(zip(images.paths, (images.bias == images.targets).tolist(), strict=True))


def layout_of(root: Path) -> str | None:
    found = find_layout(root)
    return None if found is None else found.name


def refusal(*args: object, **options: object) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        read_images(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# Waterbirds


def write_waterbirds(root: Path, *rows: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    listed = "\n".join(f"{i},{row},/x.jpg" for i, row in enumerate(rows))
    (root / "metadata.csv").write_text(f"img_id,img_filename,y,split,place,place_filename\n{listed}\n")
    return root


BIRDS = ("b/2.jpg,0,0,0", "a/1.jpg,1,0,0", "c/3.jpg,1,1,1", "d/4.jpg,0,2,1")


@pytest.mark.parametrize("folder", ["", "images"])
def test_waterbirds(tmp_path: Path, folder: str) -> None:
    root = write_waterbirds(tmp_path / "birds", *BIRDS)
    fill(root / folder, "a/1.jpg", "b/2.jpg", "c/3.jpg", "d/4.jpg")
    assert layout_of(root) == layout_of(root / "metadata.csv") == "Waterbirds"
    assert splits_of(root) == splits_of(root / "metadata.csv") == ("test", "train", "val")
    for given in (root, root / "metadata.csv"):
        train = read_images(given, "train")
        assert train.root == root / folder
        assert told(train) == {"a/1.jpg": ("waterbird", "land"), "b/2.jpg": ("landbird", "land")}
        assert aligned(train) == {"a/1.jpg": False, "b/2.jpg": True}
        assert told(read_images(given, "valid")) == {"c/3.jpg": ("waterbird", "water")}
        assert told(read_images(given, "test")) == {"d/4.jpg": ("landbird", "water")}
        assert read_images(given).group_counts() == ((1, 1), (1, 1))
        assert train.classes == ("landbird", "waterbird")
        assert train.bias_names == ("land", "water")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("e.jpg,2,0,0", "line 3: y is '2', which is none of 0 (landbird), 1 (waterbird)"),
        ("e.jpg,1,3,0", "line 3: split is '3', which is none of 0 (train), 1 (val), 2 (test)"),
        ("e.jpg,1,0,sea", "line 3: place is 'sea', which is none of 0 (land), 1 (water)"),
    ],
)
def test_other_numbers_in_waterbirds_are_named(tmp_path: Path, row: str, says: str) -> None:
    root = write_waterbirds(tmp_path, "a.jpg,0,0,0", row)
    assert refusal(root).endswith(says)
    assert str(root / "metadata.csv") in refusal(root)


def test_waterbirds_without_rows(tmp_path: Path) -> None:
    write_waterbirds(tmp_path)
    (tmp_path / "metadata.csv").write_text("img_filename,y,place,split\n")
    assert refusal(tmp_path) == f"{tmp_path / 'metadata.csv'} has no rows"


# align and conflict


def write_cmnist(root: Path, severity: str = "1pct", *, valid: str = "valid/", test: str = "test/{t}/") -> Path:
    """Colored MNIST as published: `valid` is flat inside the severity's folder, `test` beside it in class folders."""
    fill(root / severity, "align/0/1_0_0.png", "align/0/2_0_0.png", "align/1/3_1_1.png", "align/7/8_7_7.png")
    fill(root / severity, "conflict/0/4_0_7.png", "conflict/1/5_1_0.png")
    fill(root / severity, *(f"{valid}{i}_{t}_{b}.png" for i, (t, b) in enumerate([(0, 0), (1, 7)])))
    return fill(root, *(test.format(t=t) + f"{i}_{t}_{b}.png" for i, (t, b) in enumerate([(7, 1), (1, 1)])))


def test_colored_mnist(tmp_path: Path) -> None:
    root = write_cmnist(tmp_path / "cmnist") / "1pct"
    assert layout_of(root) == "align and conflict"
    assert splits_of(root) == ("test", "train", "val")
    train = read_images(root, "train")
    assert train.classes == train.bias_names == ("0", "1", "7")
    assert {path: "/align/" in path for path in train.paths} == aligned(train)
    assert told(train)["1pct/conflict/0/4_0_7.png"] == ("0", "7")
    assert all((train.root / path).is_file() for path in train.paths)
    assert train.group_counts() == ((2, 0, 1), (1, 1, 0), (0, 0, 1))
    assert told(read_images(root, "valid")) == {
        "1pct/valid/0_0_0.png": ("0", "0"),
        "1pct/valid/1_1_7.png": ("1", "7"),
    }
    assert told(read_images(root, "test")) == {"test/1/1_1_1.png": ("1", "1"), "test/7/0_7_1.png": ("7", "1")}


def test_validation_and_test_images_lie_nested_or_flat_inside_or_beside(tmp_path: Path) -> None:
    cifar = write_cmnist(tmp_path / "cifar10c", valid="valid/0/")
    assert len(read_images(cifar / "1pct", "val")) == 2
    bffhq = write_cmnist(tmp_path / "bffhq", valid="../valid/", test="test/")
    assert sorted(told(read_images(bffhq / "1pct", "val"))) == ["valid/0_0_0.png", "valid/1_1_7.png"]
    assert sorted(told(read_images(bffhq / "1pct", "test"))) == ["test/0_7_1.png", "test/1_1_1.png"]
    fill(bffhq, "1pct/test/9_1_7.png")
    assert read_images(bffhq / "1pct", "test").paths == ("1pct/test/9_1_7.png",)


def test_a_folder_that_is_called_after_no_severity_looks_beside_itself_for_nothing(tmp_path: Path) -> None:
    fill(tmp_path, "set/align/0/1_0_0.png", "set/conflict/1/2_1_0.png", "test/other_0_0.png")
    assert splits_of(tmp_path / "set") == ("train",)
    assert refusal(tmp_path / "set", "test") == f"{tmp_path / 'set'} has no split 'test': it has train"


def test_severities_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_cmnist(tmp_path)
    assert len(read_images(root, "train")) == 6  # the only one
    fill(write_cmnist(root, "0.5pct"), "0.5pct/align/7/9_7_7.png")
    said = refusal(root, "train")
    assert said.startswith(f"{root} holds the severities 0.5pct, 1pct: choose one with data.severity=0.5pct or --sev")
    for given in ("0.5pct", "0.5", " 0.5% "):
        assert len(read_images(root, "train", options=LayoutOptions(severity=given))) == 7
    chosen = read_images(root, "train", options=SEVERE)
    assert told(chosen) == told(read_images(root / "1pct", "train"))
    assert refusal(root, options=LayoutOptions(severity="2")) == f"{root} has no severity '2': it holds 0.5pct, 1pct"
    assert "has no severity '5pct'" in refusal(root / "1pct", options=LayoutOptions(severity="5pct"))
    assert len(read_images(root / "1pct", "train", options=SEVERE)) == 6
    monkeypatch.chdir(root / "1pct")
    assert read_images(Path(), "train").paths == chosen.paths


def test_names_that_tell_no_labels_are_listed(tmp_path: Path) -> None:
    root = fill(write_cmnist(tmp_path), "1pct/align/0/a.png", "1pct/align/0/b_1.png", "test/0/_0_.png")
    assert refusal(root) == (
        f"{root}: 3 names not of the form <id>_<target>_<bias>: "
        "1pct/align/0/a.png, 1pct/align/0/b_1.png, test/0/_0_.png"
    )
    fill(root, "1pct/valid/c.png")
    assert refusal(root).endswith(": 1pct/align/0/a.png, 1pct/align/0/b_1.png, 1pct/valid/c.png, ...")


def test_targets_beyond_the_classes_are_listed(tmp_path: Path) -> None:
    root = fill(write_cmnist(tmp_path), "test/3/6_3_0.png")
    says = "1 name with a target that is none of the classes 0, 1, 7: test/3/6_3_0.png"
    assert refusal(root) == f"{root}: {says}"
    with pytest.raises(LabelError):
        read_images(root, "train")


def test_numbers_in_names_are_places_of_classes_that_are_words(tmp_path: Path) -> None:
    fill(tmp_path, "align/cat/1_0_0.jpg", "align/dog/2_1_1.jpg", "conflict/dog/3_1_0.jpg", "test/cat/4_cat_1.jpg")
    train = read_images(tmp_path, "train")
    assert train.classes == ("cat", "dog")
    assert train.bias_names == ("0", "1")
    assert {path: path.startswith("align") for path in train.paths} == aligned(train)
    assert told(read_images(tmp_path, "test")) == {"test/cat/4_cat_1.jpg": ("cat", "1")}


def test_biases_that_are_called_otherwise_keep_their_names(tmp_path: Path) -> None:
    fill(tmp_path, "align/cat/1_cat_bright.jpg", "conflict/cat/2_cat_dark.jpg", "align/dog/3_dog_dark.jpg")
    images = read_images(tmp_path)
    assert images.bias_names == ("bright", "dark")
    assert told(images)["conflict/cat/2_cat_dark.jpg"] == ("cat", "dark")


def test_empty_parts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "align").mkdir()
    (tmp_path / "conflict").mkdir()
    assert refusal(tmp_path).startswith(f"{tmp_path} holds no images (.bmp")


# BAR


def write_bar(root: Path) -> Path:
    """As BiasEnsemble's authors give it; the last field of a name is a number and no bias."""
    for number in range(3):
        fill(root, f"train/align/{number}/a_{number}_{30 + number}.jpg", f"test/{number}/t_{number}_0.jpg")
    fill(root, "train/conflict/1pct/2/c_2_77.jpg", "train/conflict/5pct/0/c_0_3.jpg", "train/conflict/5pct/2/d_2_9.jpg")
    return fill(root, "valid/1/v_1_2.jpg")


def test_bar_with_severities(tmp_path: Path) -> None:
    root = write_bar(tmp_path)
    assert layout_of(root) == "BAR with severities"
    assert f"{root / 'train' / 'conflict'} holds the severities 1pct, 5pct" in refusal(root)
    train = read_images(root, "train", options=SEVERE)
    assert told(train) == {
        "train/align/0/a_0_30.jpg": ("0", "0"),
        "train/align/1/a_1_31.jpg": ("1", "1"),
        "train/align/2/a_2_32.jpg": ("2", "2"),
        "train/conflict/1pct/2/c_2_77.jpg": ("2", "0"),  # the next class's, as its authors have it
    }
    five = read_images(root, "train", options=LayoutOptions(severity="5"))
    assert [path for path, fits in aligned(five).items() if not fits] == [
        "train/conflict/5pct/0/c_0_3.jpg",
        "train/conflict/5pct/2/d_2_9.jpg",
    ]
    assert told(five)["train/conflict/5pct/0/c_0_3.jpg"] == ("0", "1")
    for split, count in (("val", 1), ("test", 3)):
        other = read_images(root, split, options=SEVERE)
        assert len(other) == count
        assert other.bias is None
        assert other.bias_names == other.group_counts() == ()
    fill(root, "test/9/x.jpg")
    assert refusal(root, options=SEVERE).endswith("1 image in no folder of the classes 0, 1, 2: test/9/x.jpg")


def test_bar_as_published(tmp_path: Path) -> None:
    root = fill(tmp_path, "train/climbing_2.jpg", "train/pole vaulting_10.jpg", "test/climbing_3.jpg", "metadata.json")
    assert layout_of(root) == "BAR"
    assert splits_of(root) == ("test", "train")
    train = read_images(root, "train")
    assert train.classes == ("climbing", "pole vaulting")
    assert dict(zip(train.paths, train.targets.tolist(), strict=True)) == {
        "train/climbing_2.jpg": 0,
        "train/pole vaulting_10.jpg": 1,
    }
    assert train.bias is None
    assert read_images(root, "test").paths == ("test/climbing_3.jpg",)
    fill(root, "test/diving.jpg")
    assert refusal(root) == f"{root}: 1 name not of the form <action>_<number>: test/diving.jpg"


def test_other_flat_splits_stay_without_classes(tmp_path: Path) -> None:
    images = read_images(fill(tmp_path, "train/cat_1.jpg", "train/dog_2.jpg"), "train")
    assert images.classes == ()
    assert layout_of(tmp_path) is None


# LfF's arrays


def write_arrays(root: Path, split: str, labels: list[list[int]], count: int | None = None) -> Path:
    (root / split).mkdir(parents=True, exist_ok=True)
    np.save(root / split / "images.npy", np.zeros((len(labels) if count is None else count, 4, 4, 3), np.uint8))
    np.save(root / split / "attrs.npy", np.array(labels))
    return root


class Explosive:
    """Fails the test where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was opened",)


def test_arrays_of_lff(tmp_path: Path) -> None:
    write_arrays(tmp_path, "train", [[i % 3, 0 if i == 7 else i % 3] for i in range(12)])
    write_arrays(tmp_path, "valid", [[0, 2], [2, 2]])
    (tmp_path / "attr_names.pkl").write_bytes(pickle.dumps(Explosive()))
    assert layout_of(tmp_path) == "LfF's arrays"
    assert splits_of(tmp_path) == ("train", "val")
    train = read_images(tmp_path, "train")
    assert train.paths == tuple(f"train/images.npy#{i}" for i in range(12))
    assert train.classes == train.bias_names == ("0", "1", "2")
    assert train.targets.tolist() == [i % 3 for i in range(12)]
    assert [path for path, fits in aligned(train).items() if not fits] == ["train/images.npy#7"]
    assert told(read_images(tmp_path, "valid")) == {
        "valid/images.npy#0": ("0", "2"),
        "valid/images.npy#1": ("2", "2"),
    }


def test_broken_arrays_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    write_arrays(tmp_path, "train", [[0, 0], [1, 1]], count=3)
    assert refusal(tmp_path) == f"{folder} holds 3 images in images.npy and labels of 2 in attrs.npy"
    write_arrays(tmp_path, "train", [[0], [1]])
    assert f"{folder / 'attrs.npy'} holds int64 of the shape (2, 1)" in refusal(tmp_path)
    write_arrays(tmp_path, "train", [[0, 0], [1, -1]])
    assert refusal(tmp_path) == f"{folder / 'attrs.npy'} holds negative labels"
    np.save(folder / "attrs.npy", np.array([[Explosive(), 0]] * 2, object), allow_pickle=True)
    assert f"{folder} holds a broken array" in refusal(tmp_path)
    (folder / "attrs.npy").write_bytes(b"")
    assert f"{folder} holds a broken array" in refusal(tmp_path)
    write_arrays(tmp_path, "train", [[0, 0]])
    (folder / "images.npy").write_bytes(b"no array")
    assert f"{folder} holds a broken array" in refusal(tmp_path)


# CelebA

FACES = {
    # name: (Blond_Hair, Male, Smiling, split)
    "000001.jpg": (1, -1, 1, 0),
    "000002.jpg": (-1, 1, 1, 0),
    "000003.jpg": (-1, 1, 1, 0),
    "000004.jpg": (-1, -1, -1, 0),
    "000005.jpg": (1, 1, 1, 1),
    "000006.jpg": (1, -1, -1, 2),
}


def write_celeba(root: Path, form: str) -> Path:
    names, extra = ("Blond_Hair", "Male", "Smiling"), {"txt": ("Anno", "Eval"), "csv": ("", "")}[form]
    join = "  ".join if form == "txt" else ",".join
    attributes = [join([name, *(str(value) for value in face[:3])]) for name, face in FACES.items()]
    partition = [join([name, str(face[3])]) for name, face in FACES.items()]
    heads = [str(len(FACES)), " ".join(names)] if form == "txt" else [join(["image_id", *names])]
    for folder, stem, lines in (
        (extra[0], "list_attr_celeba", [*heads, *attributes]),
        (extra[1], "list_eval_partition", [*(["image_id,partition"] if form == "csv" else []), *partition]),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{stem}.{form}").write_text("\n".join(lines) + "\n")
    fill(root / ("img_align_celeba" if form == "csv" else "Img/img_align_celeba"), *FACES)
    return root


@pytest.mark.parametrize("form", ["txt", "csv"])
def test_celeba(tmp_path: Path, form: str) -> None:
    root = write_celeba(tmp_path, form)
    assert layout_of(root) == "CelebA"
    train = read_images(root, "train")
    assert train.classes == ("not Blond_Hair", "Blond_Hair")
    assert train.bias_names == ("Male", "not Male"), "dark hair goes with men in most training images"
    assert told(train)["000001.jpg"] == ("Blond_Hair", "not Male")
    assert aligned(train) == {"000001.jpg": True, "000002.jpg": True, "000003.jpg": True, "000004.jpg": False}
    assert aligned(read_images(root, "val")) == {"000005.jpg": False}
    assert told(read_images(root, "test")) == {"000006.jpg": ("Blond_Hair", "not Male")}
    assert all((train.root / path).is_file() for path in train.paths)


@pytest.mark.parametrize("form", ["txt", "csv"])
def test_attributes_of_celeba_are_chosen(tmp_path: Path, form: str) -> None:
    root = write_celeba(tmp_path, form)
    train = read_images(root, "train", options=LayoutOptions(target="Male", bias="Smiling"))
    assert train.classes == ("not Male", "Male")
    assert train.bias_names == ("not Smiling", "Smiling"), "as they are: most training images have both or none"
    assert aligned(train) == {"000001.jpg": False, "000002.jpg": True, "000003.jpg": True, "000004.jpg": True}
    said = refusal(root, options=LayoutOptions(target="Blonde"))
    assert "has no attribute 'Blonde': it has Blond_Hair" in said
    assert "choose two attributes" in refusal(root, options=LayoutOptions(bias="Blond_Hair"))


def test_celeba_s_tables_are_checked(tmp_path: Path) -> None:
    root = write_celeba(tmp_path, "csv")
    attributes, partition = root / "list_attr_celeba.csv", root / "list_eval_partition.csv"
    whole = attributes.read_text()
    attributes.write_text(whole.replace("000003.jpg,-1,1,1", "000003.jpg,-1,7"))
    assert refusal(root).endswith("line 4: Blond_Hair and Male are '-1' and '7', not 1 or -1")
    attributes.write_text(whole + "000009.jpg,1,1,1\n")
    assert refusal(root) == f"{partition} does not tell the split of 000009.jpg, which list_attr_celeba.csv lists"
    attributes.write_text(whole)
    partition.write_text(partition.read_text().replace("000002.jpg,0", "000002.jpg,9"))
    assert refusal(root).endswith("line 3: the split is '9', which is none of 0, 1, 2")
    partition.unlink()
    assert f"{root} lacks list_eval_partition.txt" in refusal(root)


# Tables


def test_a_folder_s_own_table(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "elsewhere/2.png")
    (tmp_path / "images.csv").write_text(
        "path,target,split\nelsewhere/2.png,b,train\nx.npy#10,a,train\nx.npy#9,a,test\n"
    )
    assert layout_of(tmp_path) == layout_of(tmp_path / "images.csv") == "table of images"
    images = read_images(tmp_path, "train")
    assert images.paths == ("elsewhere/2.png", "x.npy#10")
    assert images.root == tmp_path
    assert read_images(tmp_path).paths == ("elsewhere/2.png", "x.npy#9", "x.npy#10"), "rows are sorted by number"
    assert splits_of(tmp_path) == ("test", "train")
    assert refusal(tmp_path, "val") == f"{tmp_path} has no split 'val': it has test, train"


def test_another_list_called_images_is_none(tmp_path: Path) -> None:
    """The Background Challenge lists there what was left out."""
    fill(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "images.csv").write_text("file,verdict\na/1.png,ok\n")
    assert layout_of(tmp_path) is None
    assert read_images(tmp_path).classes == ("a", "b")


def write_table(root: Path, *rows: str) -> Path:
    (root / "images.csv").write_text("path,target,split,bias\n" + "".join(f"{row}\n" for row in rows))
    return root / "images.csv"


@pytest.mark.parametrize(
    ("pairs", "bias_names", "paired"),
    [
        ([("b", "a"), ("a", "a"), ("c", "b")], ("a", "b", "c"), True),
        ([("b", "z"), ("a", "b"), ("a", "k")], ("a", "b", "k", "z"), True),
        ([("10", "9"), ("9", "9"), ("2", "10")], ("2", "9", "10"), True),
        ([("a", "sand"), ("b", "grass")], ("grass", "sand"), True),
        ([("a", "x"), ("b", "z"), ("b", "y")], ("x", "y", "z"), False),
        ([("a", "10"), ("b", "9"), ("b", "100")], ("9", "10", "100"), False),
    ],
)
def test_biases_called_like_classes_have_their_places(
    tmp_path: Path, pairs: list[tuple[str, str]], bias_names: tuple[str, ...], paired: bool
) -> None:
    images = read_images(write_table(tmp_path, *(f"{i}.png,{t},train,{b}" for i, (t, b) in enumerate(pairs))))
    assert images.bias_names == bias_names
    assert images.bias_is_paired == paired
    assert list(told(images).values()) == pairs
    if set(bias_names) & set(images.classes):
        assert list(aligned(images).values()) == [target == bias for target, bias in pairs]


def test_a_bias_follows_its_class(tmp_path: Path) -> None:
    """Where classes are held to another order, or only some of them are read."""
    rows = ("1.png,a,train,a", "2.png,b,train,c", "3.png,c,train,c", "4.png,b,train,b", "5.png,b,train,other")
    table = write_table(tmp_path, *rows, "6.png,a,test,")
    whole = read_images(table, "train")
    for images in (whole, read_images(table, "train", classes=("c", "a", "b"))):
        assert told(images) == told(whole)
        assert images.bias_names == (*images.classes, "other")
        assert list(aligned(images).values()) == [True, False, True, True, False]
    some = read_images(table, "train", only=("b", "c"))
    assert some.classes == ("b", "c")
    assert some.bias_names == ("b", "c", "a", "other")
    assert told(some) == {path: names for path, names in told(whole).items() if path != "1.png"}
    assert some.group_counts() == ((1, 1, 0, 1), (0, 1, 0, 0))


def test_a_split_without_labels_has_no_bias(tmp_path: Path) -> None:
    table = write_table(tmp_path, "1.png,a,train,a", "2.png,b,train,", "3.png,a,test,")
    train, test = read_images(table, "train"), read_images(table, "test")
    assert train.bias is not None
    assert train.bias.tolist() == [0, -1]
    assert train.group_counts() == ((1, 0), (0, 0))
    assert test.bias is None
    assert test.bias_names == test.group_counts() == ()
    hidden = train.without_bias()
    assert hidden.bias is None
    assert hidden.bias_names == ()
    assert hidden.paths == train.paths


def test_a_table_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: Counter[str] = Counter()
    read_cells = tables.read_cells
    monkeypatch.setattr(
        tables, "read_cells", lambda table, *a, **k: parsed.update([table.name]) or read_cells(table, *a, **k)
    )
    table = write_table(tmp_path, "1.png,a,train,a", "2.png,b,test,a")
    for _ in range(2):
        assert splits_of(table) == ("test", "train")
        assert read_images(table, "train").paths == ("1.png",)
    assert parsed == {"images.csv": 1}
    write_table(tmp_path, "1.png,a,train,a", "2.png,b,val,a", "3.png,b,val,a")
    assert splits_of(table) == ("train", "val")
    assert parsed == {"images.csv": 2}


def test_short_and_long_lines_of_a_table(tmp_path: Path) -> None:
    table = write_table(tmp_path, "1.png,a", "", "2.png,b,train,x,too,much")
    assert told(read_images(table)) == {"1.png": ("a", ""), "2.png": ("b", "x")}
    write_table(tmp_path, "1.png,a,train,x", "2.png")
    assert refusal(table) == f"{table}, line 3: target is empty"


# All of them


def test_val_and_valid_are_the_same(tmp_path: Path) -> None:
    fill(tmp_path / "plain", "train/a/1.png", "valid/a/2.png")
    write_table(tmp_path, "1.png,a,train,a", "2.png,a,valid,a")
    for root, path in ((tmp_path / "plain", "valid/a/2.png"), (tmp_path, "2.png"), (tmp_path / "images.csv", "2.png")):
        assert read_images(root, "val").paths == read_images(root, "valid").paths == (path,)


def test_options_that_a_layout_does_not_know_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "plain", "a/1.png")
    assert refusal(tmp_path / "plain", options=SEVERE) == (
        f"{tmp_path / 'plain'} is read as class folders, which have no severity to choose: leave severity=1pct out"
    )
    with pytest.raises(ValueError, match=r"no target to choose: leave target=Male out"):
        splits_of(write_table(tmp_path, "1.png,a,,"), options=LayoutOptions(target="Male"))
    fill(tmp_path / "bare", "align/0/1_0_0.png", "conflict/0/2_0_1.png")
    assert "leave severity=1pct out" in refusal(tmp_path / "bare", options=SEVERE)


def test_no_layout_is_taken_for_another(tmp_path: Path) -> None:
    made = {
        "table of images": write_table(tmp_path, "1.png,a,,").parent,
        "Waterbirds": write_waterbirds(tmp_path / "birds", *BIRDS),
        "CelebA": write_celeba(tmp_path / "celeba", "txt"),
        "align and conflict": write_cmnist(tmp_path / "cmnist"),
        "BAR with severities": write_bar(tmp_path / "bar"),
        "BAR": fill(tmp_path / "flat", "train/racing_1.jpg"),
        "LfF's arrays": write_arrays(tmp_path / "lff", "train", [[0, 0]]),
    }
    assert list(made) == [layout.name for layout in LAYOUTS]
    for name, root in made.items():
        assert [layout.name for layout in LAYOUTS if layout.matches(root)] == [name]


def test_nothing_is_written_where_every_image_is_read(tmp_path: Path) -> None:
    """Beside splits there is room, and anywhere where a table names the images."""
    (tmp_path / "listed").mkdir()
    sets = {
        fill(tmp_path / "flat", "a/1.png"): (["", "run", "a/run"], ["..", "../run"]),
        fill(tmp_path / "splits", "train/a/1.png"): (["train", "train/run", "val"], ["", "runs/a", "training"]),
        write_cmnist(tmp_path) / "1pct": (["align/run", "valid"], ["", "runs"]),
        write_bar(tmp_path / "bar"): (["train/run", "test/run"], ["", "runs"]),
        write_table(tmp_path / "listed", "train/1.png,a,train,"): ([], ["..", "../run"]),
        tmp_path / "listed": ([], ["", "run", "train/run"]),
    }
    for root, (refused, allowed) in sets.items():
        for place in refused:
            with pytest.raises(ValueError, match=f"would be read as its images: choose an --out outside {root}$"):
                check_outside(root, root / place)
        for place in allowed:
            check_outside(root, root / place)


def test_a_layout_read_without_labels_keeps_its_splits(tmp_path: Path) -> None:
    images = read_images(write_cmnist(tmp_path) / "1pct", "test", labelled=False)
    assert images.paths == ("test/1/1_1_1.png", "test/7/0_7_1.png")
    assert images.classes == ()
    assert images.targets.tolist() == [-1, -1]


# Real data, where it is there


def given(name: str, tmp_path: Path, *, whole: str) -> Path:
    """A pack in `$LONGCUT_DATA`, or the names in its archive with the content of one file."""
    folder = Path(os.environ.get("LONGCUT_DATA") or "nowhere") / name
    if folder.is_dir():
        return folder
    archive = folder.with_suffix(".zip")
    if not archive.is_file():
        pytest.skip(f"LONGCUT_DATA names no folder with {name} or {name}.zip")
    with zipfile.ZipFile(archive) as pack:
        fill(tmp_path, *(member for member in pack.namelist() if not member.endswith("/")))
        if whole:
            (tmp_path / whole).write_bytes(pack.read(whole))
    return tmp_path


def test_waterbirds_as_published(tmp_path: Path) -> None:
    root = given("waterbirds_128", tmp_path, whole="metadata.csv")
    assert read_images(root, "train").group_counts() == ((3498, 184), (56, 1057))
    assert read_images(root, "val").group_counts() == ((467, 466), (133, 133))
    test = read_images(root, "test")
    assert test.group_counts() == ((2255, 2255), (642, 642))
    assert all((test.root / path).is_file() for path in test.paths)


def test_bar_s_photographs(tmp_path: Path) -> None:
    root = given("bar_224", tmp_path, whole="")
    train, test = read_images(root, "train"), read_images(root, "test")
    assert train.classes == test.classes == ("climbing", "diving", "fishing", "pole_vaulting", "racing", "throwing")
    assert np.bincount(train.targets).tolist() == [326, 520, 163, 279, 336, 317]
    assert np.bincount(test.targets).tolist() == [105, 159, 42, 131, 132, 85]
