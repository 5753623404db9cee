"""`longcut evaluate --suite`, on tiny runs and made images."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Longcut, Refused
from made_images import write_images
from PIL import Image
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from longcut.corruptions import CORRUPTIONS, corrupt
from longcut.data.imagenet9 import CLASSES as IMAGENET9
from longcut.data.imagenet_classes import wordnet_ids
from longcut.evaluation.corruption_error import ALEXNET_ERRORS
from longcut.evaluation.predictions import Predictions
from longcut.recipes import corruption_suite
from longcut.recipes.consistency import measure_consistency
from longcut.recipes.evaluating import evaluate
from longcut.recipes.models import open_model
from longcut.recipes.suites import run_suites

pytestmark = pytest.mark.usefixtures("one_process")


def rows_of(run: Path) -> dict[tuple[str, str, str | None], dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    return {(row["metric"], row["dataset"], row["class"]): row for row in rows}


def values_of(run: Path) -> dict[tuple[str, str, str | None], float]:
    return {key: row["value"] for key, row in rows_of(run).items()}


def write_stimuli(root: Path, pairs: list[tuple[str, str]]) -> Path:
    for number, (shape, texture) in enumerate(pairs, 1):
        path = root / shape / f"{shape}{number}-{texture}1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return root


CONFLICTS = [(a, b) for a in ("bird", "cat", "dog") for b in ("bird", "cat", "dog") if a != b]

# Corruptions made on the fly.


def test_corruptions_of_the_run_s_own_data(run: Path, longcut: Longcut) -> None:
    told = longcut("evaluate", run, "--suite", "corruptions", "--severities", "1,5", "--only", "fog,contrast")
    assert told.code == 0, told
    assert "fog: " in told.err
    assert "(2/2)" in told.err
    assert "no mean over all: 71 of 75 are not measured" in told.err
    rows = rows_of(run)
    assert set(rows) == {
        ("accuracy", "corruptions/clean", None),
        *(("accuracy", f"corruptions/{name}/{severity}", None) for name in ("fog", "contrast") for severity in (1, 5)),
    }
    assert all(row["n"] == 12 for row in rows.values())
    assert len({row["data_hash"] for row in rows.values()}) == 1


def test_answers_that_name_no_class_are_refused(
    run: Path, longcut: Longcut, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("evaluate", run, "--suite", "corruptions", "--severities", "1,5", "--only", "fog,contrast")
    monkeypatch.setattr(corruption_suite, "corrupt", lambda images, *_, **__: images.float() * float("nan"))
    line = refused(*words)
    assert f"{run} gives answers that are not finite (NaN or infinite) for 12 of 12 images (fog of severity 1)," in line
    assert list(run.glob("suites/**/*.npz")) == []


def test_all_corruptions_and_their_means(run: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption_suite, "corrupt", _darken)
    words = ("evaluate", run, "--suite", "corruptions")
    told = longcut(*words)
    assert told.code == 0, told
    values = values_of(run)
    cells = {
        (name, s): values["accuracy", f"corruptions/{name}/{s}", None] for name in CORRUPTIONS for s in range(1, 6)
    }
    assert len(set(cells.values())) > 1
    for name in CORRUPTIONS:
        mean = np.mean([cells[name, s] for s in range(1, 6)])
        assert values["accuracy", f"corruptions/{name}", None] == pytest.approx(mean)
    for severity in range(1, 6):
        mean = np.mean([cells[name, severity] for name in CORRUPTIONS])
        assert values["accuracy", f"corruptions/{severity}", None] == pytest.approx(mean)
    assert values["accuracy", "corruptions", None] == pytest.approx(np.mean(list(cells.values())))
    assert ("mce", "corruptions", None) not in values, "AlexNet's errors are of ImageNet's classes"
    assert "Corruptions" in told.out
    assert "fog" not in told.out, "the table shows the mean, not its parts"

    monkeypatch.setattr(corruption_suite, "corrupt", _forbidden)
    before = (run / "results.jsonl").read_text()
    assert longcut(*words).code == 0, "what was measured is not measured again"
    assert (run / "results.jsonl").read_text() == before


def test_a_run_that_was_interrupted_loses_nothing(run: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(images: Tensor, name: str, severity: int, **options: Any) -> Tensor:
        if name == "glass_blur":
            raise KeyboardInterrupt
        return _darken(images, name, severity, **options)

    monkeypatch.setattr(corruption_suite, "corrupt", interrupted)
    assert longcut("evaluate", run, "--suite", "corruptions").code == 130
    done = {dataset for _, dataset, _ in rows_of(run)}
    assert "corruptions/defocus_blur/5" in done
    assert not any("glass_blur" in dataset for dataset in done)
    asked: list[str] = []

    def counted(images: Tensor, name: str, severity: int, **options: Any) -> Tensor:
        asked.append(name)
        return _darken(images, name, severity, **options)

    monkeypatch.setattr(corruption_suite, "corrupt", counted)
    assert longcut("evaluate", run, "--suite", "corruptions").code == 0
    assert set(asked) == set(CORRUPTIONS[4:])
    assert ("accuracy", "corruptions", None) in rows_of(run)


def test_a_result_depends_neither_on_the_order_nor_on_what_else_is_measured(
    run: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[tuple[str, int], Tensor] = {}

    def watched(images: Tensor, name: str, severity: int, **options: Any) -> Tensor:
        found = corrupt(images, name, severity, **options)
        if (name, severity) in seen:
            assert torch.equal(seen[name, severity], found)
        seen[name, severity] = found
        return found

    monkeypatch.setattr(corruption_suite, "corrupt", watched)
    other = Path(shutil.copytree(run, tmp_path / "other"))
    names = "gaussian_noise,impulse_noise"
    assert longcut("evaluate", run, "--suite", "corruptions", "--only", names, "--severities", "1,2").code == 0
    assert len(seen) == 4
    assert len({found.float().mean().item() for found in seen.values()}) == 4
    words = ("--only", "impulse_noise", "--severities", "2")
    assert longcut("evaluate", other, "--suite", "corruptions", *words).code == 0


def test_the_further_four_are_a_suite_of_their_own(run: Path, longcut: Longcut) -> None:
    words = ("--only", "saturate,brightness", "--severities", "3")
    told = longcut("evaluate", run, "--suite", "corruptions", "--extra", *words)
    assert told.code == 0, told
    datasets = {dataset for _, dataset, _ in rows_of(run)}
    assert datasets == {
        "corruptions/clean",
        "corruptions_extra/clean",
        "corruptions/brightness/3",
        "corruptions_extra/saturate/3",
    }


def test_a_limit_takes_some_of_the_images(run: Path, longcut: Longcut) -> None:
    words = ("--only", "fog", "--severities", "1", "--limit", 5)
    assert longcut("evaluate", run, "--suite", "corruptions", *words).code == 0
    assert {row["n"] for row in rows_of(run).values()} == {5}


def _darken(images: Tensor, name: str, severity: int, *, generator: torch.Generator) -> Tensor:
    """Stands for a corruption: what it makes of an image depends on its name."""
    return images // (1 + severity * (1 + CORRUPTIONS.index(name) % 3))


def _forbidden(*_: Any, **__: Any) -> Tensor:
    raise AssertionError("this was measured before")


# Folders of ImageNet's kin.


def test_imagenet_c_s_folders(run: Path, tmp_path: Path, longcut: Longcut) -> None:
    root = tmp_path / "imagenet-c"
    for place, name in enumerate(CORRUPTIONS):
        for severity in range(1, 6):
            write_images(
                root / name / str(severity), count=1, seed=place + 100 * severity, classes=("cat", "cow", "dog")
            )
    told = longcut("evaluate", run, "--suite", "imagenet-c", "--data", root)
    assert told.code == 0, told
    assert "imagenet-c: 1 of 3 classes are unknown to the model: cow; left out" in told.err
    rows, values = rows_of(run), values_of(run)
    cells = [values["accuracy", f"imagenet_c/{name}/{s}", None] for name in CORRUPTIONS for s in range(1, 6)]
    assert values["accuracy", "imagenet_c", None] == pytest.approx(np.mean(cells))
    assert rows["accuracy", "imagenet_c/fog/2", None]["n"] == 2
    before = (run / "results.jsonl").read_text()
    (root / "fog" / "3" / "cat" / "0.png").write_bytes((root / "fog" / "4" / "cat" / "0.png").read_bytes())
    assert longcut("evaluate", run, "--suite", "imagenet-c", "--data", root).code == 0
    assert (run / "results.jsonl").read_text() != before, "a file that changed is measured again"


def test_a_part_of_imagenet_c(run: Path, tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    root = write_images(tmp_path / "c" / "fog" / "2", count=2).parent.parent
    told = longcut("evaluate", run, "--suite", "imagenet-c", "--data", root)
    assert told.code == 0, told
    assert "no mean over all: 74 of 75 are not measured, gaussian_noise at severity 1 for one" in told.err
    assert [key for key in rows_of(run) if key[2] is None] == [("accuracy", "imagenet_c/fog/2", None)]
    write_images(root / "fog" / "3", count=1)
    line = refused("evaluate", run, "--suite", "imagenet-c", "--data", root)
    assert "does not hold the same images as the other corruptions (bird/1.png for one)" in line
    assert "holds no <corruption>/<severity>/<class>" in refused(
        "evaluate", run, "--suite", "imagenet-c", "--data", root / "fog"
    )


@pytest.mark.parametrize(
    ("suite", "restricted"),
    [("imagenet-sketch", False), ("imagenet-r", True), ("imagenet-a", True), ("stylized-imagenet", False)],
)
def test_class_folders(run: Path, tmp_path: Path, longcut: Longcut, suite: str, restricted: bool) -> None:
    data = write_images(tmp_path / "set", classes=("cat", "cow", "dog", "emu"), count=5, seed=3)
    told = longcut("evaluate", run, "--suite", suite, "--data", data)
    assert told.code == 0, told
    assert f"{suite}: 2 of 4 classes are unknown to the model: cow, emu; 10 of 20 images left out" in told.err
    dataset = suite.replace("-", "_")
    rows = rows_of(run)
    assert {key[2]: row["n"] for key, row in rows.items()} == {None: 10, "cat": 5, "dog": 5}

    longcut(
        "evaluate", run, "--data", write_images(tmp_path / "known", classes=("bird", "cat", "dog"), count=5, seed=3)
    )
    model = open_model(str(run))[0]
    saved = Predictions.load(run / "predictions" / f"{dataset}.npz")
    assert saved.classes == (("cat", "dog") if restricted else ("cat", "dog", "outside"))
    said = _said(model, data, saved)
    expected = said[:, [1, 2]].argmax(axis=1) if restricted else np.array([2, 0, 1])[said.argmax(axis=1)]
    assert np.array_equal(saved.predicted, expected)
    assert rows["accuracy", dataset, None]["value"] == (expected == saved.targets).mean()


def _said(model: Any, data: Path, saved: Predictions) -> np.ndarray:
    """A model's logits over its own classes of the same images, by its own call."""
    from longcut.data.decoding import read_image
    from longcut.data.resizing import centre_crop

    pixels = np.stack([centre_crop(read_image(data / path), model.image_size) for path in saved.paths])
    with torch.inference_mode():
        logits: Tensor = model.network(model.normalisation(torch.from_numpy(pixels)))
    return logits.numpy()


