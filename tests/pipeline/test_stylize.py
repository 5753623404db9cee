"""Images with another class's texture: what is drawn, what the files are called, what is made, and what is refused."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from command_line import Longcut, Refused
from folders import files
from made_images import CLASSES, write_images

from longcut.data.builders import stylize
from longcut.data.builders.choosing import choose_textures
from longcut.data.builders.stylize import build_stylized
from longcut.data.builders.stylize_plan import class_words, plan_by_image, plan_by_pair
from longcut.data.builders.stylized_table import read_stylized
from longcut.data.decoding import ImageError, read_image, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.data.pasting import cover
from longcut.negatives.amplitude import mix_amplitude

CHI_SQUARED = 18.5  # 5 degrees of freedom: exceeded once in 400


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return read_images(write_images(tmp_path / "images", count=2))


@pytest.fixture
def textures(tmp_path: Path) -> ImageSet:
    return read_images(write_images(tmp_path / "textures", count=3, size=30, seed=1))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A synthesis that takes no time, and the seeds it was called with."""
    seeds: list[int] = []

    def synthesize(examples: list[np.ndarray], *, size: tuple[int, int], seed: int, guide: np.ndarray) -> np.ndarray:
        assert guide.shape == (*size, 3)
        seeds.append(seed)
        return cover(examples[0], *size)

    monkeypatch.setattr(stylize, "synthesize_texture", synthesize)
    return seeds


def some(root: str, sizes: dict[str, int]) -> ImageSet:
    """Images by name alone."""
    paths = tuple(f"{name}/{i}.png" for name, size in sizes.items() for i in range(size))
    return ImageSet(Path(root), paths, np.repeat(np.arange(len(sizes)), list(sizes.values())), tuple(sizes))


