"""Training against dataset bias, end to end: which checkpoints are kept, biased models, state, losses that diverge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_biased import write_biased

from longcut.backbones import create_backbone
from longcut.core import Batch
from longcut.engine.build import build_biased_classifier
from longcut.engine.checkpoint import load_checkpoint
from longcut.engine.settings import Settings, resolve
from longcut.methods import ERM
from longcut.recipes.bias_ensemble import Votes
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run

CHANGES: dict[str, Any] = {
    "backbone.name": "convnet5",
    "batch_size": 12,
    "image_size": 16,
    "steps": 6,
    "precision": "fp32",
    "log_every": 3,
    "validate_every": 2,
    "ensemble.models": 3,
    "ensemble.model_steps": 12,
    "ensemble.agreement": 2,
    "ensemble.confidence": 0.4,
}


def settings(name: str, **changes: Any) -> Settings:
    return resolve(name, {**CHANGES, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_biased(tmp_path_factory.mktemp("biased"))


def logged(run: Path) -> dict[int, dict[str, float]]:
    lines: dict[int, dict[str, float]] = {}
    for line in map(json.loads, (run / "log.jsonl").read_text("utf-8").splitlines()):
        lines.setdefault(line["step"], {}).update(line)
    return lines


def test_each_rule_keeps_its_best_checkpoint(data: Path, tmp_path: Path) -> None:
    assert train_run(settings("erm", oracle=True, lr=0.01), Inputs(data), tmp_path / "run")
    lines = logged(tmp_path / "run")
    columns = {
        "best_val": "val_accuracy",
        "best_val_group": "val_unbiased",
        "best_test": "test_unbiased",
    }
    for rule, column in columns.items():
        scores = {step: line[column] for step, line in lines.items() if column in line}
        assert set(scores) == {2, 4, 6}
        first_best = max(scores, key=lambda step: (scores[step], -step))
        assert load_checkpoint(tmp_path / "run" / f"{rule}.pt")["step"] == first_best, rule


def test_without_bias_labels_no_rule_reads_them(data: Path, tmp_path: Path) -> None:
    assert train_run(settings("erm", **{"data.bias_labels": False}), Inputs(data), tmp_path / "run")
    assert (tmp_path / "run" / "best_val.pt").exists()
    assert not (tmp_path / "run" / "best_val_group.pt").exists()
    assert not any("unbiased" in name for line in logged(tmp_path / "run").values() for name in line)


def test_an_oracle_needs_a_test_split(data: Path, tmp_path: Path) -> None:
    table = (data / "images.csv").read_text("utf-8").splitlines()
    (tmp_path / "images.csv").write_text("\n".join(line for line in table if ",test" not in line), "utf-8")
    for split in ("train", "valid"):
        (tmp_path / f"{split}.npy").symlink_to(data / f"{split}.npy")
    with pytest.raises(ValueError, match=r"oracle=true keeps what is best on the test split, and .* has none"):
        train_run(settings("erm", oracle=True), Inputs(tmp_path), tmp_path / "run")


def test_votes_make_the_two_sets() -> None:
    confidence = np.array([[1.0, 0.9, 0.1], [1.0, 0.2, 0.1], [0.2, 0.9, 0.6]], np.float32)
    correct = np.array([[True, True, False], [True, False, False], [False, True, True]])
    sets = Votes(confidence, correct).sets(confidence=0.8, agreement=2)
    assert sets.amplified.tolist() == [True, True, False]
    assert sets.candidates.tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["lff", "intrinsic", "jtt"])
def test_a_method_reads_what_biased_models_tell_apart(name: str, data: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "lff": {"amplified": True, "sample_state_every": 3},
        "intrinsic": {"reference_step": 1, "guidance_step": 2, "sample_state_every": 3},
        "jtt": {},
    }[name]
    told: list[str] = []
    inputs = Inputs(data, ensembles=tmp_path / "ensembles")
    chosen = settings(name, **changes)
    assert train_run(chosen, inputs, tmp_path / "one", say=told.append)
    (folder,) = (tmp_path / "ensembles").iterdir()
    models = sorted(folder.glob("model-*.npz"))
    assert len(models) == 3
    assert any(line.startswith("biased models: ") and " of 48 samples amplified" in line for line in told)
    made = [model.stat().st_mtime_ns for model in models]
    assert train_run(chosen, inputs, tmp_path / "two")
    assert [model.stat().st_mtime_ns for model in models] == made, "the biased models were trained twice"
    one, two = (load_checkpoint(tmp_path / run / "checkpoint.pt") for run in ("one", "two"))
    assert all(torch.equal(one["parameters"][key], two["parameters"][key]) for key in one["parameters"])
    assert left_by(one) == left_by(two), "a run that trained its models goes on from other generators"
    states = sorted(path.stem for path in (tmp_path / "one" / "sample_state").glob("*.npz"))
    assert states == ([] if name == "jtt" else ["00000003", "00000006"])


def left_by(state: dict[str, Any]) -> list[Any]:
    """The generators as a checkpoint has them, in lists."""
    generators = state["ranks"][0]["generators"]
    words, *rest = generators["numpy"]
    return [generators["cpu"].tolist(), words.tolist(), rest, generators["python"]]


def test_biased_models_start_from_the_weights_of_the_run(tmp_path: Path) -> None:
    backbone = create_backbone("resnet20")
    torch.save(backbone.state_dict(), tmp_path / "net.pt")
    weights = {"backbone.name": "resnet20", "backbone.weights": str(tmp_path / "net.pt")}
    same, other = (
        build_biased_classifier(settings("lff_be_cmnist", **weights, **changes), 3).state_dict()[
            "backbone.conv1.weight"
        ]
        for changes in ({"backbone.biased": None}, {"backbone.biased": "resnet20"})
    )
    wanted = backbone.state_dict()["conv1.weight"]
    assert torch.equal(same, wanted)
    assert not torch.equal(other, wanted), "a network of another kind has weights of its own"


def test_jtt_finds_its_errors_with_one_plain_model() -> None:
    chosen = resolve("jtt", {"steps": 4}).ensemble
    assert (chosen.models, chosen.loss, chosen.agreement) == (1, "ce", 1)


def test_an_interrupted_ensemble_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings("lff", amplified=True)
    assert train_run(chosen, Inputs(data), tmp_path / "unbroken")
    asked = iter([False] * 15 + [True] * 1000)
    monkeypatch.setattr("longcut.recipes.bias_ensemble.Stopper.asked", lambda self: next(asked))
    told: list[str] = []
    assert not train_run(chosen, Inputs(data), tmp_path / "run", say=told.append)
    assert told[-1] == "stopped at biased model 2 of 3; run the same command again (train: with --resume) to go on"
    assert len(list((tmp_path / "run" / "ensemble").glob("*/model-*.npz"))) == 1
    monkeypatch.undo()
    assert train_run(chosen, Inputs(data), tmp_path / "run", resume=True)
    one, two = (load_checkpoint(tmp_path / run / "checkpoint.pt")["parameters"] for run in ("unbroken", "run"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_an_empty_amplified_set_is_told_and_replaced(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    changes = {"ensemble.model_steps": 1, "ensemble.confidence": 0.9999}
    assert train_run(settings("lff", amplified=True, **changes), Inputs(data), tmp_path / "run", say=told.append)
    assert any("the bias-amplified set is empty: the biased network learns from every sample" in line for line in told)


def test_a_loss_that_is_no_number_names_step_images_and_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, sound = iter(range(1, 100)), ERM.training_step

    def broken(self: ERM, batch: Batch) -> Any:
        factor = float("nan") if next(step) == 5 else 1.0
        return ({name: term * factor for name, term in terms.items()} for terms in sound(self, batch))

    monkeypatch.setattr(ERM, "training_step", broken)
    with pytest.raises(ValueError, match=r"not finite at step 5, whose batch holds train.npy#") as refused:
        train_run(settings("erm", checkpoint_every=2), Inputs(data), tmp_path / "run")
    kept = tmp_path / "run" / "checkpoint.pt"
    assert f"try a lower lr, with another --out; the last good checkpoint is {kept}" in str(refused.value)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 4


def without_bias(data: Path, root: Path, lacks: Callable[[str], bool]) -> Path:
    """The same set, in which the bias of some training images is not known."""
    header, *lines = (data / "images.csv").read_text("utf-8").splitlines()
    lines = [line.rpartition(",")[0] + "," if ",train," in line and lacks(line) else line for line in lines]
    (root / "images.csv").write_text("\n".join([header, *lines]), "utf-8")
    for split in ("train", "valid", "test"):
        (root / f"{split}.npy").symlink_to(data / f"{split}.npy")
    return root


def test_a_bias_that_some_images_lack_is_refused(data: Path, tmp_path: Path) -> None:
    part = without_bias(data, tmp_path, lambda line: line.startswith("train.npy#7,"))
    with pytest.raises(ValueError, match=r"group_dro reads the bias of every image, and 1 have none, train.npy#7"):
        train_run(settings("group_dro"), Inputs(part), tmp_path / "run")


def test_classes_are_counted_with_images_of_no_known_bias(data: Path, tmp_path: Path) -> None:
    part = without_bias(data, tmp_path, lambda line: ",flat,train," in line)
    assert train_run(settings("reweighting", **{"method.by": "class"}), Inputs(part), tmp_path / "run")
    facts = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["about"]["facts"]
    assert sum(facts["group_counts"][0]) == 0
    assert facts["class_counts"] == [16, 16, 16]
