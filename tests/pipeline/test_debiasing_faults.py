"""What is wrong with data, settings or a folder of a debiasing run is told before it begins, and nothing is lost."""

from __future__ import annotations

import csv
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_biased import write_biased
from made_images import write_images

from longcut.core import Batch
from longcut.engine.checkpoint import load_checkpoint
from longcut.engine.settings import Settings, SettingsError, resolve
from longcut.methods import ERM
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run

CHANGES: dict[str, Any] = {
    "backbone.name": "convnet5",
    "batch_size": 12,
    "image_size": 16,
    "steps": 4,
    "precision": "fp32",
    "validate_every": 2,
    "cache": "memory",
    "ensemble.models": 2,
    "ensemble.model_steps": 3,
    "ensemble.agreement": 1,
}
Row = dict[str, str]


def settings(name: str, **changes: Any) -> Settings:
    return resolve(name, {**CHANGES, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_biased(tmp_path_factory.mktemp("biased"))


def changed(data: Path, folder: Path, change: Callable[[Row], Row | None]) -> Path:
    """The set with another table, of the rows that are left."""
    with (data / "images.csv").open(newline="") as file:
        rows = [row for row in map(change, csv.DictReader(file)) if row is not None]
    folder.mkdir()
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for split in ("train", "valid", "test"):
        (folder / f"{split}.npy").symlink_to(data / f"{split}.npy")
    return folder


def blind_in(*splits: str) -> Callable[[Row], Row]:
    """Takes the bias labels of some splits away."""
    return lambda row: {**row, "bias": ""} if row["split"] in splits else row


def refusal(chosen: Settings, inputs: Inputs, out: Path, **options: Any) -> str:
    with pytest.raises(ValueError, match=r"\w") as refused:
        train_run(chosen, inputs, out, **options)
    return str(refused.value)


def refused_early(chosen: Settings, inputs: Inputs, out: Path) -> str:
    """What is refused leaves no folder in the way of the next attempt."""
    said = refusal(chosen, inputs, out)
    assert not out.exists()
    return said


# Labels and images.


def test_a_metric_that_the_test_split_does_not_allow(data: Path, tmp_path: Path) -> None:
    colours = {"flat": "red", "rising": "red", "upright": "blue"}
    cases = {
        "bias labels": ("worst_group", blind_in("test")),
        "biases that go with the classes": ("bias_conflicting", lambda row: {**row, "bias": colours[row["bias"]]}),
        "conflicting images": ("bias_conflicting", lambda row: row if row["target"] == row["bias"] else None),
    }
    for place, (why, (metric, change)) in enumerate(cases.items()):
        inputs = Inputs(changed(data, tmp_path / str(place), change))
        chosen = settings("erm", oracle=True, oracle_metric=metric)
        said = refused_early(chosen, inputs, tmp_path / "run")
        assert said == f"oracle_metric={metric} needs {why} in the test split: choose another, such as accuracy"


def test_a_metric_that_the_validation_split_does_not_allow(data: Path, tmp_path: Path) -> None:
    aligned = changed(data, tmp_path / "set", lambda row: {**row, "bias": row["target"]})
    told: list[str] = []
    chosen = settings("erm", group_metric="bias_conflicting")
    assert train_run(chosen, Inputs(aligned), tmp_path / "run", say=told.append)
    assert told[0] == (
        "no best_val_group is kept: group_metric=bias_conflicting needs conflicting images in the validation split"
    )
    assert not (tmp_path / "run" / "best_val_group.pt").exists()


def test_bias_labels_of_validation_images_alone_choose_a_checkpoint(data: Path, tmp_path: Path) -> None:
    half = changed(data, tmp_path / "set", blind_in("train", "test"))
    assert train_run(settings("erm"), Inputs(half), tmp_path / "run")
    assert (tmp_path / "run" / "best_val_group.pt").exists()
    hidden = settings("erm", **{"data.bias_labels": False}, oracle=True)
    assert train_run(hidden, Inputs(data), tmp_path / "hidden")
    assert not (tmp_path / "hidden" / "best_val_group.pt").exists()


def test_a_class_without_training_images(data: Path, tmp_path: Path) -> None:
    gone = {"split": "train", "target": "rising"}
    lacking = changed(data, tmp_path / "set", lambda row: None if gone.items() <= row.items() else row)
    for name in ("erm", "group_dro", "lff"):
        said = refused_early(settings(name), Inputs(lacking), tmp_path / "run")
        assert "has no training image of the class 'rising' that can be read" in said
    broken = write_images(tmp_path / "broken", count=3)
    for file in (broken / "cat").iterdir():
        file.write_bytes(b"none")
    said = refused_early(settings("erm"), Inputs(broken, skip_bad=True), tmp_path / "run")
    assert "has no training image of the class 'cat' that can be read" in said


# Settings.


def test_a_batch_that_is_too_small_or_too_large(data: Path, tmp_path: Path) -> None:
    said = refused_early(settings("rebias", batch_size=3), Inputs(data), tmp_path / "run")
    assert said == "method.rebias: hsic compares at least 4 images, not 3: take a larger batch_size"
    told: list[str] = []
    assert train_run(settings("erm", batch_size=500, steps=1), Inputs(data), tmp_path / "run", say=told.append)
    assert told[0] == "batch_size 500 is more than the 48 images: each step takes all of them"


@pytest.mark.parametrize("setting", ["lr", "weight_decay"])
def test_an_optimizer_that_cannot_be(setting: str, data: Path, tmp_path: Path) -> None:
    said = refused_early(settings("erm", **{setting: -1.0}), Inputs(data), tmp_path / "run")
    assert said.startswith("[optimizer] Invalid ")
    assert "-1.0" in said


def test_a_severity_may_be_a_number() -> None:
    assert settings("erm", severity=1).data.severity == "1"
    assert settings("erm", severity=0.5).data.severity == "0.5"
    with pytest.raises(SettingsError, match=r"data.severity = \[1\]"):
        settings("erm", severity=[1])


def test_what_never_begins_is_said_before_biased_models_are_trained(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    assert train_run(settings("intrinsic"), Inputs(data), tmp_path / "run", say=told.append)
    assert [line.partition(" lies")[0] for line in told[:2]] == ["reference_step 1000", "guidance_step 10000"]
    assert told[2] == "first 2 biased models of 3 steps, to tell the samples apart"
    told.clear()
    assert train_run(settings("disent"), Inputs(data), tmp_path / "disent", say=told.append)
    assert told[0] == "swap_start 10000 lies beyond the run's 4 steps: no feature is swapped"


def test_a_person_is_told_of_the_sets_that_the_method_reads(data: Path, tmp_path: Path) -> None:
    aligned = changed(data, tmp_path / "set", lambda row: row if row["target"] == row["bias"] else None)
    told: dict[str, str] = {}
    for name, changes in {"jtt": {}, "lff": {"amplified": True}}.items():
        lines: list[str] = []
        chosen = settings(name, **changes, **{"ensemble.confidence": 0.999})
        assert train_run(chosen, Inputs(aligned), tmp_path / name, say=lines.append)
        told[name] = "\n".join(lines)
    assert "0 of 42 samples amplified" in told["jtt"]
    assert "amplified set is empty" not in told["jtt"]
    assert "amplified set is empty" in told["lff"]
    assert "no sample is a candidate" not in told["lff"]


# Losses that diverge.


def test_a_biased_model_that_diverges_is_no_model(data: Path, tmp_path: Path) -> None:
    said = refusal(settings("lff", amplified=True, lr=1e30), Inputs(data), tmp_path / "run")
    assert said.startswith("the loss of biased model 1 of 2 is not finite at step 2, whose batch holds train.npy#")
    assert "checkpoint" not in said
    assert not list((tmp_path / "run").rglob("model-*.npz"))


def test_a_loss_that_diverges_in_a_low_precision_might_not_in_a_high_one(data: Path, tmp_path: Path) -> None:
    for name, changes in (("erm", {}), ("lff", {"amplified": True})):
        said = refusal(settings(name, precision="bf16", lr=1e30, **changes), Inputs(data), tmp_path / name)
        assert "try a lower lr, or precision=fp32" in said


def test_a_network_that_diverged_is_not_kept_as_the_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = ERM.training_step

    def broken(self: ERM, batch: Batch) -> Any:
        return ({name: term * float("nan") for name, term in terms.items()} for terms in sound(self, batch))

    monkeypatch.setattr(ERM, "training_step", broken)
    monkeypatch.setattr(ERM, "sample_state", lambda self: {"loss": torch.zeros(1)})
    for changes in ({}, {"validate_epochs": False, "validate_every": None, "sample_state_every": 2}):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        said = refusal(settings("erm", log_every=100, **changes), Inputs(data), tmp_path / "run")
        assert "not finite at step 1" in said
        assert "try a lower lr; no checkpoint was written before it" in said
        assert not [*(tmp_path / "run").glob("*.pt"), *(tmp_path / "run").glob("sample_state/*")]


def test_weights_that_diverged_are_not_kept(data: Path, tmp_path: Path) -> None:
    """The loss of a step is that from before its update."""
    diverging = {"optimizer.name": "sgd", "lr": 1e30, "steps": 1}
    said = refusal(settings("erm", **diverging, **{"optimizer.weight_decay": 1e30}), Inputs(data), tmp_path / "run")
    assert said.startswith("the weights are not finite after step 1 (")
    assert said.endswith(" is the first): try a lower lr; no checkpoint was written before it")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_weights_that_diverge_later_leave_the_checkpoint_before(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ERM) -> None:
        if next(step) == 3:
            self.head.weight.data[0, 0] = float("inf")

    step = iter(range(1, 100))
    monkeypatch.setattr(ERM, "after_update", broken)
    said = refusal(settings("erm", checkpoint_every=1, log_every=100), Inputs(data), tmp_path / "run")
    kept = tmp_path / "run" / "checkpoint.pt"
    assert said == (
        "the weights are not finite after step 3 (head.weight is the first): try a lower lr, with another --out; "
        f"the last good checkpoint is {kept}"
    )
    assert load_checkpoint(kept)["step"] == 2


def test_a_biased_model_whose_weights_diverge_is_no_model(data: Path, tmp_path: Path) -> None:
    changes = {"optimizer.name": "sgd", "lr": 1e30, "optimizer.weight_decay": 1e30, "ensemble.model_steps": 1}
    said = refusal(settings("lff", amplified=True, **changes), Inputs(data), tmp_path / "run")
    assert said.startswith("the weights of biased model 1 of 2 are not finite after step 1 (")
    assert said.endswith(" is the first): try a lower lr")
    assert not list((tmp_path / "run").rglob("model-*.npz"))


# Going on.


class Always:
    """Is always asked to stop."""

    def __enter__(self) -> Always:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def asked(self) -> bool:
        return True


def test_votes_that_were_deleted_are_made_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings("disent", amplified=True, swap_start=0)
    assert train_run(chosen, Inputs(data), tmp_path / "unbroken")
    monkeypatch.setattr("longcut.recipes.training.Stopper", Always)
    assert not train_run(chosen, Inputs(data), tmp_path / "run")
    monkeypatch.undo()
    (lost,) = (tmp_path / "run" / "ensemble").glob("*/model-1.npz")
    lost.unlink()
    assert train_run(chosen, Inputs(data), tmp_path / "run", resume=True)
    one, two = (load_checkpoint(tmp_path / run / "checkpoint.pt")["parameters"] for run in ("unbroken", "run"))
    assert all(torch.equal(one[key], two[key]) for key in one)

    shutil.rmtree(tmp_path / "run" / "ensemble")
    told: list[str] = []
    assert train_run(chosen, Inputs(data), tmp_path / "run", resume=True, say=told.append)
    assert told == [f"{tmp_path / 'run'} is finished: 4 steps are done"], "no model is trained for a finished run"


def test_broken_votes_are_named(data: Path, tmp_path: Path) -> None:
    chosen = settings("jtt")
    assert train_run(chosen, Inputs(data, ensembles=tmp_path / "votes"), tmp_path / "one")
    (votes,) = (tmp_path / "votes").glob("*/model-0.npz")
    votes.write_bytes(votes.read_bytes()[:100])
    said = refusal(chosen, Inputs(data, ensembles=tmp_path / "votes"), tmp_path / "two")
    assert said.startswith(f"{votes} is broken (")
    assert said.endswith("): remove it, and its model is trained again")


def test_a_run_goes_on_with_its_images_wherever_they_are(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings("lff", amplified=True)
    shutil.copytree(data, tmp_path / "here")
    assert train_run(chosen, Inputs(tmp_path / "here"), tmp_path / "unbroken")
    monkeypatch.setattr("longcut.recipes.training.Stopper", Always)
    assert not train_run(chosen, Inputs(tmp_path / "here"), tmp_path / "run")
    monkeypatch.undo()
    (tmp_path / "here").rename(tmp_path / "there")
    others = {
        "other images": write_biased(tmp_path / "other images", seed=1),
        "fewer images": write_biased(tmp_path / "fewer images", count=24),
        "other biases": changed(data, tmp_path / "other biases", lambda row: {**row, "bias": row["target"]}),
    }
    before = (tmp_path / "run" / "settings.toml").read_text("utf-8")
    for name, other in others.items():
        said = refusal(chosen, Inputs(other), tmp_path / "run", resume=True)
        assert said.startswith(f"{tmp_path / 'run'} was trained on other images than {other} holds now"), name
    assert (tmp_path / "run" / "settings.toml").read_text("utf-8") == before
    assert train_run(chosen, Inputs(tmp_path / "there"), tmp_path / "run", resume=True)
    one, two = (load_checkpoint(tmp_path / run / "checkpoint.pt")["parameters"] for run in ("unbroken", "run"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    noted = tomllib.loads((tmp_path / "run" / "settings.toml").read_text("utf-8"))
    assert noted["paths"]["data"] == str(tmp_path / "there")


def test_biased_models_of_other_images_are_not_taken_for_these(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set is built anew in its place while the run has biased models and no checkpoint yet."""
    chosen = settings("lff", amplified=True)
    root = write_biased(tmp_path / "set")
    monkeypatch.setattr("longcut.recipes.bias_ensemble.BiasEnsemble._load", interrupt_at(2))
    with pytest.raises(KeyboardInterrupt):
        train_run(chosen, Inputs(root), tmp_path / "run")
    monkeypatch.undo()
    assert len(list((tmp_path / "run" / "ensemble").glob("*/model-*.npz"))) == 1
    shutil.rmtree(root)
    write_biased(root, seed=1)
    assert train_run(chosen, Inputs(root), tmp_path / "run", resume=True)
    assert train_run(chosen, Inputs(root), tmp_path / "fresh")
    one, two = (load_checkpoint(tmp_path / run / "checkpoint.pt")["parameters"] for run in ("fresh", "run"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def interrupt_at(count: int) -> Callable[..., None]:
    """Finds no votes, and is interrupted when it looks for the `count`-th time."""
    looked: list[int] = []

    def look(self: object, place: int) -> None:
        looked.append(place)
        if len(looked) > count:
            raise KeyboardInterrupt

    return look
