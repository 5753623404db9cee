"""Encoders from images with and without classes, from the folder to the figure of a sweep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMALL, Longcut, Refused, rows_of
from made_images import CLASSES, write_images, write_masks
from torch import nn

from longcut.data.class_lists import read_class_list
from longcut.data.image_set import read_images
from longcut.engine.build import Facts, build_method
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.engine.run_folder import load_run
from longcut.engine.settings import preset_names, resolve
from longcut.methods import ERM

pytestmark = pytest.mark.usefixtures("one_process")
TINY = (*SMALL, "hidden=16", "dim=8", "capacity=10")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Images in no class's folder."""
    write_images(tmp_path / "classes", count=4)
    (tmp_path / "flat").mkdir()
    for file in (tmp_path / "classes").rglob("*.png"):
        shutil.copy(file, tmp_path / "flat" / f"{file.parent.name}_{file.name}")
    return tmp_path / "flat"


# Settings.


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_makes_its_method(name: str) -> None:
    settings = resolve(
        name, {"backbone.name": "convnet5", "backbone.small_stem": False, "data.image_size": 32, "steps": 4}
    )
    method, _ = build_method(settings, Facts(3, 10, 4, num_bias=3, group_counts=[[2, 1, 1]] * 3))
    wanted = settings.hyper_parameters.model_dump().get("non_semantic")
    assert ("non_semantic" in method.needs) == (wanted is not None)
    assert method.non_semantic == wanted


def test_the_list_of_imagenet_100_has_100_classes(tmp_path: Path) -> None:
    names = read_class_list("imagenet100")
    assert len(set(names)) == 100
    assert all(name.startswith("n") and name[1:].isdecimal() and len(name) == 9 for name in names)
    with pytest.raises(ValueError, match="imagenet100"):
        read_class_list("imagenet99")
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(ValueError, match="lists no class"):
        read_class_list(str(tmp_path / "none.txt"))


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_lars_and_what_does_not_decay(weight_decay: float) -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4))
    backbone.num_features = 4  # type: ignore[assignment]
    method = ERM(backbone, num_classes=2).double()
    optimizer = create_optimizer(method, name="lars", lr=0.1, weight_decay=weight_decay, decay_all=False)
    kept, free = optimizer.param_groups
    assert {parameter.ndim for parameter in kept["params"]} == {2}
    assert {parameter.ndim for parameter in free["params"]} == {1}
    assert (kept["weight_decay"], free["weight_decay"]) == (weight_decay, 0.0)
    before, bias = method.head.weight.detach().clone(), method.head.bias.detach().clone()
    gradient = torch.ones_like(before)
    method.head.weight.grad, method.head.bias.grad = gradient.clone(), torch.ones_like(bias)
    optimizer.step()
    decayed = gradient + weight_decay * before
    trust = 0.001 * before.norm() / (gradient.norm() + before.norm() * weight_decay)
    assert torch.allclose(before - method.head.weight, 0.1 * trust * decayed, rtol=1e-5)
    assert torch.allclose(bias - method.head.bias, 0.1 * torch.ones_like(bias), rtol=1e-5), "vectors are not scaled"


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (0.0, [1, 1, 1, 1, 1]),
        (0.04, [1, 1, 1, 1, 1]),
        (0.2, [0.5, 1, 1, 1, 1]),
        (0.25, [0.4, 0.8, 1, 1, 1]),
        (0.4, [0.25, 0.5, 0.75, 1, 1]),
    ],
)
def test_a_rate_rises_to_what_is_set_and_no_higher(warmup: float, expected: list[float]) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = create_scheduler(optimizer, steps=10, warmup=warmup)
    found = []
    for _ in expected:
        found.append(optimizer.param_groups[0]["lr"] / 0.5)
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx(expected)


# Which images.


def test_some_of_the_classes(data: Path) -> None:
    images = read_images(data, only=("dog", "bird"))
    assert images.classes == ("bird", "dog")
    assert sorted(set(images.targets)) == [0, 1]
    assert not any(path.startswith("cat") for path in images.paths)
    with pytest.raises(ValueError, match="lacks 1 of 2 classes asked for: wolf"):
        read_images(data, only=("dog", "wolf"))


