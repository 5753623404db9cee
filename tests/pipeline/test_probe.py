"""`longcut probe`: features computed once, classifiers that never see the test set, faults in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Longcut, Refused
from made_images import CLASSES, write_images

from longcut.data.decoding import read_image
from longcut.data.image_set import read_images
from longcut.data.loader import Normalisation
from longcut.data.resizing import centre_crop
from longcut.recipes.frozen import frozen_features
from longcut.recipes.models import Model, open_model
from longcut.recipes.probe import Probes, probe

pytestmark = pytest.mark.usefixtures("one_process")


@pytest.fixture
def split_data(tmp_path: Path) -> Path:
    write_images(tmp_path / "split" / "train", count=8)
    write_images(tmp_path / "split" / "val", count=4, seed=1)
    return tmp_path / "split"


@pytest.fixture
def model(run: Path) -> Model:
    return open_model(str(run))[0]


def _rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]


def test_probes_go_to_the_results_and_to_a_small_table(run: Path, split_data: Path, longcut: Longcut) -> None:
    told = longcut("probe", run, "--data", split_data)
    assert told.code == 0, told.err
    table = [line.split() for line in told.out.splitlines()]
    assert [line[:2] for line in table] == [["linear", "val"], ["knn", "val"]]
    rows = [row for row in _rows(run) if row["class"] is None]
    assert [(row["metric"], row["n"], row["selection"]) for row in rows] == [
        ("linear_accuracy", 12, "last"),
        ("knn_accuracy", 12, "last"),
    ]
    assert rows[0]["probe"]["solver"] == "lbfgs"
    assert rows[1]["probe"] == {"neighbours": 24, "temperature": 0.1}
    assert "all 24 training images vote, fewer than 200" in told.err
    assert rows[0]["value"] > 0.6  # the class's hue is in the features of an untrained network too
    assert {row["class"] for row in _rows(run)} == {None, *CLASSES}
    assert longcut("compare", run).code == 0


def test_a_network_of_which_only_scores_are_known_is_probed_by_them(
    split_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    (tmp_path / "nets_of_scores.py").write_text("def score(images):\n    return images.mean(dim=(2, 3))\n")
    monkeypatch.chdir(tmp_path)
    model, _ = open_model("nets_of_scores:score", image_size=16)
    probe(model, split_data, tmp_path / "out", say=lines.append)
    assert "train: computing scores, the only features known, of 24 images once" in lines


def test_features_are_computed_once(run: Path, model: Model, split_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    first = probe(model, split_data, run, say=lines.append)
    assert sum("computing features" in line for line in lines) == 2
    assert len(list((run / "features").glob("*.npz"))) == 2

    def never(*given: object, **options: object) -> None:
        raise AssertionError("a forward pass")

    monkeypatch.setattr(model.network, "encode", never)
    monkeypatch.setattr("longcut.recipes.frozen.open_images", never)
    lines.clear()
    assert probe(model, split_data, run, say=lines.append) == first
    assert sum("read from" in line for line in lines) == 2
    with pytest.raises(AssertionError, match="a forward pass"):
        probe(model, split_data, run, limit_per_class=3)  # other images, other features


def test_features_are_those_of_the_network(run: Path, model: Model, split_data: Path) -> None:
    images = read_images(split_data, "val")
    found = frozen_features(model, images, "val", run / "features", views=2)
    assert found.passes.shape == (3, 12, found.features.shape[1])
    pixels = np.stack([centre_crop(read_image(images.root / path), 32) for path in images.paths])
    with torch.no_grad():
        expected = model.network.encode(model.normalisation(torch.from_numpy(pixels)))
    np.testing.assert_allclose(found.features, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(found.passes[1], found.passes[2])
    again = frozen_features(model, images, "val", run / "features", views=2)
    np.testing.assert_array_equal(again.passes, found.passes)
    assert (again.images.paths, again.digest) == (images.paths, found.digest)


def test_other_images_labels_weights_or_sizes_are_other_features(run: Path, model: Model, split_data: Path) -> None:
    images = read_images(split_data, "val")
    others = replace(images, root=split_data / "val2")
    shutil.copytree(split_data / "val", others.root / "val")
    moved = replace(images, targets=images.targets[::-1].copy())
    reweighted = replace(model, subject=replace(model.subject, weights_hash="another"))
    greyer = replace(model, normalisation=Normalisation(std=(1.0, 1.0, 1.0)))
    for known, given in (
        *((model, given) for given in (images, others, moved)),
        *((known, images) for known in (reweighted, greyer, replace(model, image_size=24))),
    ):
        before = len(list((run / "features").glob("*")))
        frozen_features(known, given, "val", run / "features")
        assert len(list((run / "features").glob("*"))) == before + 1


def test_a_broken_file_of_features_is_made_anew(run: Path, model: Model, split_data: Path) -> None:
    images = read_images(split_data, "val")
    first = frozen_features(model, images, "val", run / "features")
    (file,) = (run / "features").glob("val-*.npz")
    file.write_bytes(file.read_bytes()[:100])
    lines: list[str] = []
    second = frozen_features(model, images, "val", run / "features", say=lines.append)
    assert "is broken" in lines[0]
    np.testing.assert_array_equal(first.passes, second.passes)


def test_the_papers_recipe_has_a_row_of_its_own(run: Path, split_data: Path, longcut: Longcut) -> None:
    told = longcut("probe", run, "--data", split_data, "--kind", "linear", "--solver", "sgd", "--views", 2, "--lr", 1)
    assert told.code == 0, told.err
    assert told.out.startswith("linear sgd")
    (row,) = [row for row in _rows(run) if row["class"] is None]
    assert (row["metric"], row["probe"]) == ("linear_sgd_accuracy", {"solver": "sgd", "lr": 1.0, "views": 2})


def test_one_split_is_parted_and_it_is_said(run: Path, data: Path, longcut: Longcut) -> None:
    told = longcut("probe", run, "--data", data, "--kind", "knn")
    assert "a fifth of each class is held out for the test, 3 of 12" in told.err
    assert {row["dataset"] for row in _rows(run)} == {"held_out"}
    assert {row["n"] for row in _rows(run)} == {1, 3}


def test_the_test_set_has_no_part_in_the_fit(run: Path, model: Model, split_data: Path) -> None:
    """With the training labels shuffled nothing is left to find, whatever the test set says."""
    names = [f"{label}/{number}.png" for label in CLASSES for number in range(8)]
    shuffled = np.random.default_rng(0).permutation(names)
    for name, source in zip(names, shuffled, strict=True):
        target = split_data.parent / "shuffled" / "train" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(split_data / "train" / source, target)
    write_images(split_data.parent / "shuffled" / "val", count=40, seed=1)
    rows = probe(model, split_data.parent / "shuffled", run)
    assert all(row["value"] < 0.65 for row in rows if row["class"] is None)
    rows = probe(model, split_data, run)
    assert all(row["value"] > 0.75 for row in rows if row["class"] is None)


def test_coarse_classes_are_measured_on_the_images_that_have_one(
    run: Path, split_data: Path, tmp_path: Path, longcut: Longcut
) -> None:
    (tmp_path / "coarse.csv").write_text("class,coarse\ncat,pet\ndog,pet\n")
    told = longcut("probe", run, "--data", split_data, "--kind", "knn", "--coarse", tmp_path / "coarse.csv")
    assert "1 of 3 classes have no coarse class and are left out: bird" in told.err
    rows = {(row["metric"], row["class"]): row for row in _rows(run)}
    assert rows["knn_coarse_accuracy", None]["n"] == rows["knn_fine_accuracy", None]["n"] == 8
    fine = sum(rows["knn_accuracy", name]["sum"] for name in ("cat", "dog"))
    assert rows["knn_fine_accuracy", "pet"]["sum"] == fine
    assert rows["knn_coarse_accuracy", "pet"]["sum"] >= fine


def test_the_classes_are_those_of_the_data_that_is_probed(run: Path, tmp_path: Path) -> None:
    model, _ = open_model(str(run))
    write_images(tmp_path / "other", classes=("left", "right"), count=5)
    rows = probe(model, tmp_path / "other", run)
    assert {row["class"] for row in rows} == {None, "left", "right"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--kind", "linear,nearest"], "a probe's kind is one of linear, knn, not nearest"),
        (["--kind", ""], "a probe's kind is one of linear, knn, not none"),
        (["--neighbours", "0"], "neighbours must be at least 1, not 0"),
        (["--knn-temperature", "0"], "the temperature of nearest neighbours must be positive, not 0.0"),
        (["--views", "3"], "views = 3: random crops are for the linear probe by SGD"),
        (["--solver", "sgd", "--lr", "-1"], "the lr of a linear probe must be positive, not -1.0"),
        (["--test", "train"], "--train and --test are both 'train'"),
        (["--test", "test"], "has no split 'test': it has train, val"),
        (["--coarse-prefix", "_"], "no two classes share what stands before '_'"),
        (["--coarse-prefix", "_", "--coarse", "x.csv"], "not from both"),
        (["--coarse", "x.csv"], "cannot read x.csv"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], expected: str, run: Path, split_data: Path, refused: Refused
) -> None:
    assert expected in refused("probe", run, "--data", split_data, *words)
    assert not (run / "results.jsonl").exists()


def test_data_without_labels_is_refused(run: Path, tmp_path: Path, refused: Refused) -> None:
    write_images(tmp_path, classes=("flat",), count=3)
    assert "holds no class folders: a probe needs labels" in refused("probe", run, "--data", tmp_path / "flat")
    write_images(tmp_path / "one", classes=("single",), count=3)
    assert "holds only the class 'single': a probe needs labels" in refused("probe", run, "--data", tmp_path / "one")
    write_images(tmp_path / "few", count=1)
    assert "has one image of each class" in refused("probe", run, "--data", tmp_path / "few")
    write_images(tmp_path / "half" / "val", count=2)
    assert "has no split 'train' (it has val): name one with --train" in refused(
        "probe", run, "--data", tmp_path / "half"
    )


def test_features_that_are_not_finite_are_refused(run: Path, model: Model, split_data: Path) -> None:
    next(model.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(ValueError, match="features that are not finite: its training has diverged"):
        probe(model, split_data, run)


def test_faults_of_the_options_are_found_without_a_command() -> None:
    with pytest.raises(ValueError, match="solver is one of lbfgs, sgd, not 'adam'"):
        Probes(solver="adam")  # type: ignore[arg-type]