def table(root: Path) -> list[dict[str, str]]:
    with (root / "stylized.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# What is drawn.


def test_each_image_gets_textures_of_other_classes() -> None:
    images, textures = some("i", {"a": 30, "b": 30, "c": 2}), some("t", {"a": 4, "b": 5, "d": 3, "e": 9})
    pairs = plan_by_image(images, textures, 7, seed=3)
    assert len(pairs) == len({pair.file for pair in pairs}) == 62 * 7
    assert all(pair.shape_class != pair.texture_class for pair in pairs)
    for path in images.paths:
        others = {"a", "b", "d", "e"} - {path[0]}
        counts = Counter(pair.texture_class for pair in pairs if pair.image == path)
        assert set(counts) == others
        assert max(counts.values()) - min(counts.values()) <= 1  # all classes come before one comes again
    assert pairs != plan_by_image(images, textures, 7, seed=4)


def test_textures_are_drawn_uniformly() -> None:
    images, textures = some("i", {"a": 3000}), some("t", {"a": 9, "b": 3, "c": 3})
    pairs = plan_by_image(images, textures, 1, seed=0)
    assert {pair.image for pair in pairs} == set(images.paths)
    counts = Counter(pair.texture for pair in pairs)
    assert set(counts) == {f"{name}/{i}.png" for name in "bc" for i in range(3)}
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < CHI_SQUARED


def test_draws_depend_on_the_path_and_the_seed_alone() -> None:
    images, textures = some("i", {"a": 5, "b": 5}), some("t", {"a": 5, "b": 5, "c": 5})
    whole = {pair.image: pair.texture for pair in plan_by_image(images, textures, 1, seed=0)}
    part = plan_by_image(images.select(np.array([1, 7])), textures, 1, seed=0)
    assert [(pair.image, pair.texture) for pair in part] == [(p, whole[p]) for p in ("a/1.png", "b/2.png")]


def test_all_draws_are_used_up_at_the_most() -> None:
    images, textures = some("i", {"a": 2, "b": 1}), some("t", {"a": 3, "b": 2, "c": 2})
    assert len({pair.file for pair in plan_by_image(images, textures, 4, seed=0)}) == 12
    with pytest.raises(ValueError, match=r"per_image is 5, but .* other than 'a' have 2 textures and more: at most 4"):
        plan_by_image(images, textures, 5, seed=0)


@pytest.mark.parametrize(("shapes", "styles"), [(4, 6), (3, 3), (5, 2), (1, 4)])
def test_each_pair_of_classes_gets_as_many(shapes: int, styles: int) -> None:
    images, textures = some("i", {"a": shapes, "b": shapes}), some("t", {"a": styles, "b": styles, "c": styles})
    for count in (1, 2, shapes * styles):
        if count > shapes * styles:
            continue
        pairs = plan_by_pair(images, textures, count, seed=1)
        found = Counter((pair.shape_class, pair.texture_class) for pair in pairs)
        assert found == dict.fromkeys([("a", "b"), ("a", "c"), ("b", "a"), ("b", "c")], count)
        assert len({pair.file for pair in pairs}) == len(pairs)
        of_one = [pair for pair in pairs if (pair.shape_class, pair.texture_class) == ("a", "b")]
        assert len({pair.image for pair in of_one}) == min(count, shapes)
        assert len({pair.texture for pair in of_one}) == min(count, styles)
    with pytest.raises(ValueError, match=f"per_pair is {shapes * styles + 1}, but .* make {shapes * styles} pairs"):
        plan_by_pair(images, textures, shapes * styles + 1, seed=1)


# What the files are called.


def test_names_tell_shape_and_texture_as_in_the_public_stimuli() -> None:
    names = {"00_dog": 2, "n02123045": 2, "t-shirt": 2, "cat": 2}
    pairs = plan_by_pair(some("i", names), some("t", names), 4, seed=0)
    words = class_words(list(names))
    assert words == {"00_dog": "00_dog", "n02123045": "n02123045_", "t-shirt": "t_shirt", "cat": "cat"}
    for pair in pairs:
        folder, name = pair.file.split("/")
        shape, texture = name.removesuffix(".png").split("-")
        assert re.sub(r"\d+$", "", shape) == folder == words[pair.shape_class]
        assert re.sub(r"\d+$", "", texture) == words[pair.texture_class]
        assert int(shape.removeprefix(folder)) == int(Path(pair.image).stem) + 1
        assert int(texture.removeprefix(words[pair.texture_class])) == int(Path(pair.texture).stem) + 1


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a-b", "a_b"], "'a-b' and 'a_b' would share the folder 'a_b'"),
        (["a1", "a1_"], "'a1' and 'a1_' would share"),
        (["a/b"], "'a/b' cannot name a folder"),
        ([".a"], "cannot name a folder"),
        ([""], "cannot name a folder"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        class_words(classes)


def test_renamed_classes_are_written_down(tmp_path: Path, quick: list[int]) -> None:
    images = read_images(write_images(tmp_path / "images", classes=["n01", "x-y", "cat"], count=1))
    build_stylized(images, images, tmp_path / "out", per_pair=1, workers=1)
    assert (tmp_path / "out/classes.csv").read_text() == "folder,model_class\nn01_,n01\nx_y,x-y\n"
    assert {row["texture_class"] for row in table(tmp_path / "out")} == {"n01", "x-y", "cat"}
    assert (tmp_path / "out/n01_/n01_1-x_y1.png").is_file()
    plain = read_images(write_images(tmp_path / "plain", count=1))
    build_stylized(plain, plain, tmp_path / "none", workers=1)
    assert not (tmp_path / "none/classes.csv").exists()


# What is made.


@pytest.mark.parametrize("mode", ["guided", "amplitude"])
def test_any_number_of_processes_gives_the_same_bytes(
    mode: str, images: ImageSet, textures: ImageSet, tmp_path: Path, longcut: Longcut
) -> None:
    for workers in (1, 2):
        out = tmp_path / f"by {workers}"
        words = "--textures", textures.root, "--out", out, "--size", 24, "--mode", mode, "--workers", workers
        told = longcut("data", "stylize", images.root, *words)
        assert (told.code, told.out) == (0, "6 ok\n")
    made = files(tmp_path / "by 1")
    assert made == files(tmp_path / "by 2")
    rows = table(tmp_path / "by 1")
    assert set(made) == {row["file"] for row in rows} | {"stylized.csv", "stylized.jpg", "build.json"}
    assert {read_image(tmp_path / "by 1" / row["file"]).shape for row in rows} == {(24, 24, 3)}


def test_a_guided_image_has_the_textures_pixels_along_the_images_light(tmp_path: Path) -> None:
    """Shape is light, left and right; texture is colour: the one stays where it was, the other is replaced."""
    shape = np.zeros((32, 48, 3), np.uint8)
    shape[:, 24:] = 230
    rng = np.random.default_rng(0)
    texture = np.where(rng.random((40, 40, 1)) < 0.5, np.array([20, 60, 10]), np.array([120, 230, 90])).astype(np.uint8)
    write_image(tmp_path / "images/a/0.png", shape)
    write_image(tmp_path / "textures/b/0.png", texture)
    build_stylized(read_images(tmp_path / "images"), read_images(tmp_path / "textures"), tmp_path / "out", workers=1)
    made = read_image(tmp_path / "out/a/a1-b1.png")
    assert made.shape == shape.shape
    colours = {tuple(colour) for colour in made.reshape(-1, 3).tolist()}
    assert colours <= {(20, 60, 10), (120, 230, 90)}
    assert made[:, 24:].mean() > made[:, :24].mean() + 20


def test_amplitude_is_that_of_the_texture_at_its_own_scale(images: ImageSet, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(60, 50), (36, 36), (30, 90)]):
        write_image(tmp_path / f"textures/wool/{i}.png", rng.integers(0, 256, (height, width, 3), np.uint8))
    textures = read_images(tmp_path / "textures")
    rows = build_stylized(images, textures, tmp_path / "out", per_image=3, mode="amplitude", workers=1)
    assert len(rows) == 18
    for row in rows:
        image, texture = read_image(images.root / row.pair.image), read_image(textures.root / row.pair.texture)
        middle = {60: texture[12:48, 7:43], 36: texture, 30: cover(texture, 36, 36)}[len(texture)]
        assert (read_image(tmp_path / "out" / row.pair.file) == mix_amplitude(image, middle)).all()


def test_an_interrupted_build_goes_on(
    images: ImageSet, textures: ImageSet, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = stylize.synthesize_texture
    build_stylized(images, textures, tmp_path / "whole", per_image=2, workers=1)
    assert len(set(quick)) == 12
    quick.clear()

    def stop_at_five(*args: object, **options: object) -> np.ndarray:
        if len(quick) == 4:
            raise KeyboardInterrupt
        return make(*args, **options)

    monkeypatch.setattr(stylize, "synthesize_texture", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        build_stylized(images, textures, tmp_path / "out", per_image=2, workers=1)
    with pytest.raises(ValueError, match=r"no finished set of stylized images: it has no stylized\.csv"):
        read_stylized(tmp_path / "out")
    monkeypatch.setattr(stylize, "synthesize_texture", make)
    build_stylized(images, textures, tmp_path / "out", per_image=2, workers=1)
    assert len(quick) == 12
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_of_the_textures_splits_the_images_is_taken(tmp_path: Path, quick: list[int], longcut: Longcut) -> None:
    for split in ("train", "val"):
        write_images(tmp_path / "images" / split, count=1)
        write_images(tmp_path / "textures" / split, count=1)
    words = "data", "stylize", tmp_path / "images", "--textures", tmp_path / "textures", "--workers", 1
    assert longcut(*words, "--out", tmp_path / "out", "--split", "val").out == "3 ok\n"
    assert {row["texture"].split("/")[0] for row in table(tmp_path / "out")} == {"val"}
    write_images(tmp_path / "others", count=1)
    assert choose_textures(tmp_path / "others", "val", destination=tmp_path / "out").paths[0] == "bird/0.png"
    write_images(tmp_path / "train alone/train", count=1)
    assert len(choose_textures(tmp_path / "train alone", "val", destination=tmp_path / "out")) == 3


# What is read.


def test_what_was_made_is_read_back(images: ImageSet, textures: ImageSet, tmp_path: Path, quick: list[int]) -> None:
    rows = build_stylized(images, textures, tmp_path / "out", per_image=2, workers=1)
    found = read_stylized(tmp_path / "out")
    assert list(found.files) == [row.pair.file for row in rows]
    some_images = images.select(np.array([0, 3, 4]))
    stylized, contents = found.shown_by(some_images)
    assert contents.tolist() == [0, 0, 1, 1, 2, 2]
    assert stylized.classes == images.classes
    assert all((stylized.root / path).is_file() for path in stylized.paths)
    for path, target, content in zip(stylized.paths, stylized.targets, contents, strict=True):
        row = next(row.pair for row in rows if row.pair.file == path)
        assert row.image == some_images.paths[content]
        assert row.texture_class == images.classes[target]


def test_what_cannot_be_learned_from_is_refused(images: ImageSet, tmp_path: Path, quick: list[int]) -> None:
    strange = read_images(write_images(tmp_path / "textures", classes=["cat", "slate", "wool"], count=2))
    build_stylized(images, strange, tmp_path / "out", per_image=2, workers=1)
    with pytest.raises(ValueError, match=r"has textures of slate, wool, which are no classes .* of bird, cat, dog$"):
        read_stylized(tmp_path / "out").shown_by(images)
    write_images(tmp_path / "others/train", count=1)
    with pytest.raises(ValueError, match=r"of none of the images .* made of bird/0\.png, .* are train/bird/0\.png"):
        read_stylized(tmp_path / "out").shown_by(read_images(tmp_path / "others"))


# What is refused.


def test_unreadable_files_are_named_or_counted(
    images: ImageSet, textures: ImageSet, tmp_path: Path, quick: list[int], longcut: Longcut, refused: Refused
) -> None:
    broken = textures.root / textures.paths[4]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    (images.root / images.paths[0]).write_bytes(b"nothing")
    words = "data", "stylize", images.root, "--textures", textures.root, "--out", tmp_path / "out", "--workers", 1
    every = "--per-image", 6
    assert "bird/0.png" in refused(*words, *every)
    told = longcut(*words, *every, "--skip-bad")
    bad = [row for row in table(tmp_path / "out") if row["verdict"] == "unreadable"]
    assert {row["image"] for row in bad if row["texture"] != textures.paths[4]} == {images.paths[0]}
    assert len(bad) == 9  # six of the image, and three more of the texture: of the other birds' one and the dogs' two
    assert told.out == "27 ok, 9 unreadable\n"
    found = read_stylized(tmp_path / "out")
    assert len(found.files) == 27
    assert images.paths[0] not in found.images
    write_images(tmp_path / "images", count=2)
    broken.write_bytes(whole)
    assert longcut(*words, *every).out == "36 ok\n"
    assert len(read_stylized(tmp_path / "out").files) == 36


def test_nothing_readable_at_all_is_told(images: ImageSet, tmp_path: Path, quick: list[int]) -> None:
    (tmp_path / "textures/wool").mkdir(parents=True)
    (tmp_path / "textures/wool/0.png").write_bytes(b"nothing")
    textures = read_images(tmp_path / "textures")
    build_stylized(images, textures, tmp_path / "out", workers=1, skip_bad=True)
    with pytest.raises(ValueError, match=r"no finished set of stylized images: .*stylized\.csv lists none"):
        read_stylized(tmp_path / "out")
    with pytest.raises(ImageError, match=r"wool/0\.png"):
        build_stylized(images, textures, tmp_path / "again", workers=1)


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--per-image", 0], "per_image is 0"),
        (["--per-pair", -2], "per_pair is -2"),
        (["--per-image", 1, "--per-pair", 1], "exclude each other"),
        (["--limit", -1], "limit is -1"),
        (["--size", 0], "size is 0"),
        (["--workers", 0], "--workers 0: "),
        (["--per-image", 99], "per_image is 99"),
    ],
)
def test_wrong_options_are_refused(
    words: list[object], expected: str, images: ImageSet, textures: ImageSet, tmp_path: Path, refused: Refused
) -> None:
    out = "--textures", textures.root, "--out", tmp_path / "out"
    assert expected in refused("data", "stylize", images.root, *out, *words)


def test_wrong_folders_are_refused(
    images: ImageSet, textures: ImageSet, tmp_path: Path, quick: list[int], refused: Refused
) -> None:
    def told(shapes: Path, styles: Path, out: Path, *more: object) -> str:
        return refused("data", "stylize", shapes, "--textures", styles, "--out", out, "--workers", 1, *more)

    out = tmp_path / "out"
    assert "lies inside" in told(images.root, textures.root, images.root / "made")
    assert "lies inside" in told(images.root, textures.root, textures.root / "made")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in told(images.root, tmp_path / "empty", out)
    assert "does not exist" in told(images.root, tmp_path / "absent", out)
    flat = write_images(tmp_path / "flat", classes=["."], count=2)
    assert "has no classes" in told(images.root, flat, out)
    assert "has no classes" in told(flat, textures.root, out)
    one = write_images(tmp_path / "one", classes=["cat"], count=2)
    assert "textures of the class 'cat' alone" in told(one, one, out)
    assert "textures of the class 'cat' alone" in told(one, one, out, "--per-pair", 1)
    assert "textures of the class 'cat' alone" in told(images.root, one, out)
    assert not out.exists()
    build_stylized(images, textures, out, workers=1)
    before = files(out)
    assert "stylized images made with mode = 'guided', not 'amplitude'" in told(
        images.root, textures.root, out, "--mode", "amplitude"
    )
    assert "made with pairs" in told(images.root, textures.root, out, "--per-image", 2)
    assert "made with build = 'stylized', not 'textures'" in refused("data", "textures", images.root, "--out", out)
    assert files(out) == before
    with pytest.raises(ValueError, match="unknown mode 'paint'"):
        build_stylized(images, textures, tmp_path / "more", mode="paint", workers=1)


def test_a_class_without_images_takes_no_part(images: ImageSet, textures: ImageSet, tmp_path: Path) -> None:
    few = images.select(np.array([0, 1, 4]))
    rows = build_stylized(few, textures, tmp_path / "out", per_pair=1, mode="amplitude", workers=1)
    assert {row.pair.shape_class for row in rows} == {"bird", "dog"}
    assert len(rows) == 4
    assert len(CLASSES) == 3
