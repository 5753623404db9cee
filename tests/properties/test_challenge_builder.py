"""The built Background Challenge: its layout, its draws, its pixels, and going on after a stop."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folders import files
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from longcut.data.builders import challenge_builder
from longcut.data.builders.challenge_builder import build_backgrounds
from longcut.data.builders.challenge_plan import draw_partners, mixed_names, unique_stems
from longcut.data.challenge_layout import MIXED, VARIANTS
from longcut.data.decoding import ImageError, read_image, read_mask, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.data.pasting import blend, cover, cover_box, harden
from longcut.evaluation.background_challenge import foreground_of

CLASSES = "cat", "dog", "ein Vogel ü"
HEIGHT, WIDTH = 24, 32


def sample(root: Path, per_class: int = 3) -> ImageSet:
    """Images with red foregrounds (255, _, _) on backgrounds without red (0, _, _), of sizes that differ."""
    rng = np.random.default_rng(3)
    for name in CLASSES:
        for i in range(per_class):
            height, width = HEIGHT + 4 * (i % 2), WIDTH + 6 * (i % 3)
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            mask = np.zeros((height, width), np.uint8)
            mask[6:14, 8 + i : 20 + i] = 255
            image[..., 0] = mask
            mask[5, 8 + i : 20 + i] = 100  # a soft edge, on the background's side
            write_image(root / "images" / name / f"{i}.png", image)
            write_image(root / "masks" / name / f"{i}.png", mask)
    return read_images(root / "images", masks=root / "masks")


def manifest(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSet, Path]:
    root = tmp_path_factory.mktemp("challenge")
    images = sample(root)
    result = build_backgrounds(images, root / "out", workers=1)
    assert (result.images, result.left_out, result.was_complete) == (9, {}, False)
    return images, root / "out"


def test_the_layout_is_the_releases(built: tuple[ImageSet, Path]) -> None:
    _, out = built
    for variant in VARIANTS:
        for name in CLASSES:
            found = sorted(path.name for path in (out / variant / "val" / name).iterdir())
            assert len(found) == 3
            if variant in MIXED:
                assert [file.split("_bg_")[0] for file in found] == ["fg_0", "fg_1", "fg_2"]
            else:
                assert found == ["0.png", "1.png", "2.png"]
    binary = np.load(out / "fg_mask/val/cat/0.npy")
    assert binary.shape == (HEIGHT, WIDTH)
    assert binary.dtype == np.uint8
    assert set(np.unique(binary)) == {0, 1}
    assert binary.sum() == 8 * 12
    assert (out / "grid.jpg").is_file()


def test_the_manifest_tells_the_truth(built: tuple[ImageSet, Path]) -> None:
    images, out = built
    rows = manifest(out)
    assert len(rows) == 8 * 9
    for row in rows:
        assert (out / row["file"]).is_file()
        assert row["variant"] == row["file"].split("/")[0]
        for kind in ("foreground", "background"):
            assert row[f"{kind}_class"] == row[kind].split("/")[0]
    for variant in MIXED:
        mixed = [row for row in rows if row["variant"] == variant]
        assert [row["foreground"] for row in mixed] == list(images.paths)
        assert all(row["foreground"] != row["background"] for row in mixed)
        for row in mixed:
            stems = Path(row["foreground"]).stem, Path(row["background"]).stem
            assert Path(row["file"]).name == f"fg_{stems[0]}_bg_{stems[1]}.png"
            own, other = CLASSES.index(row["foreground_class"]), CLASSES.index(row["background_class"])
            assert variant != "mixed_same" or other == own
            assert variant != "mixed_next" or other == (own + 1) % 3
    shown = {row["variant"]: (bool(row["foreground"]), bool(row["background"])) for row in rows}
    assert shown["original"] == (True, True)
    assert shown["only_fg"] == (True, False)
    assert shown["no_fg"] == shown["only_bg_b"] == shown["only_bg_t"] == (False, True)


def test_foregrounds_are_whole_and_backgrounds_bare(built: tuple[ImageSet, Path]) -> None:
    images, out = built
    for row in manifest(out):
        picture = read_image(out / row["file"])
        path = row["foreground"] or row["background"]
        original, mask = read_image(images.root / path), read_image(images.root.parent / "masks" / path)[..., 0]
        on, off = mask == 255, mask == 0
        assert picture.shape == original.shape
        if row["variant"] in ("original", "only_fg", *MIXED):
            assert (picture[on] == original[on]).all()
        if row["variant"] in MIXED:
            assert (picture[off][:, 0] == 0).all()  # nothing red came with the background
            assert (picture[off] != original[off]).any()
        if row["variant"] in ("no_fg", "only_bg_b"):
            assert (picture[on] == 0).all()
        if row["variant"] in ("no_fg", "original"):
            assert (picture[off] == original[off]).all()
        if row["variant"] == "only_fg":
            assert (picture[off] == 0).all()
        if row["variant"] == "only_bg_t":
            assert (picture[..., 0] == 0).all()


def test_a_build_does_not_depend_on_the_workers(built: tuple[ImageSet, Path], tmp_path: Path) -> None:
    images, out = built
    build_backgrounds(images, tmp_path / "again", workers=2)
    assert files(tmp_path / "again") == files(out)


def test_seeds_change_the_draws(built: tuple[ImageSet, Path], tmp_path: Path) -> None:
    images, out = built
    build_backgrounds(images, tmp_path / "other", seed=1, workers=1)
    assert manifest(tmp_path / "other") != manifest(out)


def test_a_complete_build_is_left_alone_and_others_refused(built: tuple[ImageSet, Path]) -> None:
    images, out = built
    before = files(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = build_backgrounds(images, out, workers=1)
    assert (again.images, again.was_complete) == (9, True)
    for key, choices in {"seed": {"seed": 4}, "edges": {"edges": "hard"}, "size": {"size": 16}}.items():
        with pytest.raises(ValueError, match=f"made with {key} = "):
            build_backgrounds(images, out, workers=1, **choices)
    with pytest.raises(ValueError, match="made with images = "):
        build_backgrounds(images.select(np.arange(8)), out, workers=1)
    assert files(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times


@pytest.mark.parametrize("stage", ["build_one", "mix_one"])
def test_an_interrupted_build_goes_on(
    built: tuple[ImageSet, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    images, out = built
    real, done = getattr(challenge_builder, stage), []

    def stopping(settings: object, item: object) -> object:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(item)
        return real(settings, item)

    monkeypatch.setattr(challenge_builder, stage, stopping)
    with pytest.raises(KeyboardInterrupt):
        build_backgrounds(images, tmp_path / "out", workers=1)
    assert not (tmp_path / "out/manifest.csv").exists()
    with (tmp_path / "out/images.csv").open("a", encoding="utf-8") as table:
        table.write("ein Vogel ü/2.png,o")  # cut short
    stale = tmp_path / "out/mixed_rand/val/cat/fg_0_bg_stale.png"
    write_image(stale, np.zeros((4, 4, 3), np.uint8))

    def counting(settings: object, item: object) -> object:
        done.append(item)
        return real(settings, item)

    monkeypatch.setattr(challenge_builder, stage, counting)
    build_backgrounds(images, tmp_path / "out", workers=1)
    assert len(done) == len(images)
    assert files(tmp_path / "out") == files(out)


def test_hard_edges_size_and_jpeg(tmp_path: Path) -> None:
    images = sample(tmp_path, 2)
    build_backgrounds(images, tmp_path / "out", edges="hard", format="jpeg", size=16, split="test", workers=1)
    for variant in VARIANTS:
        found = list((tmp_path / "out" / variant / "test").rglob("*.JPEG"))
        assert len(found) == 6
        assert all(read_image(file).shape == (16, 16, 3) for file in found)
    assert np.load(tmp_path / "out/fg_mask/test/dog/0.npy").shape == (16, 16)


def test_hard_edges_have_no_blend(tmp_path: Path) -> None:
    images = sample(tmp_path, 2)
    for file in images.masks:
        mask = read_mask(file)
        mask[13][mask[13] == 255] = 160  # a soft edge on the foreground's side
        write_image(file, mask)
    build_backgrounds(images, tmp_path / "out", edges="hard", workers=1)
    pasted = list((tmp_path / "out").glob("mixed_*/val/*/*.png"))
    assert len(pasted) == len(MIXED) * len(images)
    for file in pasted:
        assert set(np.unique(read_image(file)[..., 0])) == {0, 255}


def test_unusable_masks_are_left_out_and_counted(tmp_path: Path) -> None:
    images = sample(tmp_path, 5)
    (tmp_path / "masks/cat/0.png").unlink()
    write_image(tmp_path / "masks/cat/1.png", np.full((28, 38), 127, np.uint8))
    write_image(tmp_path / "masks/dog/0.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    result = build_backgrounds(images, tmp_path / "out", workers=1)
    assert result.left_out == {"box_too_large": 1, "empty": 1, "no_mask": 1}
    assert result.images == 12
    assert len(manifest(tmp_path / "out")) == 8 * 12
    again = build_backgrounds(images, tmp_path / "out", workers=1)
    assert (again.left_out, again.was_complete) == (result.left_out, True)


def test_boxes_widen_the_masks_own(tmp_path: Path) -> None:
    images = sample(tmp_path, 2)
    boxes = np.full((len(images), 4), np.nan)
    boxes[0] = 2, 8, 12, 18  # reaches out of the mask's box (8, 6, 19, 13) to the left and below
    build_backgrounds(replace(images, boxes=boxes), tmp_path / "out", workers=1)
    black = (read_image(tmp_path / "out/only_bg_b/val/cat/0.png") == 0).all(-1)
    assert black[6:19, 2:20].all()
    assert black.sum() <= 13 * 18 + 2


def test_broken_input_is_named_or_skipped(tmp_path: Path) -> None:
    images = sample(tmp_path, 4)
    file = tmp_path / "images/dog/2.png"
    file.write_bytes(file.read_bytes()[:300])
    write_image(tmp_path / "masks/cat/3.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ValueError, match=r"masks/cat/3\.png is 5 x 5"):
        build_backgrounds(images, tmp_path / "out", workers=1)
    write_image(tmp_path / "masks/cat/3.png", read_image(tmp_path / "images/cat/3.png")[..., 0])
    with pytest.raises(ImageError, match=r"dog/2\.png"):
        build_backgrounds(images, tmp_path / "out", workers=1)
    assert build_backgrounds(images, tmp_path / "out", workers=1, skip_bad=True).left_out == {"unreadable": 1}


def test_what_cannot_be_built_is_said_first(tmp_path: Path) -> None:
    images = sample(tmp_path, 2)
    one = images.select(np.flatnonzero(images.targets == 0))
    with pytest.raises(ValueError, match=r"class 'dog' of .* has 0 images"):
        build_backgrounds(one, tmp_path / "out", workers=1)
    with pytest.raises(ValueError, match="1 class: mixed_next needs at least 2"):
        build_backgrounds(replace(one, classes=("cat",)), tmp_path / "out", workers=1)
    with pytest.raises(ValueError, match="has no classes"):
        build_backgrounds(replace(one, classes=(), targets=one.targets - 1), tmp_path / "out", workers=1)
    with pytest.raises(ValueError, match="longcut data segment"):
        build_backgrounds(replace(images, masks=None), tmp_path / "out", workers=1)
    with pytest.raises(ValueError, match=r"'\.\./x' cannot name a folder"):
        build_backgrounds(replace(images, classes=("cat", "dog", "../x")), tmp_path / "out", workers=1)
    (tmp_path / "masks/dog/1.png").unlink()
    with pytest.raises(ValueError, match=r"class 'dog' of .* has 1 image with a usable mask"):
        build_backgrounds(images, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


@settings(max_examples=60)
@given(st.lists(st.integers(2, 7), min_size=2, max_size=5), st.integers(0, 2**40))
def test_partners_are_never_the_image_itself(sizes: list[int], seed: int) -> None:
    targets = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
    indices = np.arange(len(targets))
    partners = draw_partners(targets, indices, len(sizes), seed)
    assert all((chosen != indices).all() for chosen in partners.values())
    assert (targets[partners["mixed_same"]] == targets).all()
    assert (targets[partners["mixed_next"]] == (targets + 1) % len(sizes)).all()


def test_random_partners_are_uniform_over_classes_then_images() -> None:
    targets = np.repeat([0, 1, 2], [400, 60, 4]).astype(np.int64)
    drawn = np.concatenate([draw_partners(targets, np.arange(464), 3, seed)["mixed_rand"] for seed in range(60)])
    shares = np.bincount(targets[drawn], minlength=3) / len(drawn)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.015)
    small = np.bincount(drawn, minlength=464)[460:] / len(drawn)
    assert small == pytest.approx([1 / 12] * 4, abs=0.01)


def test_names_are_unique_in_their_folder() -> None:
    paths = ["a/p/x.png", "a/q/X.jpg", "a/x-2.png", "b/x.png"]
    assert unique_stems(paths, ["a", "a", "a", "b"]) == ["x", "X-3", "x-2", "x"]
    many = 10_000
    assert unique_stems(["x.png"] * many, ["a"] * many) == ["x", *(f"x-{number}" for number in range(2, many + 1))]
    names = mixed_names(["a", "a_bg_b"], ["b_bg_c", "c"], ["k", "k"])
    assert names == ["fg_a_bg_b_bg_c", "fg_a_bg_b_bg_c-2"]


PIXELS = arrays(np.uint8, (3, 4, 3))


@settings(max_examples=100)
@given(PIXELS, arrays(np.uint8, (3, 4)), PIXELS)
def test_pastes_never_show_background_where_the_mask_is_on(
    foreground: np.ndarray, mask: np.ndarray, background: np.ndarray
) -> None:
    pasted = blend(foreground, mask, background)
    assert (pasted[mask == 255] == foreground[mask == 255]).all()
    assert (pasted[mask == 0] == background[mask == 0]).all()
    share = mask[..., None] / 255
    # OpenCV divides by the sum of the weights plus 1e-5: a hundred-thousandth of 255 beside the rounding.
    assert np.abs(pasted - (share * foreground + (1 - share) * background)).max() <= 0.5 + 0.0027
    hard = blend(foreground, harden(mask), background)
    assert (hard == np.where(mask[..., None] >= 128, foreground, background)).all()


@settings(max_examples=100)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_covers_fill_the_frame(height: int, width: int, frame_height: int, frame_width: int) -> None:
    picture = np.full((height, width, 3), 77, np.uint8)
    covered = cover(picture, frame_height, frame_width)
    assert covered.shape == (frame_height, frame_width, 3)
    assert (covered == 77).all()
    box = cover_box((0, 0, width - 1, height - 1), picture.shape, frame_height, frame_width)
    assert box in (None, (0, 0, frame_width - 1, frame_height - 1))


def test_boxes_follow_their_pixels() -> None:
    assert cover_box((10, 5, 29, 14), (40, 60, 3), 20, 20) == (0, 2, 9, 7)  # halved, and 5 columns cut from each side
    assert cover_box((0, 5, 11, 14), (40, 60, 3), 20, 20) is None  # most of it is cut away
    assert cover_box((30, 10, 33, 13), (40, 60), 40, 60) == (30, 10, 33, 13)


def test_names_that_look_like_a_mixed_image_keep_their_foreground() -> None:
    paths = ["val/a/fg_dog.png", "val/a/x_bg_y.png", "val/a/plain.png"]
    stems = unique_stems(paths, ["a"] * 3)
    mixed = mixed_names(stems, stems[::-1], ["a"] * 3)
    for stem, name in zip(stems, mixed, strict=True):
        assert foreground_of(f"val/a/{stem}.png") == foreground_of(f"val/a/{name}.png") == ("a", stem)
