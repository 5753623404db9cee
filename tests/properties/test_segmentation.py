"""Masks: the challenge's recipe, verdicts, going on after a stop, and networks from ONNX files."""

from __future__ import annotations

import fcntl
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folders import files

from longcut.data.builders import grabcut, segmentation
from longcut.data.builders.grabcut import grabcut_mask
from longcut.data.builders.saliency import preset_of, saliency_mask
from longcut.data.builders.segmentation import check_masks, segment
from longcut.data.decoding import ImageError, read_mask, write_image
from longcut.data.image_set import ImageSet, read_images
from longcut.data.pool import map_items


def disc(height: int, width: int, centre: tuple[int, int], radius: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on green, with noise; and where it is."""
    y, x = np.mgrid[:height, :width]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    image = np.where(inside[..., None], (200, 40, 40), (40, 150, 60))
    noise = np.random.default_rng(height * width + radius).integers(-12, 13, image.shape)
    return (image + noise).astype(np.uint8), inside


def folder(root: Path, count: int = 6) -> ImageSet:
    for i in range(count):
        image, _ = disc(48, 64, (30 + i, 24), 12)
        write_image(root / "ä b" / f"{i}.png", image)
    boxes = np.array([(17 + i, 11, 43 + i, 37) for i in range(count)], np.float64)
    return replace(read_images(root), boxes=boxes)


@pytest.mark.parametrize(("height", "width", "radius"), [(48, 64, 12), (200, 240, 60), (400, 520, 110)])
def test_grabcut_finds_a_disc(height: int, width: int, radius: int) -> None:
    x, y = width // 2, height // 2
    image, inside = disc(height, width, (x, y), radius)
    box = (x - radius - 2, y - radius - 2, x + radius + 2, y + radius + 2)
    mask, verdict = grabcut_mask(image, box, seed=1)
    assert verdict == "ok"
    assert mask is not None
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    union = (inside | (mask >= 128)).sum()
    assert (inside & (mask >= 128)).sum() / union > 0.9
    again, _ = grabcut_mask(image, box, seed=1)
    assert (mask == again).all()
    without, _ = grabcut_mask(image, seed=1)
    assert without is not None
    assert (inside & (without >= 128)).sum() / (inside | (without >= 128)).sum() > 0.9


def test_grabcut_stays_in_its_box() -> None:
    image, _ = disc(192, 200, (100, 96), 60)
    mask, _ = grabcut_mask(image, (45, 30, 140, 165), seed=0)
    assert mask is not None
    outside = mask.copy()
    outside[30:166, 45:141] = 0
    assert mask.any()
    assert not outside.any()


@pytest.mark.parametrize(
    ("box", "verdict"),
    [
        ((5, 5, 5, 30), "bad_box"),
        ((70, 5, 90, 30), "bad_box"),
        ((-9, -9, -2, -2), "bad_box"),
        ((0, 0, 63, 46), "box_too_large"),
        ((-4, -4, 99, 99), "box_too_large"),
    ],
)
def test_boxes_that_cannot_be_used_get_a_verdict(box: tuple[int, ...], verdict: str) -> None:
    assert grabcut_mask(disc(48, 64, (30, 24), 12)[0], box, seed=0) == (None, verdict)


def test_an_even_image_gives_no_mask() -> None:
    assert grabcut_mask(np.full((48, 64, 3), 90, np.uint8), (10, 10, 40, 40), seed=0) == (None, "empty")


def test_a_mask_under_a_tenth_of_the_box_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []

    def speck(image: np.ndarray, rectangle: object, number: int, iterations: int) -> np.ndarray:
        numbers.append(number)
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[100:110, 100:110] = 1
        return mask

    monkeypatch.setattr(grabcut, "_cut", speck)
    assert grabcut_mask(disc(200, 240, (100, 100), 40)[0], (20, 20, 180, 180), seed=5) == (None, "too_small")
    assert len(set(numbers)) == 11


def test_work_sizes() -> None:
    for shape, expected in [((64, 64), (192, 192)), ((200, 300), (200, 300)), ((512, 600), (256, 300))]:
        work, rectangle = grabcut._at_work_size(np.zeros((*shape, 3), np.uint8), (0, 0, 31, 31), 256)
        assert work.shape[:2] == expected
        assert rectangle == (0, 0, *(round(32 * expected[0] / shape[0]),) * 2)


def test_every_image_gets_a_row_and_workers_do_not_matter(tmp_path: Path) -> None:
    images = folder(tmp_path / "images")
    boxes = images.boxes.copy()
    boxes[0], boxes[1], boxes[2] = (0, 0, 63, 47), (9, 9, 9, 9), np.nan
    images = replace(images, boxes=boxes)
    rows = segment(images, tmp_path / "one", workers=1)
    assert [row.verdict for row in rows] == ["box_too_large", "bad_box", "ok", "ok", "ok", "ok"]
    assert [row.path for row in rows] == list(images.paths)
    assert rows[2].box is None
    assert rows[3].area == pytest.approx(np.pi * 12**2 / 48 / 64, rel=0.15)
    assert not (tmp_path / "one/ä b/0.png").exists()
    assert segment(images, tmp_path / "two", workers=2) == rows
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert {"masks.csv", "masks.jpg", "build.json"} < set(files(tmp_path / "one"))


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder(tmp_path / "images")
    expected = segment(images, tmp_path / "whole", workers=1)
    real, seen = segmentation._segment_one, []

    def stopping(job: object, item: tuple[str, object]) -> object:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(item[0])
        return real(job, item)

    monkeypatch.setattr(segmentation, "_segment_one", stopping)
    with pytest.raises(KeyboardInterrupt):
        segment(images, tmp_path / "masks", workers=1)
    table = tmp_path / "masks/masks.csv"
    table.write_text(table.read_text(encoding="utf-8") + "ä b/3.png,ok,0.1", encoding="utf-8")  # cut short
    (tmp_path / "masks/.7.part").write_bytes(b"half")

    def counting(job: object, item: tuple[str, object]) -> object:
        seen.append(item[0])
        return real(job, item)

    monkeypatch.setattr(segmentation, "_segment_one", counting)
    assert segment(images, tmp_path / "masks", workers=1) == expected
    assert seen == list(images.paths)
    assert files(tmp_path / "masks") == files(tmp_path / "whole")
    segment(images, tmp_path / "masks", workers=1)
    assert len(seen) == len(images)
    moved = replace(images, boxes=images.boxes + np.eye(6)[:, :1])  # the first image's box
    segment(moved, tmp_path / "masks", workers=1)
    assert seen[len(images) :] == [images.paths[0]]


def test_a_mask_that_no_longer_holds_is_removed(tmp_path: Path) -> None:
    images = folder(tmp_path / "images", 3)
    assert [row.verdict for row in segment(images, tmp_path / "masks", workers=1)] == ["ok"] * 3
    boxes = images.boxes.copy()
    boxes[1] = 9, 9, 9, 9
    rows = segment(replace(images, boxes=boxes), tmp_path / "masks", workers=1)
    assert [row.verdict for row in rows] == ["ok", "bad_box", "ok"]
    assert images.with_masks(tmp_path / "masks").usable_masks().tolist() == [True, False, True]


def test_one_process_at_a_time_makes_masks(tmp_path: Path) -> None:
    images, masks = folder(tmp_path / "images", 2), tmp_path / "masks"
    masks.mkdir()
    other = os.open(masks, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match="another process builds masks in"):
        segment(images, masks, workers=1)
    os.close(other)
    assert len(segment(images, masks, workers=1)) == 2


def test_other_settings_and_strange_folders_are_refused(tmp_path: Path) -> None:
    images = folder(tmp_path / "images", 2)
    segment(images, tmp_path / "masks", workers=1)
    before = files(tmp_path / "masks")
    with pytest.raises(ValueError, match="seed = 0, not 1"):
        segment(images, tmp_path / "masks", seed=1, workers=1)
    with pytest.raises(ValueError, match="boxes = 'given', not 'none'"):
        segment(replace(images, boxes=None), tmp_path / "masks", workers=1)
    assert files(tmp_path / "masks") == before
    with pytest.raises(ValueError, match="not empty"):
        segment(images, tmp_path / "images", workers=1)
    with pytest.raises(ValueError, match="is a file"):
        segment(images, tmp_path / "images/ä b/0.png", workers=1)


def test_unreadable_images_are_named_or_counted(tmp_path: Path) -> None:
    images = folder(tmp_path / "images", 4)
    broken = tmp_path / "images" / images.paths[2]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    with pytest.raises(ImageError, match=r"2\.png"):
        segment(images, tmp_path / "masks", workers=1)
    rows = segment(images, tmp_path / "masks", workers=1, skip_bad=True)
    assert [row.verdict for row in rows] == ["ok", "ok", "unreadable", "ok"]
    assert "2.png" in rows[2].error
    broken.write_bytes(whole)
    assert segment(images, tmp_path / "masks", workers=1)[2].verdict == "ok"


def test_two_images_cannot_share_a_mask(tmp_path: Path) -> None:
    image = disc(48, 64, (30, 24), 12)[0]
    for name in ("x.png", "x.jpg"):
        write_image(tmp_path / "images/a" / name, image)
    with pytest.raises(ValueError, match=r"a/x\.jpg and a/x\.png .* share one mask"):
        segment(read_images(tmp_path / "images"), tmp_path / "masks", workers=1)


def test_masks_of_ones_own_are_checked(tmp_path: Path) -> None:
    images = folder(tmp_path / "images", 5)
    with pytest.raises(ValueError, match="no masks"):
        check_masks(images)
    for i in range(5):
        write_image(tmp_path / "masks/ä b" / f"{i}.png", np.zeros((48, 64), np.uint8))
    images = images.with_masks(tmp_path / "masks")
    check_masks(images)
    write_image(tmp_path / "masks/ä b/3.png", np.zeros((64, 48), np.uint8))
    with pytest.raises(ValueError, match=r"3\.png is 48 x 64, its image .*3\.png is 64 x 48"):
        check_masks(images)
    for i in range(4):
        (tmp_path / f"masks/ä b/{i}.png").unlink()
    with pytest.raises(ValueError, match=r"4 of 5 images .*0\.png.*, \.\.\.$"):
        check_masks(images)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that says how much redder than green each pixel is, at 16 x 24 pixels."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.array([1, -1, 0], np.float32).reshape(1, 3, 1, 1), "weight")
    nodes = [helper.make_node("Conv", ["x", "weight"], ["y"]), helper.make_node("Sigmoid", ["y"], ["map"])]
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 24])
    exit = helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", 1, 16, 24])
    graph = helper.make_graph(nodes, "redness", [entry], [exit], [weight])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path_factory.mktemp("model") / "u2net_tiny.onnx"
    onnx.save(built, file)
    return file


@pytest.mark.parametrize("preset", ["u2net", "isnet", "birefnet"])
def test_a_network_finds_a_disc(model: Path, preset: str) -> None:
    image, inside = disc(96, 144, (70, 48), 30)
    mask = saliency_mask(image, model, preset)
    assert mask.shape == inside.shape
    assert mask.min() < 12
    assert mask.max() > 243
    assert (inside & (mask >= 128)).sum() / (inside | (mask >= 128)).sum() > 0.9


def test_what_networks_are_fed() -> None:
    from longcut.data.builders.saliency import PRESETS, _prepare

    image = np.full((4, 4, 3), 100, np.uint8)
    image[0, 0] = 200
    imagenet = (0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225
    assert _prepare(image, 4, 4, PRESETS["u2net"])[0, :, 3, 3] == pytest.approx(imagenet, rel=1e-5)  # by the maximum
    assert _prepare(image, 4, 4, PRESETS["isnet"])[0, :, 3, 3] == pytest.approx([100 / 255 - 0.5] * 3, rel=1e-5)
    expected = (100 / 255 - 0.485) / 0.229
    assert _prepare(image, 4, 4, PRESETS["birefnet"])[0, 0, 3, 3] == pytest.approx(expected, rel=1e-5)


def test_segmenting_with_a_network(model: Path, tmp_path: Path) -> None:
    images = folder(tmp_path / "images", 3)
    write_image(tmp_path / "images/ä b/3.png", np.full((48, 64, 3), 80, np.uint8))
    images = replace(read_images(tmp_path / "images"), boxes=None)
    rows = segment(images, tmp_path / "masks", method="onnx", model=model, workers=1)
    assert [row.verdict for row in rows] == ["ok", "ok", "ok", "empty"]
    assert read_mask(tmp_path / "masks/ä b/0.png").shape == (48, 64)
    with pytest.raises(ValueError, match="method = 'u2net', not 'isnet'"):
        segment(images, tmp_path / "masks", method="isnet", model=model, workers=1)


def test_a_network_goes_on_where_the_images_have_boxes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = folder(tmp_path / "images", 3)
    rows = segment(images, tmp_path / "masks", method="onnx", model=model, workers=1)
    assert [(row.verdict, row.box) for row in rows] == [("ok", None)] * 3
    monkeypatch.setattr(segmentation, "_segment_one", None)
    assert segment(images, tmp_path / "masks", method="onnx", model=model, workers=1) == rows
    moved = replace(images, boxes=images.boxes + 1)
    assert segment(moved, tmp_path / "masks", method="onnx", model=model, workers=1) == rows


def test_wrong_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder(tmp_path / "images", 2)
    (tmp_path / "u2net.onnx").write_bytes(b"no model")
    for model, message in [(tmp_path / "u2net.onnx", "is no ONNX model"), (tmp_path / "absent.onnx", "does not exist")]:
        with pytest.raises(ValueError, match=message):
            segment(images, tmp_path / "masks", method="u2net", model=model)
    with pytest.raises(ValueError, match="needs an ONNX file"):
        segment(images, tmp_path / "masks", method="onnx")
    with pytest.raises(ValueError, match="takes no model"):
        segment(images, tmp_path / "masks", model=tmp_path / "u2net.onnx")
    with pytest.raises(ValueError, match="tells no family"):
        preset_of("model.onnx")
    assert [preset_of(f"/x/{name}.onnx") for name in ("u2netp", "IS-Net-general", "BiRefNet_lite")] == [
        "u2net",
        "isnet",
        "birefnet",
    ]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"longcut\[segment\]"):
        segment(images, tmp_path / "masks", method="u2net", model=tmp_path / "u2net.onnx")
    assert not (tmp_path / "masks").exists()


def refuse_seven(number: int) -> int:
    if number == 7:
        raise ImageError("seven is refused")
    return number * number


@pytest.mark.parametrize(("workers", "before"), [(1, 7), (2, 4)], ids=["in this process", "in chunks of 4"])
def test_results_come_in_order_until_one_fails(workers: int, before: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(map_items(abs, range(-200, 0), workers=workers, label="work")) == list(range(200, 0, -1))
    assert "work: 200/200" in capsys.readouterr().err
    got: list[int] = []
    with pytest.raises(ImageError, match="seven is refused"):
        got.extend(map_items(refuse_seven, range(20), workers=workers))
    assert got == [n * n for n in range(before)]


def test_wrong_pools_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        list(map_items(abs, [1], workers=0))
    with pytest.raises(ValueError, match="'pool' or 'ray'"):
        list(map_items(abs, [1], engine="threads"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"longcut\[ray\]"):
        list(map_items(abs, [1], engine="ray"))