def test_a_mapping_gives_other_names(run: Path, tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    data = write_images(tmp_path / "set", classes=("hound", "puppy", "tabby"), count=2)
    words = ("evaluate", run, "--suite", "imagenet-r", "--data", data)
    assert "no class in common: the data has hound, puppy, tabby, the model bird, cat, dog" in refused(*words)
    with (tmp_path / "mapping.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("folder", "model_class"), ("hound", "dog"), ("puppy", "dog"), ("tabby", "cat")])
    assert longcut(*words, "--mapping", tmp_path / "mapping.csv").code == 0
    assert {key[2]: row["n"] for key, row in rows_of(run).items()} == {None: 6, "dog": 4, "tabby": 2}


@pytest.mark.parametrize("suite", ["imagenet-r", "cue-conflict"])
def test_each_checkpoint_and_retrained_head_has_its_own_predictions(run: Path, tmp_path: Path, suite: str) -> None:
    root = write_stimuli(tmp_path / "s", CONFLICTS)
    model = open_model(str(run))[0]
    subjects = [("last", "own"), ("best_val", "own"), ("last", "dfr:3f1c9a0b")]
    for selection, head in subjects:
        subject = replace(model.subject, selection=selection, head=head)
        run_suites(replace(model, subject=subject), [suite], root, tmp_path / "out")
    dataset = suite.replace("-", "_")
    names = {file.name for file in (tmp_path / "out" / "predictions").iterdir()}
    assert names == {f"{dataset}.npz", f"{dataset}.best_val.npz", f"{dataset}.dfr.npz"}


# Shape bias.


def test_cue_conflict(run: Path, tmp_path: Path, longcut: Longcut) -> None:
    stimuli = write_stimuli(tmp_path / "s", [*CONFLICTS * 3, ("cat", "cat"), ("dog", "emu"), ("cow", "cat")])
    told = longcut("evaluate", run, "--suite", "cue-conflict", "--data", stimuli)
    assert told.code == 0, told
    assert "2 of 5 classes are unknown to the model: cow, emu; 2 of 21 stimuli left out" in told.err
    assert "1 stimuli with the texture of their own class left out" in told.err
    saved = Predictions.load(run / "predictions" / "cue_conflict.npz")
    assert saved.bias is not None
    names = [(path.split("/")[0], path.rsplit("-")[1].removesuffix("1.png")) for path in saved.paths]
    assert [(saved.classes[a], saved.classes[b]) for a, b in zip(saved.targets, saved.bias, strict=True)] == names
    shape, texture = saved.predicted == saved.targets, saved.predicted == saved.bias
    values = values_of(run)
    assert values["shape_fraction", "cue_conflict", None] == pytest.approx(shape.mean())
    assert values["texture_fraction", "cue_conflict", None] == pytest.approx(texture.mean())
    assert values["other_fraction", "cue_conflict", None] == pytest.approx(1 - (shape | texture).mean())
    assert values["shape_bias", "cue_conflict", None] == pytest.approx(shape.sum() / (shape | texture).sum())
    assert "Shape bias, cue conflict" in told.out
    model = open_model(str(run))[0]
    probabilities = torch.from_numpy(_said(model, stimuli, saved)).softmax(dim=1)
    assert np.exp(saved.logits) == pytest.approx(probabilities.numpy(), abs=1e-5)


def test_shape_bias_that_is_undefined_is_said(run: Path, tmp_path: Path, longcut: Longcut) -> None:
    # One image under each pair of names: of three classes, it is said to be neither's in exactly one of them.
    undefined = []
    for shape, texture, other in (("bird", "cat", "dog"), ("bird", "dog", "cat"), ("cat", "dog", "bird")):
        root, out = tmp_path / other / "stimuli", tmp_path / other / "out"
        write_stimuli(root, [(shape, texture), (other, other)])
        told = longcut("evaluate", run, "--suite", "cue-conflict", "--data", root, "--out", out)
        assert told.code == 0, told
        is_undefined = "shape bias undefined (no decision for the shape or the texture)" in told.err
        assert is_undefined == (("shape_bias", "cue_conflict", None) not in rows_of(out))
        assert rows_of(out)["other_fraction", "cue_conflict", None]["value"] == is_undefined
        undefined.append(is_undefined)
    assert sorted(undefined) == [False, False, True]


def test_stimuli_that_are_none(run: Path, tmp_path: Path, data: Path, refused: Refused) -> None:
    line = refused("evaluate", run, "--suite", "cue-conflict", "--data", data)
    assert line.endswith(
        f"cue-conflict: not run: {data}/bird/0.png tells no texture: stimuli are called <shape><i>-<texture><j>.png"
    )
    same = write_stimuli(tmp_path / "same", [("cat", "cat")])
    assert "no stimulus with a shape and a texture of two classes" in refused(
        "evaluate", run, "--suite", "cue-conflict", "--data", same
    )


# Models of timm's.


@pytest.fixture
def timm_run(tmp_path: Path) -> Path:
    return tmp_path / "timm"


def test_a_timm_model_with_random_weights_says_so(
    tmp_path: Path, timm_run: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("longcut.backbones.weights._is_cached", lambda _: False)
    stimuli = write_stimuli(tmp_path / "s", [("cat", "elephant"), ("dog", "cat"), ("cat", "unicorn")])
    words = ("evaluate", "timm:resnet10t", "--suite", "cue-conflict", "--data", stimuli, "--out", timm_run)
    told = longcut(*words)
    assert told.code == 0, told
    assert "timm:resnet10t has random weights (" in told.err
    row = rows_of(timm_run)["other_fraction", "cue_conflict", None]
    assert row["starting_weights"].startswith("random weights (")
    assert row["n"] == 2
    assert Predictions.load(timm_run / "predictions" / "cue_conflict.npz").classes == ("cat", "dog", "elephant")
    before = (timm_run / "results.jsonl").read_text()
    assert longcut(*words).code == 0
    assert (timm_run / "results.jsonl").read_text() == before, "always the same random weights"


def test_a_timm_model_on_some_of_imagenet_s_classes(tmp_path: Path, timm_run: Path, longcut: Longcut) -> None:
    ids = wordnet_ids()
    data = write_images(tmp_path / "some" / "val", classes=(ids[7], ids[207]), count=1).parent
    words = ("evaluate", "timm:resnet10t", "--weights", "none", "--out", timm_run, "--data", data)
    assert longcut(*words).code == 0
    assert set(rows_of(timm_run)) == {("accuracy", "val", c) for c in (None, ids[7], ids[207])}
    saved = Predictions.load(timm_run / "predictions" / "val.npz")
    assert saved.logits.shape == (2, 1000)
    assert saved.targets.tolist() == [7, 207]


def test_mce_of_an_imagenet_model(tmp_path: Path, timm_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption_suite, "corrupt", _darken)
    ids = wordnet_ids()
    data = write_images(tmp_path / "some", classes=(ids[7], ids[207]), count=2)
    model, _ = open_model("timm:resnet10t", weights="none", image_size=32, out=timm_run)
    lines: list[str] = []
    run_suites(model, ["corruptions"], data, timm_run, say=lines.append)
    rows = rows_of(timm_run)
    wrong = [1 - rows["accuracy", f"corruptions/{name}", None]["value"] for name in ALEXNET_ERRORS]
    mce = np.mean(np.array(wrong) / list(ALEXNET_ERRORS.values()))
    assert rows["mce", "corruptions", None]["value"] == pytest.approx(mce)
    assert lines[-1].endswith(f"mCE {mce:.1%}")

    nine = write_images(tmp_path / "nine", classes=IMAGENET9, count=1)
    run_suites(model, ["corruptions"], nine, tmp_path / "other")
    assert ("accuracy", "corruptions", None) in rows_of(tmp_path / "other")
    assert ("mce", "corruptions", None) not in rows_of(tmp_path / "other"), "not of ImageNet-9's classes"


def test_a_timm_model_sees_images_as_timm_normalises_them(timm_run: Path) -> None:
    model, _ = open_model("timm:vit_tiny_patch16_224", weights="none", image_size=32, out=timm_run)
    assert (model.normalisation.mean, model.normalisation.std) == ((0.5,) * 3, (0.5,) * 3)


def test_a_timm_model_on_classes_that_are_not_imagenet_s(timm_run: Path, data: Path, refused: Refused) -> None:
    words = ("evaluate", "timm:resnet10t", "--weights", "none", "--out", timm_run, "--data", data)
    assert "has the classes bird, cat, dog: an ImageNet model is measured on" in refused(*words)


# Several suites, and what cannot run.


def test_several_suites_in_one_folder(run: Path, tmp_path: Path, longcut: Longcut) -> None:
    write_images(tmp_path / "all" / "imagenet-r", count=2)
    write_stimuli(tmp_path / "all" / "cue-conflict", CONFLICTS)
    names = "corruptions,imagenet-r,imagenet-a,cue-conflict"
    words = ("--only", "fog", "--severities", "1")
    told = longcut("evaluate", run, "--suite", names, "--data", tmp_path / "all", *words)
    assert told.code == 0, told
    assert told.out.endswith(
        f"imagenet-a: not run: {tmp_path}/all holds imagenet-r, cue-conflict, and no folder imagenet-a\n"
    )
    datasets = {dataset for _, dataset, _ in rows_of(run)}
    assert {"corruptions/fog/1", "imagenet_r", "cue_conflict"} <= datasets


def test_a_suite_without_its_data_is_told(run: Path, longcut: Longcut, refused: Refused) -> None:
    words = ("--only", "fog", "--severities", "1")
    told = longcut("evaluate", run, "--suite", "corruptions,cue-conflict", *words)
    assert told.code == 0, told
    assert told.out.endswith("cue-conflict: not run: needs --data, a folder of its images\n")
    assert refused("evaluate", run, "--suite", "cue-conflict,imagenet-r") == (
        "longcut: cue-conflict: not run: needs --data, a folder of its images; "
        "imagenet-r: not run: needs --data, a folder of its images"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--suite", "corruption"), "no suite is called 'corruption': did you mean 'corruptions'?"),
        (("--suite", "corruptions", "--only", "gausian_noise"), "did you mean 'gaussian_noise'?"),
        (("--suite", "corruptions", "--only", "saturate"), "corruptions: not run: has none of saturate"),
        (("--suite", "corruptions", "--severities", "0,1"), "--severities has 0: they are 1 to 5"),
        (("--suite", "corruptions", "--severities", "high"), "--severities high: comma-separated numbers"),
        (("--suite", "corruptions", "--limit", "0"), "--limit is 0: at least 1 image is needed"),
        (("--suite", "corruptions", "--mapping", "nothing.csv"), "nothing.csv does not exist"),
        (("--suite", "corruptions", "--adversarial"), "--adversarial is none of --suite's"),
        (("--suite", "corruptions", "--consistency-with", "x"), "--consistency-with is none of --suite's"),
        (("--data", "x", "--mapping", "nothing.csv"), "--mapping needs --suite"),
        (("--data", "x", "--limit", "3"), "--limit needs --suite"),
        (("--data", "x", "--adversarial", "--consistency-with", "y"), "--adversarial does not go with --cons"),
        ((), "evaluate needs --data DIR, or --suite NAME"),
    ],
)
def test_what_cannot_be_asked_for(run: Path, refused: Refused, words: tuple[str, ...], message: str) -> None:
    assert message in refused("evaluate", run, *words)


def test_a_timm_model_has_no_data_of_its_own(timm_run: Path, refused: Refused) -> None:
    words = ("evaluate", "timm:resnet10t", "--weights", "none", "--out", timm_run, "--suite", "corruptions")
    assert "corruptions: not run: needs --data, as the model is no run" in refused(*words)


# Error consistency.


class SaysOne(torch.nn.Module):
    """A classifier that always says the same."""

    def encode(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))

    def classify(self, features: Tensor) -> Tensor:
        return features.new_tensor([0.0, 1.0, 0.0]).expand(len(features), 3)


def test_error_consistency_with_a_model(run: Path, tmp_path: Path, data: Path, longcut: Longcut) -> None:
    shutil.copy(data / "dog" / "0.png", data / "cat" / "0.png")  # of these, one is not what its folder says
    model = open_model(str(run))[0]
    other = replace(model, network=SaysOne(), subject=replace(model.subject, run="runs/constant"))
    lines: list[str] = []
    rows = measure_consistency(model, other, data, tmp_path / "out", say=lines.append)
    evaluate(model, data, tmp_path / "out")
    saved = Predictions.load(tmp_path / "out" / "predictions" / "all.npz")
    kappa = cohen_kappa_score(saved.correct, saved.targets == 1)
    assert rows[0]["value"] == pytest.approx(kappa)
    assert rows_of(tmp_path / "out")["error_consistency", "all~constant", None]["n"] == 12
    assert lines == [f"all: error consistency with constant {kappa:.3f} on 12"]

    same = Path(shutil.copytree(run, tmp_path / "same"))
    told = longcut("evaluate", run, "--consistency-with", same, "--data", data)
    assert told.code == 0, told
    assert "all: error consistency with same 1.000 on 12" in told.err
    assert "Error consistency, all~same" in told.out


@pytest.mark.parametrize("chosen", ["first", "second"])
def test_error_consistency_is_of_the_images_that_both_models_read(run: Path, tmp_path: Path, chosen: str) -> None:
    data = write_images(tmp_path / "more", classes=("bird", "cat", "cow", "dog"), count=3)
    for name in ("bird", "cat"):
        shutil.copy(data / "dog" / "0.png", data / name / "0.png")  # of these, one at most is what its folder says
    model = open_model(str(run))[0]
    some = replace(model, chosen=True)
    everything = replace(
        model, network=SaysOne(), classes=("bird", "cat", "cow", "dog"), subject=replace(model.subject, run="runs/all")
    )
    lines: list[str] = []
    pair = (some, everything) if chosen == "first" else (everything, some)
    (row,) = measure_consistency(*pair, data, tmp_path / "out", say=lines.append)
    evaluate(some, data, tmp_path / "out")
    saved = Predictions.load(tmp_path / "out" / "predictions" / "all.npz")
    assert row["n"] == len(saved) == 9
    assert row["value"] == pytest.approx(cohen_kappa_score(saved.correct, saved.targets == 1))
    assert lines[0] == "all: 3 images that only one of the models reads left out"


def test_models_that_read_no_image_in_common_are_refused(run: Path, data: Path, tmp_path: Path) -> None:
    model = open_model(str(run))[0]
    birds, dogs = (replace(model, classes=(name,), chosen=True) for name in ("bird", "dog"))
    with pytest.raises(ValueError, match=r"data holds no image that both models read"):
        measure_consistency(birds, dogs, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Runs of some of the classes, or of none.


def test_a_run_of_some_of_its_data_s_classes_passes_over_the_others(run: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "more", classes=("bird", "cat", "cow", "dog"), count=2)
    model = replace(open_model(str(run))[0], chosen=True)
    rows = evaluate(model, data, tmp_path / "out")
    assert [(row["class"], row["n"]) for row in rows] == [(None, 6), ("bird", 2), ("cat", 2), ("dog", 2)]


def test_a_run_without_classes_names_none(run: Path, data: Path, tmp_path: Path) -> None:
    model = replace(open_model(str(run))[0], classes=())
    with pytest.raises(ValueError, match=r"was trained without classes, .* 'longcut probe"):
        evaluate(model, data, tmp_path / "out")
