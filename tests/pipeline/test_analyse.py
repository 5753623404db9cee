"""`longcut analyse`: numbers of a run's state against plain loops, figures, maps, and faults in one line."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Longcut, Refused
from made_biased import NAMES, write_biased

from longcut.attribution import class_activation
from longcut.core.features import feature_map, pool
from longcut.data.decoding import read_image
from longcut.engine.settings import resolve
from longcut.evaluation.bias_negative_analysis import sides
from longcut.recipes.array_files import write_arrays
from longcut.recipes.explanations import choose_images, choose_pairs, explain, guided_pairs
from longcut.recipes.inputs import Inputs
from longcut.recipes.models import open_model
from longcut.recipes.sample_states import trained_on
from longcut.recipes.training import train_run

pytestmark = pytest.mark.usefixtures("one_process")

CHANGES: dict[str, Any] = {
    "backbone.name": "convnet5",
    "batch_size": 12,
    "image_size": 16,
    "steps": 6,
    "precision": "fp32",
    "validate_epochs": False,
    "ensemble.models": 1,
    "ensemble.model_steps": 2,
    "ensemble.agreement": 1,
}
RUNS: dict[str, dict[str, Any]] = {
    "intrinsic": {
        "reference_step": 1,
        "guidance_step": 3,
        "tau": 2.0,
        "data.bias_labels": False,
        "sample_state_every": 2,
    },
    "lff": {"sample_state_every": 2},
    "disent": {"sample_state_every": 2},
    "erm": {},
    "mlp": {"backbone.name": "mlp"},
}
SIZE = 48
S = np.arange(SIZE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set and runs on it; the state of `intrinsic` is then made up, so that all of it is known."""
    folder = tmp_path_factory.mktemp("trained")
    write_biased(folder / "data", count=SIZE, conflicting=0.25)
    for name, own in RUNS.items():
        settings = resolve("erm" if name == "mlp" else name, {**CHANGES, **own})
        assert train_run(settings, Inputs(folder / "data"), folder / name)
    for step in (2, 4, 6):
        write_arrays(folder / "intrinsic" / "sample_state" / f"{step:08d}.npz", **made_state(step))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "trained"))


