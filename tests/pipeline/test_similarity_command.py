"""`longcut similarity`: pairs as a run augments them, a table, a figure, rows; faults in one line."""

from __future__ import annotations

import json
import math
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMALL, Longcut, Refused
from made_images import CLASSES, write_images
from PIL import Image

from longcut.data.decoding import read_image
from longcut.data.image_set import read_images
from longcut.data.resizing import centre_crop
from longcut.engine.settings import parse_value, resolve
from longcut.evaluation.similarity import draw_others
from longcut.recipes import similarity as recipe
from longcut.recipes.inputs import Inputs
from longcut.recipes.models import open_model
from longcut.recipes.similarity import similarity
from longcut.recipes.training import train_run
from longcut.report.distributions import draw_similarities, format_similarities

pytestmark = pytest.mark.usefixtures("one_process")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of MoCo, and one of it without augmentation."""
    folder = tmp_path_factory.mktemp("trained")
    write_images(folder / "data", count=4)
    still = ["scale=[1.0, 1.0]", "ratio=[1.0, 1.0]", "flip=0", "jitter=[0, 0, 0, 0]", "jitter_probability=0"]
    still += ["grey=0", "blur=0"]
    for name, words in (("moco", []), ("still", still)):
        changes = {key: parse_value(v) for key, _, v in (word.partition("=") for word in (*SMALL, *words))}
        settings = resolve("moco_small", changes | {"capacity": 16})
        train_run(settings, Inputs(folder / "data"), folder / name)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "trained"))


def _rows(run: Path) -> dict[str, dict]:
    return {row["metric"]: row for row in map(json.loads, (run / "results.jsonl").read_text().splitlines())}


def _write_textures(root: Path, count: int = 4) -> Path:
    for name in CLASSES:
        for number in range(count):
            (root / name).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([len(name), number]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_a_table_a_figure_and_rows(folder: Path, tmp_path: Path, longcut: Longcut) -> None:
    figure, textures = tmp_path / "figure.svg", _write_textures(tmp_path / "textures")
    runs = folder / "moco", folder / "still"
    told = longcut("similarity", *runs, "--data", folder / "data", "--textures", textures, "--out", figure)
    assert told.code == 0, told.err
    head, *lines = told.out.splitlines()
    assert head.split("  ")[-1] == "Texture negatives"
    assert [line.split()[0] for line in lines] == [str(run) for run in runs]
    rows = _rows(folder / "moco")
    assert [f"{float(word):.4f}" for word in lines[0].split()[1:]] == [
        f"{rows[f'similarity_{kind}']['value']:.4f}" for kind in ("positive", "negative", "patch", "texture")
    ]
    assert {(row["n"], row["dataset"], row["embedding"]) for row in rows.values()} == {(12, "all", "projections")}
    assert ElementTree.parse(figure).getroot().tag.endswith("svg")
    assert "12 queries, compared by their projections" in told.err
    assert longcut("compare", folder / "moco").code == 0


def test_identical_views_are_wholly_similar(folder: Path) -> None:
    (still,) = similarity([str(folder / "still")], folder / "data")
    np.testing.assert_allclose(still.values["positive"], 1, atol=1e-5)
    (row,) = (row for row in still.rows if row["metric"] == "similarity_positive")
    assert row["low"] < 0.6 < 0.999 < row["high"] <= 1, "of 12 queries"
    assert still.values["patch"].max() < 1
    (moco,) = similarity([str(folder / "moco")], folder / "data")
    assert moco.values["positive"].max() < 1


def test_similarities_are_those_of_the_embeddings(folder: Path) -> None:
    """Without augmentation the queries are the images, so standard negatives can be worked out beside it."""
    (still,) = similarity([str(folder / "still")], folder / "data", num_negatives=3, seed=5)
    model, _ = open_model(str(folder / "still"))
    images = read_images(folder / "data")
    pixels = np.stack([centre_crop(read_image(images.root / path), 32) for path in images.paths])
    with torch.no_grad():
        queries = model.network.projector(model.network.encode(model.normalisation(torch.from_numpy(pixels))))
    queries = queries.double().numpy()
    for row, others in enumerate(draw_others(12, 3, seed=5)):
        for place, other in enumerate(others):
            a, b = queries[row], queries[other]
            expected = float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
            assert still.values["negative"][row, place] == pytest.approx(expected, abs=2e-3)


def test_runs_see_the_same_pairs_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(folder / "moco")
    (first,) = similarity([run, run], folder / "data", seed=3)
    before = (folder / "moco" / "results.jsonl").read_bytes()
    monkeypatch.setattr(recipe, "BATCH", 5)
    (second,) = similarity([run], folder / "data", seed=3)
    for kind, values in first.values.items():
        np.testing.assert_allclose(values, second.values[kind], atol=1e-5)
    assert len((folder / "moco" / "results.jsonl").read_bytes().splitlines()) == len(before.splitlines()) == 3
    (third,) = similarity([run], folder / "data", seed=4)
    assert not np.allclose(first.values["positive"], third.values["positive"])


def test_a_run_without_a_projector_is_compared_by_its_features(run: Path, finished: Path) -> None:
    (found,) = similarity([str(run)], finished / "data")
    assert found.embedding == "features"


def test_flat_folders_and_images_without_a_texture(folder: Path, tmp_path: Path) -> None:
    write_images(tmp_path, classes=("flat",), count=5)
    textures = tmp_path / "textures"
    textures.mkdir()
    for number in range(3):
        shutil.copy(tmp_path / "flat" / f"{number}.png", textures / f"{number}.png")
    lines: list[str] = []
    (found,) = similarity([str(folder / "still")], tmp_path / "flat", textures=textures, say=lines.append)
    assert "2 of 5 images have no texture and are left out" in lines
    assert {len(values) for values in found.values.values()} == {3}
    np.testing.assert_allclose(found.values["texture"], 1, atol=1e-5)  # each image stood for its own texture
    (few,) = similarity([str(folder / "still")], tmp_path / "flat", limit_per_class=2)
    assert len(few.values["positive"]) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "figure.pdf"], "cannot write figure.pdf: a figure is written as .svg or .png"),
        (["--negatives", "0"], "each query has at least 1 standard negative, not 0"),
        (["--textures", "nowhere"], "nowhere holds no texture of the images"),
        (["--split", "val"], ""),
        (["--selection", "first"], "selection is one of last, best_val, best_val_group, best_test, not 'first'"),
        (["--limit-per-class", "1", "--data", "one"], "give at least 2 images"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], expected: str, folder: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path, classes=("one",), count=2)
    if words[0] == "--split":
        (folder / "data").rename(folder / "train")
        (folder / "data").mkdir()
        (folder / "train").rename(folder / "data" / "train")
        expected = "has no split 'val': it has train"
    assert expected in refused("similarity", folder / "moco", "--data", folder / "data", *words)
    assert not (folder / "moco" / "results.jsonl").exists()


def test_the_figure_has_a_panel_for_each_kind_and_is_reproducible(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    runs = {
        "plain": {"positive": draw.uniform(0.8, 1, 50), "negative": draw.uniform(-0.3, 0.3, (50, 4))},
        "_patch <b>": {"positive": draw.uniform(0.7, 1, 50), "patch": draw.uniform(0, 0.5, 50)},
    }
    for name in ("a.svg", "b.svg", "c.png"):
        draw_similarities(runs, tmp_path / "new" / name)
    svg = (tmp_path / "new" / "a.svg").read_text()
    assert svg == (tmp_path / "new" / "b.svg").read_text()
    for words in ("Positives", "Standard negatives", "Patch negatives", "plain", "\u200b_patch &lt;b&gt;"):
        assert words in svg
    assert "Texture negatives" not in svg
    with Image.open(tmp_path / "new" / "c.png") as picture:
        assert picture.width > 1000
    head, plain, patch = format_similarities(runs).splitlines()
    assert head.split("  ")[-1] == "Patch negatives"
    assert plain.endswith("\u2013")
    assert patch.split()[-1] == f"{runs['_patch <b>']['patch'].mean():.4f}"
    with pytest.raises(ValueError, match="no similarities to draw"):
        draw_similarities({}, tmp_path / "d.svg")
