from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longcut.data.imagenet9 import CLASSES as IMAGENET9
from longcut.data.imagenet_classes import SIXTEEN, wordnet_ids
from longcut.data.stimuli import read_stimuli, texture_of
from longcut.evaluation.class_mapping import map_classes, read_mapping

NAMES = st.lists(st.sampled_from(["ant", "bee", "cat", "dog", "elk", "fox"]), min_size=1, unique=True)


@settings(max_examples=50)
@given(folders=NAMES, classes=NAMES)
def test_a_folder_is_the_class_of_its_name(folders: list[str], classes: list[str]) -> None:
    common = sorted(set(folders) & set(classes))
    if not common:
        with pytest.raises(ValueError, match="no class in common"):
            map_classes(folders, classes)
        return
    mapping = map_classes(folders, classes)
    assert list(mapping.classes) == common
    assert [classes[places[0]] for places in mapping.members] == common
    assert all(len(places) == 1 for places in mapping.members)
    assert dict(mapping.place) == {name: i for i, name in enumerate(common)}
    assert list(mapping.unknown) == sorted(set(folders) - set(classes))


def test_what_is_unknown_is_listed_and_counted() -> None:
    mapping = map_classes(["ant", "x1", "x2", "x3", "x4", "x5", "x6"], ["ant", "bee"])
    assert mapping.note == "6 of 7 classes are unknown to the model: x1, x2, x3, x4, x5, ..."
    assert map_classes(["ant"], ["ant", "bee"]).note == ""


def test_the_sixteen_are_sets_of_an_imagenet_model_s_classes() -> None:
    mapping = map_classes(list(SIXTEEN), wordnet_ids())
    assert dict(zip(mapping.classes, mapping.members, strict=True)) == dict(SIXTEEN)


def test_a_model_of_some_of_imagenet_s_classes_has_a_part_of_the_sets() -> None:
    some = [wordnet_ids()[i] for i in (281, 285, 404, 0)]
    mapping = map_classes(["airplane", "cat", "dog"], some)
    assert dict(zip(mapping.classes, mapping.members, strict=True)) == {"airplane": (2,), "cat": (0, 1)}
    assert mapping.unknown == ("dog",)


def test_imagenet_9_both_ways() -> None:
    ids = wordnet_ids()
    down = map_classes(IMAGENET9, ids)
    assert [len(places) for places in down.members] == [116, 52, 42, 36, 35, 27, 26, 20, 16]
    up = map_classes([ids[207], ids[208], ids[7], ids[999]], IMAGENET9)
    assert up.classes == ("00_dog", "01_bird")
    assert up.place[ids[207]] == up.place[ids[208]] != up.place[ids[7]]
    assert up.unknown == (ids[999],)


def test_a_mapping_file_says_which_is_which(tmp_path: Path) -> None:
    table = tmp_path / "mapping.csv"
    table.write_text("folder,model_class\nhound,dog\npuppy,dog\npet,cat\npet,fox\n")
    mapping = map_classes(["hound", "puppy", "pet", "elk", "yeti"], ["cat", "dog", "elk", "fox"], read_mapping(table))
    assert dict(zip(mapping.classes, mapping.members, strict=True)) == {"dog": (1,), "pet": (0, 3), "elk": (2,)}
    assert mapping.place["hound"] == mapping.place["puppy"]
    assert mapping.unknown == ("yeti",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("folder,class\na,b\n", "its first line must name folder,model_class"),
        ("folder,model_class\nhound,\n", "line 2: folder or model_class is empty"),
        ("folder,model_class\nhound,dogg\n", "'hound' for 'dogg', which is no class of the model: did you mean 'dog'?"),
        ("folder,model_class\nhound,zzz\n", "no class of the model: it has cat, dog"),
        ("folder,model_class\na,cat\na,dog\nb,dog\n", "'a' and 'b' share the class 'dog' but not all of theirs"),
    ],
)
def test_a_wrong_mapping_is_told(tmp_path: Path, lines: str, message: str) -> None:
    table = tmp_path / "mapping.csv"
    table.write_text(lines)
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        map_classes(["a", "b", "hound"], ["cat", "dog"], read_mapping(table))


def test_a_mapping_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_mapping(tmp_path / "nothing.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no CSV in UTF-8"):
        read_mapping(tmp_path / "bytes.csv")


# Names of stimuli.


@pytest.mark.parametrize(
    ("path", "classes", "texture"),
    [
        ("cat/cat7-elephant1.png", (), "elephant"),
        ("bird/bird10-knife3.png", ("bird", "knife"), "knife"),
        ("00_dog/00_dog3-01_bird12.png", ("00_dog", "01_bird"), "01_bird"),
        ("a/0001_s5n_dnn_0_airplane_00_airplane1-dog2.png", (), "dog"),
        ("t-shirt/t-shirt1-t-shirt2.png", ("t-shirt", "mug"), "t-shirt"),
        ("mug/mug1-class_12.png", ("mug", "class_1", "class_12"), "class_1"),
        ("mug/mug1-class_123.png", ("mug", "class_1", "class_12"), "class_12"),
    ],
)
def test_the_texture_is_read_from_the_name(path: str, classes: tuple[str, ...], texture: str) -> None:
    assert texture_of(path, classes) == texture


@pytest.mark.parametrize("path", ["cat/cat7.png", "cat/cat7-.png", "cat/cat7-12.png"])
def test_a_name_without_a_texture_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{path} tells no texture"):
        texture_of(path, root=tmp_path)


def test_stimuli_have_a_shape_and_a_texture(tmp_path: Path) -> None:
    for name in ("cat/cat1-dog1.png", "dog/dog2-cat1.png", "dog/dog1-elk3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    stimuli = read_stimuli(tmp_path)
    assert stimuli.classes == ("cat", "dog", "elk")
    assert stimuli.bias is not None
    assert list(zip(stimuli.targets, stimuli.bias, strict=True)) == [(0, 1), (1, 2), (1, 0)]


def test_stimuli_without_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cat1-dog1.png").touch()
    with pytest.raises(ValueError, match="no folder for each shape"):
        read_stimuli(tmp_path)