def made_state(step: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(step)
    scores = draw.normal(0, 1, SIZE).round(1).astype(np.float32)
    scores[S % 7 == 0] = 0
    losses, references = draw.uniform(0.1, 2, (2, SIZE)).astype(np.float32)
    references[S % 7 == 0] = 0
    return {"score": scores, "loss": losses, "reference": references, "candidate": (S % 3 != 1).astype(np.float32)}


def labels(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Class and bias of the training images, in the order of the run: that of the table."""
    with (data / "images.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    return tuple(np.array([NAMES.index(row[name]) for row in rows]) for name in ("target", "bias"))  # type: ignore[return-value]


def read(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "analysis.json").read_text("utf-8"))
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# Numbers.


def test_numbers_of_scores_are_those_of_plain_loops(folder: Path, longcut: Longcut) -> None:
    out = folder / "out"
    told = longcut("analyse", folder / "intrinsic", "--data", folder / "data", "--out", out, "--images", 0)
    assert told.code == 0, told.err
    found, state = read(out), {name: values.tolist() for name, values in made_state(6).items()}
    targets, bias = labels(folder / "data")
    aligned = (targets == bias).tolist()
    assert (found["aligned"], found["conflicting"], found["unknown"]) == (sum(aligned), SIZE - sum(aligned), 0)
    for side, mine in (("aligned", aligned), ("conflicting", [not each for each in aligned])):
        members = [i for i in range(SIZE) if mine[i] and state["candidate"][i]]
        kept = [i for i in members if state["score"][i] > 0]
        contents = found["contents"][side]
        assert (contents["images"], contents["candidates"]) == (sum(mine), len(members))
        assert (contents["kept"], contents["removed"]) == (len(kept), len(members) - len(kept))
        assert contents["unscored"] == sum(state["score"][i] == 0 for i in members)
        assert contents["share_kept"]["value"] == pytest.approx(len(kept) / sum(mine))
        assert found["means"]["score"][side]["value"] == pytest.approx(mean([state["score"][i] for i in members]))
    fallen = [
        i
        for i in range(SIZE)
        if state["candidate"][i] and state["reference"][i] and state["loss"][i] < state["reference"][i]
    ]
    share = found["shares"]["aligned_among_fallen"]
    assert (share["sum"], share["n"]) == (sum(aligned[i] for i in fallen), len(fallen))
    for among in ("candidates", "all images"):
        members = [i for i in range(SIZE) if among == "all images" or state["candidate"][i]]
        high = [state["score"][i] for i in members if not aligned[i]]
        low = [state["score"][i] for i in members if aligned[i]]
        wins = mean([1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low])
        area = found["auroc"]["score"][among]
        assert area["value"] == pytest.approx(wins)
        assert (area["conflicting"], area["aligned"]) == (len(high), len(low))
    assert f"{100 * share['value']:.2f} %" in told.out
    assert "left out" not in told.out


def test_scores_that_are_all_the_same_have_no_interval(folder: Path, longcut: Longcut) -> None:
    state = made_state(6) | {"score": np.zeros(SIZE, np.float32)}
    write_arrays(folder / "intrinsic" / "sample_state" / "00000006.npz", **state)
    out = folder / "out"
    told = longcut("analyse", folder / "intrinsic", "--data", folder / "data", "--out", out, "--images", 0)
    assert told.code == 0, told.err
    assert re.search(r"mean score +0\.000 +0\.000\n", told.out)
    for side in ("aligned", "conflicting"):
        for found in (read(out)["means"]["score"][side], read(out)["contents"][side]["mean_score"]):
            assert (found["value"], found["low"], found["high"]) == (0, None, None)


def test_curves_are_means_of_each_step(folder: Path, longcut: Longcut) -> None:
    out = folder / "out"
    assert longcut("analyse", folder / "intrinsic", "--data", folder / "data", "--out", out, "--pairs", 0).code == 0
    targets, bias = labels(folder / "data")
    with (out / "curves.csv").open(encoding="utf-8") as file:
        rows = {(row["number"], int(row["step"]), row["side"]): row for row in csv.DictReader(file)}
    assert set(rows) == {(n, t, s) for n in ("score", "loss") for t in (2, 4, 6) for s in ("aligned", "conflicting")}
    for (number, step, side), row in rows.items():
        state = made_state(step)
        members = [i for i in range(SIZE) if (targets[i] == bias[i]) == (side == "aligned") and state["candidate"][i]]
        values = [float(state[number][i]) for i in members]
        assert int(row["n"]) == len(values)
        assert float(row["mean"]) == pytest.approx(mean(values))
        assert int(row["positive"]) == sum(value > 0 for value in values)
    curve = read(out)["curves"]["score"]
    assert curve["steps"] == [2, 4, 6]
    assert curve["aligned"][1]["mean"] == float(rows["score", 4, "aligned"]["mean"])
    assert read(out)["marks"] == {"T1": 1, "T2": 3}
    assert "bias-aligned, n = " in (out / "curves.svg").read_text("utf-8")
    assert read_image(out / "curves.png").shape[1] > 900


@pytest.mark.parametrize("name", ["lff", "disent"])
def test_a_run_without_scores_shows_its_weights_and_says_so(name: str, folder: Path, longcut: Longcut) -> None:
    out = folder / "out"
    told = longcut("analyse", folder / name, "--data", folder / "data", "--out", out)
    assert told.code == 0, told.err
    found, (targets, bias) = read(out), labels(folder / "data")
    with np.load(folder / name / "sample_state" / "00000006.npz") as arrays:
        biased, debiased = arrays["biased_loss"].astype(np.float64), arrays["debiased_loss"].astype(np.float64)
    assert biased.all(), "every sample was seen"
    weights = []
    for i in range(SIZE):
        b, d = (losses[i] / losses[targets == targets[i]].max() for losses in (biased, debiased))
        weights.append(b / (b + d + 1e-8))
    for side, mine in (("aligned", targets == bias), ("conflicting", targets != bias)):
        expected = mean([weights[i] for i in np.flatnonzero(mine)])
        assert found["means"]["weight"][side]["value"] == pytest.approx(expected, rel=1e-6)
    assert set(found["curves"]) == {"weight", "biased_loss", "debiased_loss"}
    assert found["contents"] == found["shares"] == {}
    assert f"{name} has no bias-negative scores" in told.out
    assert not (out / "guidance.png").exists()
    assert (out / "explanations.png").exists()


# Figures.


def test_figures_show_pairs_and_runs_side_by_side(folder: Path, longcut: Longcut) -> None:
    out = folder / "out"
    words = ("analyse", folder / "intrinsic", "--data", folder / "data", "--out", out)
    told = longcut(*words, "--beside", folder / "erm", "--beside", folder / "mlp", "--pairs", 4, "--images", 3)
    assert told.code == 0, told.err
    found, (targets, bias) = read(out), labels(folder / "data")
    assert len(found["pairs"]) == 4
    order = [f"train.npy#{i}" for i in range(SIZE)]
    state = made_state(6)
    for pair in found["pairs"]:
        image, partner = order.index(pair["image"]), order.index(pair["partner"])
        assert targets[image] == targets[partner] == bias[image] != bias[partner]
        assert state["candidate"][partner]
        assert state["score"][partner] > 0
    assert found["explained"]["runs"] == [str(folder / "intrinsic"), str(folder / "erm")]
    assert found["explained"]["split"] == "test"
    assert len(found["explained"]["images"]) == 3
    (lacking,) = found["left_out"]
    assert lacking["what"] == f"maps of {folder / 'mlp'}"
    assert "Mlp has none" in lacking["why"]
    pairs, shown = (read_image(out / f"{name}.png").shape for name in ("guidance", "explanations"))
    assert pairs[0] > shown[0]
    assert pairs[1] > 2 * shown[1]
    assert longcut(*words, "--pairs", 0, "--images", 0).code == 0
    assert not (out / "guidance.png").exists(), "a figure of a former analysis is left"


def test_the_guidance_shown_is_that_of_training(trained: Path) -> None:
    model, _ = open_model(str(trained / "intrinsic"))
    method = model.network
    store = trained_on(trained / "intrinsic", method, trained / "data", skip_bad=False, say=lambda line: None)
    assert store.images.bias is not None
    known = sides(store.images.targets, store.images.bias)
    chosen = choose_pairs(store.images.targets, known.aligned, known.conflicting, 5)
    pairs = guided_pairs(model, store, chosen, tau=method.tau)
    images, partners = (
        model.normalisation(torch.from_numpy(np.stack(each)))
        for each in ([pair.image for pair in pairs], [pair.partner for pair in pairs])
    )
    targets = torch.from_numpy(store.images.targets[[i for i, _ in chosen]])
    with torch.no_grad():
        features, partner = feature_map(method.backbone, images), feature_map(method.backbone, partners)
        expected = method._enhancement(features, partner, targets)
    torch.testing.assert_close(torch.from_numpy(np.stack([pair.weight for pair in pairs])), expected)
    assert [(store.images.paths[i], store.images.paths[j]) for i, j in chosen] == [pair.paths for pair in pairs]


@pytest.mark.parametrize("name", ["erm", "disent"])
def test_maps_are_those_of_the_whole_method(name: str, trained: Path) -> None:
    """DisEnt classifies both encoders' features: the map of one of them has the weights of its half of the head."""
    method = open_model(str(trained / name))[0].network
    images, targets = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        before = method(images.flip(0))
    features, found, said = explain(method, images, targets)
    with torch.no_grad():
        assert torch.equal(method(images.flip(0)), before), "the backbone was left changed"
        assert torch.equal(said, method(images).argmax(1))
        torch.testing.assert_close(features, feature_map(method.backbone, images))
        weight = method.head.weight[:, : pool(method.backbone, features).shape[1]]
    torch.testing.assert_close(found, class_activation(features, weight, targets), rtol=1e-4, atol=1e-5)


def test_images_are_of_each_class_in_turn_and_drawn_by_the_seed() -> None:
    targets = np.repeat(np.arange(3), [30, 10, 2])
    members = np.arange(42) % 2 == 0
    chosen = choose_images(targets, members, 7)
    assert targets[chosen].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert members[chosen].all()
    assert len(set(chosen)) == 7
    assert chosen == choose_images(targets, members, 7) != choose_images(targets, members, 7, seed=1)
    pairs = choose_pairs(targets, members & (targets < 2), ~members, 9)
    assert len(pairs) == 9
    assert all(targets[i] == targets[j] < 2 and members[i] and not members[j] for i, j in pairs)


def test_reports_of_analyses_do_without_torch() -> None:
    code = "import longcut.report.analysis, sys; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_without_copies_the_checkpoint_says_what_the_last_copy_does(folder: Path, longcut: Longcut) -> None:
    found = []
    for out in ("with", "without"):
        told = longcut("analyse", folder / "lff", "--data", folder / "data", "--out", folder / out, "--images", 0)
        assert told.code == 0, told.err
        found.append(read(folder / out))
        shutil.rmtree(folder / "lff" / "sample_state", ignore_errors=True)
    kept, bare = ({key: each[key] for key in each.keys() - {"curves"}} for each in found)
    assert bare == kept
    rows = [(folder / out / "curves.csv").read_text("utf-8").splitlines() for out in ("with", "without")]
    assert rows[1] == [row for row in rows[0] if row.split(",")[1] not in ("2", "4")]


# Faults.


def test_what_was_not_kept_is_said(folder: Path, refused: Refused) -> None:
    line = refused("analyse", folder / "erm", "--data", folder / "data", "--out", folder / "out")
    assert "ERM, which keeps nothing of each sample" in line
    assert "--beside" in line
    assert not (folder / "out").exists()


def test_data_without_bias_labels_are_refused(folder: Path, tmp_path: Path, refused: Refused) -> None:
    data = write_biased(tmp_path / "unlabelled", count=SIZE, conflicting=0.25, labelled=False)
    line = refused("analyse", folder / "lff", "--data", data, "--out", folder / "out")
    assert "has no bias labels of its training images" in line


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"count": 60}, "it holds 60 training images, not 48"),
        ({"conflicting": 0.5}, "it has other numbers of images in its groups of class and bias"),
    ],
)
def test_other_data_are_refused(
    changes: dict[str, Any], why: str, trained: Path, folder: Path, tmp_path: Path, refused: Refused
) -> None:
    data = write_biased(tmp_path / "other", **{"count": SIZE, "conflicting": 0.25, **changes})
    line = refused("analyse", folder / "lff", "--data", data, "--out", folder / "out")
    assert f"was trained on other data than {data}: {why}" in line
    assert line.endswith(f"give what it was trained on ({trained / 'data'})")