def test_without_labels_every_image_at_any_depth_counts(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "b", count=2)
    write_images(tmp_path / "train" / "c", count=1)
    assert len(read_images(tmp_path / "a", labelled=False)) == 6
    inside = read_images(tmp_path, "train", labelled=False)
    assert len(inside) == 3
    assert (inside.targets == -1).all()
    assert inside.classes == ()


def test_a_classifier_on_some_classes_is_measured_on_them(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    (tmp_path / "list.txt").write_text("bird\ndog\n")
    words = ["--data", data, "--out", tmp_path / "run", *SMALL, f"class_list={tmp_path / 'list.txt'}"]
    assert longcut("train", "base_small", *words).code == 0
    assert load_run(tmp_path / "run").classes == ("bird", "dog")
    told = longcut("evaluate", tmp_path / "run", "--data", data)
    assert told.code == 0, told
    rows = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert {row["n"] for row in rows if row["class"] is None} == {8}


# Runs.


def test_a_flat_folder_is_trained_on_and_probed_with_labels(tmp_path: Path, flat: Path, longcut: Longcut) -> None:
    told = longcut("train", "moco_patch_small", "--data", flat, "--out", tmp_path / "run", *TINY)
    assert told.code == 0, told
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(step["online_cross_entropy"] == 0 for step in steps)
    assert all(step["contrast"] > 0 for step in steps)
    told = longcut("probe", tmp_path / "run", "--data", tmp_path / "classes", "--neighbours", 3)
    assert told.code == 0, told
    told = longcut("train", "moco_patch_small", "--data", flat, "--out", tmp_path / "run", "--resume", *TINY)
    assert "is finished" in told.err


def test_an_encoder_is_measured_through_its_probe(
    tmp_path: Path, data: Path, longcut: Longcut, refused: Refused
) -> None:
    run = tmp_path / "run"
    assert longcut("train", "moco_small", "--data", data, "--out", run, *TINY).code == 0
    words = ["evaluate", run, "--head", "linear", "--data", data, "--name", "again"]
    assert "no linear probe yet" in refused(*words)
    assert longcut("probe", run, "--data", data, "--kind", "linear").code == 0
    told = longcut(*words)
    assert told.code == 0, told
    rows = {(row["metric"], row["dataset"]): row for row in rows_of(run) if row["class"] is None}
    assert rows["linear_accuracy", "again"]["head"].startswith("linear:")
    assert rows["linear_accuracy", "held_out"]["head"] == "own"
    assert rows["linear_accuracy", "again"]["weights_hash"] == rows["linear_accuracy", "held_out"]["weights_hash"]
    # What the probe saw and what was held out from it, together.
    right = rows["linear_accuracy", "again"]["sum"]
    assert rows["linear_accuracy", "held_out"]["sum"] <= right
    told = longcut("evaluate", run, "--head", "linear", "--suite", "corruptions", "--data", data, "--limit", 4)
    assert told.code == 0, told
    assert ("linear_accuracy", "corruptions") in {(row["metric"], row["dataset"]) for row in rows_of(run)}
    head = dict(np.load(run / "linear_head.npz"))
    np.savez(run / "linear_head.npz", **{**head, "weights_hash": np.array("sha256:others")})
    assert "fitted on other weights" in refused(*words)


def test_a_classifier_needs_classes(tmp_path: Path, flat: Path, refused: Refused) -> None:
    line = refused("train", "base_small", "--data", flat, "--out", tmp_path / "run", *SMALL)
    assert "a classifier needs at least two" in line
    assert not (tmp_path / "run").exists()


def test_texture_negatives_need_textures(tmp_path: Path, data: Path, longcut: Longcut, refused: Refused) -> None:
    words = ["train", "moco_texture_small", "--data", data, "--out", tmp_path / "run", *TINY]
    assert "'longcut data textures" in refused(*words)
    textures = write_images(tmp_path / "textures", count=4, seed=5)
    (textures / CLASSES[0] / "0.png").unlink()
    (tmp_path / "elsewhere").mkdir()
    assert "no texture of the images" in refused(*words, "--textures", tmp_path / "elsewhere")
    told = longcut(*words, "--textures", textures)
    assert told.code == 0, told
    assert "1 of 12 images have no texture and are left out" in told.err


def test_backgrounds_are_swapped_and_matched(tmp_path: Path, data: Path, longcut: Longcut, refused: Refused) -> None:
    words = ["train", "moco_swaps_in9", "--data", data, *SMALL, "capacity=10"]
    assert "needs masks" in refused(*words, "--out", tmp_path / "none")
    masks = write_masks(tmp_path / "masks", count=4)
    assert longcut(*words, "--out", tmp_path / "swaps", "--masks", masks).code == 0
    for preset in ("byol_random_in9", "byol_removed_in9"):
        words = ["train", preset, "--data", data, "--masks", masks, "--out", tmp_path / preset, *SMALL, "hidden=16"]
        told = longcut(*words)
        assert told.code == 0, told


def test_composites_with_the_amplitude_of_another_class(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    told = longcut("train", "clad_small", "--data", data, "--out", tmp_path / "run", *SMALL, "composites=amplitude")
    assert told.code == 0, told


# Sweeps.


def test_a_sweep_over_alpha_is_probed_and_drawn(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    words = ["sweep", "moco_patch_small", *TINY, "--data", data, "--out", tmp_path / "sweep", "--vary", "alpha=0,2"]
    told = longcut(*words, "--measure", "accuracy,probe")
    assert told.code == 0, told
    assert {file.name for file in (tmp_path / "sweep").iterdir()} == {
        "moco_patch_small_alpha=0_0", "moco_patch_small_alpha=2_0", "alpha.svg", "report.html",
    }  # fmt: skip
    figure = (tmp_path / "sweep" / "alpha.svg").read_text()
    assert "linear probe" in figure
    results = tmp_path / "sweep" / "moco_patch_small_alpha=2_0" / "results.jsonl"
    before = results.read_bytes()
    told = longcut(*words, "--measure", "accuracy,probe")
    assert told.code == 0
    assert results.read_bytes() == before
    assert "queries" not in told.err


def test_values_that_hold_commas_and_presets_side_by_side(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    words = ["sweep", "moco_patch_small", "moco_small", *TINY, "--data", data, "--out", tmp_path / "sweep"]
    told = longcut(*words, "--vary", "size_range=[16,16],[16,72]")
    assert told.code == 0, told
    assert (tmp_path / "sweep" / "moco_patch_small_size_range=16-72_0" / "checkpoint.pt").exists()
    assert "[16, 72]" in (tmp_path / "sweep" / "size_range.svg").read_text()
    assert "moco_small" in (tmp_path / "sweep" / "preset.svg").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--measure", "probing"], "no measure is called probing"),
        (["--measure", "accuracy,cue-conflict"], "the measure cue-conflict needs --stimuli DIR"),
        (["--measure", "textures"], "the measure textures needs --textures DIR"),
        (["--measure", "cue-conflict", "--stimuli", "nowhere"], "--stimuli nowhere does not exist"),
        (["--test", "nowhere"], "--test nowhere does not exist"),
        (["--limit", "0"], "--limit is 0: at least 1 image is needed"),
        (["--adversarial"], "lacks original, only_bg_t: adversarial backgrounds need it"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_measured_is_told_before_a_run_is_trained(
    words: list[str], expected: str, tmp_path: Path, data: Path, refused: Refused
) -> None:
    assert expected in refused("sweep", "base_small", *SMALL, "--data", data, "--out", tmp_path / "sweep", *words)
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_refuses_runs_of_other_settings(tmp_path: Path, data: Path, longcut: Longcut, refused: Refused) -> None:
    words = ["sweep", "moco_small", *TINY, "--data", data, "--out", tmp_path / "sweep"]
    assert longcut(*words).code == 0
    line = refused(*words, "temperature=0.5")
    assert "moco_small_0 holds a run with other settings (method.moco.temperature is 0.2 there and 0.5 here)" in line
    assert longcut(*words).code == 0
