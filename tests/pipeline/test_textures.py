"""Textures of one's own images: the same for any number of processes, going on after a stop, and what is refused."""

from __future__ import annotations

import csv
import errno
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, Longcut, Refused
from folders import files
from made_images import CLASSES, write_images

from longcut.core.seeding import Stream, keyed_uniforms
from longcut.data.builders import textures
from longcut.data.builders.choosing import choose_images
from longcut.data.builders.textures import build_textures, mean_quality
from longcut.data.decoding import ImageError, read_image, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.negatives.quality import texture_quality
from longcut.negatives.texture_synthesis import texture_examples

Synthesis = Callable[..., np.ndarray]


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return read_images(write_images(tmp_path / "images", count=2))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A synthesis that takes no time, and the seeds it was called with."""
    seeds: list[int] = []

    def synthesize(examples: list[np.ndarray], *, size: int, seed: int, mode: str) -> np.ndarray:
        seeds.append(seed)
        pixels = np.concatenate([example.reshape(-1, 3) for example in examples])
        return pixels[np.random.default_rng(seed).integers(0, len(pixels), (size, size))]

    monkeypatch.setattr(textures, "synthesize_texture", synthesize)
    return seeds


def table(root: Path) -> list[dict[str, str]]:
    with (root / "textures.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("mode", ["multiresolution", "quilting"])
def test_any_number_of_processes_gives_the_same_bytes(mode: str, tmp_path: Path, longcut: Longcut) -> None:
    images = write_images(tmp_path / "images", count=2)
    for workers in (1, 2):
        out = tmp_path / f"by {workers}"
        words = "--out", out, "--size", 32, "--mode", mode, "--workers", workers
        told = longcut("data", "textures", images, *words)
        assert (told.code, told.out) == (0, "6 ok\n")
    made = files(tmp_path / "by 1")
    assert made == files(tmp_path / "by 2")
    expected = {f"{name}/{i}.png" for name in CLASSES for i in range(2)}
    assert set(made) == expected | {"textures.csv", "textures.jpg", "build.json"}
    assert {read_image(tmp_path / "by 1" / name).shape for name in expected} == {(32, 32, 3)}
    assert len({made[name] for name in expected}) == 6


@pytest.mark.usefixtures("one_process")
def test_rows_of_an_array_have_a_texture_each(tmp_path: Path, quick: list[int], longcut: Longcut) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    np.save(data / "train.npy", np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), np.uint8))
    rows = [f"train.npy#{i},{CLASSES[i % 2]}" for i in range(6)]
    (data / "images.csv").write_text("\n".join(["path,target", *rows]))
    made = build_textures(read_images(data), out, size=32, workers=1)
    assert [(row.image, row.file) for row in made] == [(f"train.npy#{i}", f"train/{i}.png") for i in range(6)]
    assert len({(out / row.file).read_bytes() for row in made}) == 6
    words = ["hidden=16", "dim=8", "capacity=10", *SMALL]
    told = longcut("train", "moco_texture_small", "--data", data, "--textures", out, "--out", tmp_path / "run", *words)
    assert told.code == 0, told


def test_a_texture_is_made_of_its_image(tmp_path: Path) -> None:
    """Multi-resolution synthesis copies pixels, so each image's colour is its texture's."""
    for hue, name in enumerate(("ä b", "c")):
        pixels = np.zeros((40, 50, 3), np.uint8)
        pixels[..., hue] = np.random.default_rng(hue).integers(100, 256, (40, 50))
        write_image(tmp_path / "images" / "val" / name / "0.jpg", pixels)
        write_image(tmp_path / "images" / "val" / name / "1.png", pixels)
    build_textures(read_images(tmp_path / "images"), tmp_path / "out", size=32, workers=1)
    assert read_image(tmp_path / "out/val/ä b/1.png")[..., 1:].max() == 0
    texture = read_image(tmp_path / "out/val/c/1.png")
    assert texture[..., [0, 2]].max() == 0
    assert texture[..., 1].min() >= 100
    assert (tmp_path / "out/val/c/0.png").is_file()


def test_the_table_says_what_was_made(images: ImageSet, tmp_path: Path, quick: list[int]) -> None:
    rows = build_textures(images, tmp_path / "out", size=32, workers=1)
    assert [row.image for row in rows] == list(images.paths)
    for row, cells in zip(rows, table(tmp_path / "out"), strict=True):
        assert (cells["image"], cells["file"], cells["verdict"]) == (row.image, row.file, "ok")
        side = texture_examples(read_image(images.root / row.image), np.zeros(2))[0].shape[0]
        assert int(cells["example_side"]) == row.example_side == side
        assert cells["patch_distance"] == ""
    assert len(set(quick)) == 6


def test_quality_is_measured_when_asked_for(tmp_path: Path, quick: list[int], longcut: Longcut) -> None:
    root = write_images(tmp_path / "images", count=2, size=70)
    words = "data", "textures", root, "--out", tmp_path / "out", "--size", 24, "--workers", 1
    longcut(*words)
    told = longcut(*words, "--quality")
    assert len(quick) == 6  # what is there is measured, not made again
    rows = table(tmp_path / "out")
    means = [np.mean([float(row[name]) for row in rows]) for name in textures.QUALITY]
    listed = ", ".join(f"{name} {mean:.4f}" for name, mean in zip(textures.QUALITY, means, strict=True))
    assert told.out == f"6 ok\n{listed}\n"
    row = rows[3]
    draws = keyed_uniforms(0, 0, [zlib.crc32(row["image"].encode())], Stream.BUILDER, 2)[0]
    examples = texture_examples(read_image(root / row["image"]), draws)
    measured = texture_quality(read_image(tmp_path / "out" / row["file"]), examples)
    assert float(row["relative_distance"]) == pytest.approx(measured.relative_distance, abs=1e-4)
    assert float(row["colour_distance"]) == pytest.approx(measured.colour_distance, abs=1e-4)
    before = files(tmp_path / "out")
    assert longcut(*words).out == "6 ok\n"
    assert files(tmp_path / "out") == before


def test_the_patches_size_can_be_named(tmp_path: Path, quick: list[int], longcut: Longcut, refused: Refused) -> None:
    root = write_images(tmp_path / "images", count=1, size=70)
    words = "data", "textures", root, "--out", tmp_path / "out", "--size", 24, "--workers", 1
    assert longcut(*words, "--patch-size", 20).out == "3 ok\n"
    assert {row["example_side"] for row in table(tmp_path / "out")} == {"20"}
    assert "patch_size = 20, not None" in refused(*words)


def test_images_too_small_to_be_measured_have_textures(tmp_path: Path, quick: list[int]) -> None:
    write_images(tmp_path / "images", count=1, size=5)
    rows = build_textures(read_images(tmp_path / "images"), tmp_path / "out", size=16, quality=True, workers=1)
    assert [row.verdict for row in rows] == ["ok"] * 3
    assert mean_quality(rows) == {}
    assert build_textures(read_images(tmp_path / "images"), tmp_path / "out", size=16, quality=True, workers=1)
    assert len(quick) == 3


def test_a_texture_depends_on_its_path_and_the_seed_alone(images: ImageSet, tmp_path: Path, quick: list[int]) -> None:
    build_textures(images, tmp_path / "all", size=32, workers=1)
    build_textures(images.select(np.array([4, 2])), tmp_path / "some", size=32, workers=1)
    build_textures(images, tmp_path / "other", size=32, seed=1, workers=1)
    for path in (images.paths[4], images.paths[2]):
        assert (tmp_path / "some" / path).read_bytes() == (tmp_path / "all" / path).read_bytes()
        assert (tmp_path / "some" / path).read_bytes() != (tmp_path / "other" / path).read_bytes()
    assert len(set(quick)) == 12


def test_an_interrupted_build_goes_on(
    images: ImageSet, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_textures(images, tmp_path / "whole", size=32, workers=1)
    whole, synthesize = quick.copy(), textures.synthesize_texture
    quick.clear()

    def stop_at_four(*args: object, **options: object) -> np.ndarray:
        if len(quick) == 3:
            raise KeyboardInterrupt
        return synthesize(*args, **options)

    monkeypatch.setattr(textures, "synthesize_texture", stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        build_textures(images, tmp_path / "out", size=32, workers=1)
    assert len(table(tmp_path / "out")) == 3
    (tmp_path / "out" / images.paths[1]).unlink()
    with (tmp_path / "out/textures.csv").open("a", encoding="utf-8") as file:
        file.write("bird/1.png,bi")  # a row that a kill cut short
    (tmp_path / "out/bird/.1-1.part").write_bytes(b"half a file")
    monkeypatch.setattr(textures, "synthesize_texture", synthesize)
    build_textures(images, tmp_path / "out", size=32, workers=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert quick == [*whole[:3], whole[1], *whole[3:]]
    build_textures(images, tmp_path / "out", size=32, workers=1)
    assert len(quick) == 7


def test_a_limit_takes_of_each_class_and_can_be_raised(tmp_path: Path, quick: list[int]) -> None:
    root = write_images(tmp_path / "images", count=5)
    out = tmp_path / "out"
    six = choose_images(root, destination=out, limit=6)
    assert np.bincount(six.targets).tolist() == [2, 2, 2]
    assert six.paths == choose_images(root, destination=out, limit_per_class=2).paths
    assert np.bincount(choose_images(root, destination=out, limit=7).targets).tolist() == [3, 2, 2]
    assert set(six.paths) < set(choose_images(root, destination=out, limit=8).paths)
    assert len(choose_images(root, destination=out, limit=99)) == 15
    shutil.rmtree(root / "cat")
    write_images(root, classes=["cat"], count=1)
    assert np.bincount(choose_images(root, destination=out, limit=7).targets).tolist() == [3, 1, 3]
    build_textures(choose_images(root, destination=out, limit=3), out, size=32, workers=1)
    build_textures(read_images(root), out, size=32, workers=1)
    assert len(quick) == 11
    build_textures(read_images(root), tmp_path / "at once", size=32, workers=1)
    assert files(out) == files(tmp_path / "at once")


def test_a_flat_folder_needs_no_classes(tmp_path: Path, quick: list[int], longcut: Longcut) -> None:
    write_images(tmp_path / "images", classes=["."], count=4)
    told = longcut(
        "data", "textures", tmp_path / "images", "--out", tmp_path / "out", "--size", 32, "--limit", 3, "--workers", 1
    )
    assert (told.code, told.out) == (0, "3 ok\n")
    assert len(list((tmp_path / "out").glob("?.png"))) == 3


def test_unreadable_images_are_named_or_counted(
    images: ImageSet, tmp_path: Path, quick: list[int], longcut: Longcut, refused: Refused
) -> None:
    broken = images.root / images.paths[2]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    words = "data", "textures", images.root, "--out", tmp_path / "out", "--size", 32, "--workers", 1
    line = refused(*words)
    assert "cat/0.png" in line
    assert "cut short" in line
    with pytest.raises(ImageError, match=r"cat/0\.png"):
        build_textures(images, tmp_path / "out", size=32, workers=1)
    told = longcut(*words, "--skip-bad")
    assert told.out == "5 ok, 1 unreadable\n"
    assert [row["verdict"] for row in table(tmp_path / "out")] == ["ok", "ok", "unreadable", "ok", "ok", "ok"]
    assert not (tmp_path / "out/cat/0.png").exists()
    broken.write_bytes(whole)
    assert longcut(*words).out == "6 ok\n"


def test_nothing_readable_at_all_is_told(tmp_path: Path, quick: list[int]) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "images/a/0.jpg").write_bytes(b"nothing")
    rows = build_textures(read_images(tmp_path / "images"), tmp_path / "out", size=32, workers=1, skip_bad=True)
    assert [row.verdict for row in rows] == ["unreadable"]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--limit", -3], "limit is -3"),
        (["--limit", 0], "limit is 0"),
        (["--limit-per-class", -1], "limit per class is -1"),
        (["--size", 4], "size is 4: a texture needs at least 7 pixels"),
        (["--patch-size", 6], "patch_size is 6"),
        (["--workers", 0], "--workers 0: "),
        (["--split", "vall"], "no split 'vall'"),
    ],
)
def test_wrong_options_are_refused(words: list[object], expected: str, tmp_path: Path, refused: Refused) -> None:
    write_images(tmp_path / "images/train", count=1)
    assert expected in refused("data", "textures", tmp_path / "images", "--out", tmp_path / "out", *words)


def test_wrong_folders_are_refused(images: ImageSet, tmp_path: Path, quick: list[int], refused: Refused) -> None:
    words = "data", "textures", images.root, "--size", 32, "--workers", 1, "--out"
    assert "lies inside" in refused(*words, images.root / "made")
    assert "lies inside" in refused(*words, images.root)
    assert sorted(path.name for path in images.root.iterdir()) == list(CLASSES)
    assert "does not exist" in refused("data", "textures", tmp_path / "absent", "--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refused("data", "textures", tmp_path / "empty", "--out", tmp_path / "out")
    build_textures(images, tmp_path / "out", size=32, workers=1)
    before = files(tmp_path / "out")
    assert "textures made with size = 32, not 40" in refused(*words, tmp_path / "out", "--size", 40)
    assert "seed = 0, not 7" in refused(*words, tmp_path / "out", "--seed", 7)
    assert "mode = 'multiresolution'" in refused(*words, tmp_path / "out", "--mode", "quilting")
    assert files(tmp_path / "out") == before
    write_image(images.root / "cat/1.jpg", np.zeros((9, 9, 3), np.uint8))
    line = refused(*words, tmp_path / "more")
    assert "cat/1.jpg and cat/1.png" in line
    assert "share one texture" in line
    assert not (tmp_path / "more").exists()
    with pytest.raises(ValueError, match="unknown mode 'paint'"):
        build_textures(images, tmp_path / "more", mode="paint", workers=1)


def test_a_table_may_have_its_textures_beside_it(tmp_path: Path, quick: list[int], longcut: Longcut) -> None:
    """A CSV lists its images: what lies in its folder is not read as one of them."""
    write_images(tmp_path / "set", classes=["a"], count=2)
    (tmp_path / "set/images.csv").write_text("path,target\na/0.png,x\na/1.png,y\n")
    words = "--out", tmp_path / "set/textures", "--size", 32, "--workers", 1
    assert longcut("data", "textures", tmp_path / "set/images.csv", *words).out == "2 ok\n"
    assert (tmp_path / "set/textures/a/1.png").is_file()


def test_a_full_disk_is_told(
    images: ImageSet, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    def full(path: Path, array: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(textures, "write_image", full)
    line = refused("data", "textures", images.root, "--out", tmp_path / "out", "--size", 32, "--workers", 1)
    assert "the disk is full" in line


def test_after_ctrl_c_the_same_command_goes_on(
    images: ImageSet, tmp_path: Path, quick: list[int], monkeypatch: pytest.MonkeyPatch, longcut: Longcut
) -> None:
    def stop(*_: object, **__: object) -> np.ndarray:
        raise KeyboardInterrupt

    words = "data", "textures", images.root, "--out", tmp_path / "out", "--size", 32, "--workers", 1
    with monkeypatch.context() as stopped:
        stopped.setattr(textures, "synthesize_texture", stop)
        assert longcut(*words).code == 130
    assert longcut(*words).out == "6 ok\n"