def test_images_of_other_classes_are_refused(folder: Path, refused: Refused) -> None:
    table = folder / "data" / "images.csv"
    rows = table.read_text("utf-8").splitlines()
    first, second = (next(i for i, row in enumerate(rows) if row.startswith(f"train.npy#{n},")) for n in (30, 31))
    ends = [rows[i].partition(",")[2] for i in (first, second)]
    rows[first], rows[second] = f"train.npy#30,{ends[1]}", f"train.npy#31,{ends[0]}"
    table.write_text("\n".join(rows) + "\n", "utf-8")
    line = refused("analyse", folder / "lff", "--data", folder / "data", "--out", folder / "out")
    assert "train.npy#30 is of another class" in line


def test_images_of_another_hash_are_refused(folder: Path, tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    """Other pixels under the same labels; a run that does not know its hash says what was compared."""
    file = folder / "lff" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    state["about"].pop("data_hash", None)
    torch.save(state, file)
    words = ("analyse", folder / "lff", "--out", folder / "out", "--images", 0, "--data")
    told = longcut(*words, folder / "data")
    assert told.code == 0
    assert "does not know the hash of its images" in told.err
    state["about"]["data_hash"] = read(folder / "out")["data_hash"]
    torch.save(state, file)
    told = longcut(*words, folder / "data")
    assert told.code == 0
    assert "hash of its images" not in told.err
    other = write_biased(tmp_path / "other", count=SIZE, conflicting=0.25, seed=1)
    assert "its images have another hash" in refused(*words, other)


def test_broken_and_foreign_states_are_named(folder: Path, refused: Refused) -> None:
    states = folder / "lff" / "sample_state"
    words = ("analyse", folder / "lff", "--data", folder / "data", "--out", folder / "out")
    (states / "00000002.npz").write_bytes(b"PK cut short")
    assert "00000002.npz is broken" in refused(*words)
    write_arrays(states / "00000002.npz", score=np.zeros(SIZE))
    assert "00000002.npz has other arrays than" in refused(*words)
    assert "timm:resnet18 was not trained here" in refused(*words, "--beside", "timm:resnet18")
