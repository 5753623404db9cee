"""`longcut audit` as a whole: every kind of model, what it finds, and that it goes on where it stopped."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audit_networks
import numpy as np
import pytest
import torch
from command_line import Longcut, Refused, small
from made_images import CLASSES, write_celeba, write_images, write_masks
from PIL import Image

from longcut.engine.run_folder import load_run
from longcut.evaluation.audit.kept_scores import KeptScores
from longcut.evaluation.audit.result import AuditResult
from longcut.evaluation.linear_head import LinearHead
from longcut.evaluation.linear_probe import Linear
from longcut.evaluation.results import weights_hash
from longcut.recipes.audit.changes import CORE
from longcut.report.auditing import audit as audit_in_memory

pytestmark = pytest.mark.usefixtures("one_process")
COMMAND = "from longcut.cli import main; main()"
PLAIN = ("--image-size", 32, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
Audit = Callable[..., AuditResult]


@pytest.fixture
def audit(longcut: Longcut, tmp_path: Path) -> Audit:
    """An audit that ends well."""

    def run(model: str, images: Path, *words: object, out: str = "audit") -> AuditResult:
        told = longcut("audit", model, images, "--out", tmp_path / out, *words)
        assert told.code == 0, told.err
        assert f"the page: {tmp_path / out / 'audit.html'}" in told.err
        assert not (tmp_path / out / "parts").exists()
        return AuditResult.load(tmp_path / out)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos", count=8)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks", count=8)


def values(result: AuditResult) -> dict[str, float]:
    return {effect.name: effect.value for effect in result.effects}


def page(tmp_path: Path, out: str = "audit") -> str:
    return (tmp_path / out / "audit.html").read_text("utf-8")


# Models.


def test_a_function_that_looks_at_the_background(audit: Audit, photos: Path, masks: Path, tmp_path: Path) -> None:
    found = audit("audit_networks:mean_colour", photos, "--masks", masks, *PLAIN)
    figures = values(found)
    assert figures["accuracy"] == 1
    assert figures["bg_gap"] > 0.7
    assert [shortcut.cue for shortcut in found.named] == ["background"]
    assert found.title == "audit_networks:mean_colour on photos"
    assert found.masks["source"] == "given"
    assert (found.data["n"], found.data["labelled"]) == (24, True)
    assert [row["name"] for row in found.per_class] == list(CLASSES)
    assert "attention" in {left.suite for left in found.not_run}, "a function has no map of features"
    flips = [flip for flip in found.flips if flip.effect == "bg_gap"]
    assert 0 < len(flips) <= 8
    for flip in flips:
        assert flip.prediction == flip.target != flip.changed_prediction
        assert (tmp_path / "audit" / flip.variant).is_file()
    kept = KeptScores.load(tmp_path / "audit")
    recipe = kept.recipe("bg_gap")
    assert recipe is not None
    assert np.nanmean(kept.differences(recipe)) == pytest.approx(figures["bg_gap"])


def test_a_module_shows_where_it_looks(audit: Audit, photos: Path, masks: Path, tmp_path: Path) -> None:
    found = audit("audit_networks:ColourNet", photos, "--masks", masks, *PLAIN)
    assert values(found)["accuracy"] == 1, "dropout rests"
    attention = found.effect("attention_excess")
    assert attention is not None
    assert attention.high < 0
    overlays = {flip.overlay for flip in found.flips}
    assert None not in overlays
    assert all((tmp_path / "audit" / str(overlay)).is_file() for overlay in overlays)


def test_a_model_without_a_map_shows_none_of_a_former_one(
    audit: Audit, photos: Path, masks: Path, tmp_path: Path
) -> None:
    words = (photos, "--masks", masks, *PLAIN)
    former = audit("audit_networks:ColourNet", *words)
    found = audit("audit_networks:mean_colour", *words)
    assert {flip.original for flip in former.flips} & {flip.original for flip in found.flips}
    assert {flip.overlay for flip in found.flips} == {None}
    assert list((tmp_path / "audit" / "pictures").glob("*_attention.jpg")) == []


def test_a_run_of_ours(audit: Audit, finished: Path, masks: Path) -> None:
    found = audit(f"run:{finished / 'run'}", finished / "data", "--masks", masks)
    assert found.title == "base_small on data"
    assert found.data["classes"] == list(CLASSES)
    assert (found.model["step"], found.model["selection"]) == (2, "last")
    assert {"accuracy", "bg_gap", "ece", "attention_excess"} <= set(values(found))


@pytest.mark.parametrize("kind", ["linear", "dfr"])
def test_a_run_through_a_head_that_it_keeps(
    kind: str, audit: Audit, run: Path, finished: Path, masks: Path, longcut: Longcut, refused: Refused, tmp_path: Path
) -> None:
    data, method = finished / "data", load_run(run).method
    words = ("--head", kind, "--masks", masks, "--suite", "calibration,attention")
    line = refused("audit", run, data, "--out", tmp_path / "audit", *words)
    assert f"yet: fit one with 'longcut {'probe' if kind == 'linear' else 'dfr'} {run} --data DIR'" in line
    own = audit(f"run:{run}", data, *words[2:])
    weight = torch.randn(3, 256, generator=torch.Generator().manual_seed(3))
    LinearHead(Linear(weight, torch.zeros(3)), CLASSES[::-1], weights_hash(method)).save(run, kind)
    found = audit(f"run:{run}", data, *words)  # in the same folder, where it is another audit
    assert (own.model["head"], found.model["head"].partition(":")[0]) == ("own", kind)
    assert own.model["weights_hash"] == found.model["weights_hash"]
    assert found.effect("attention_excess") is not None
    assert longcut("evaluate", run, "--head", kind, "--data", data, "--name", "here").code == 0
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if (row["metric"], row["class"]) == (f"{kind}_accuracy", None)]
    assert (row["value"], row["head"]) == (values(found)["accuracy"], found.model["head"])
    assert (run / "predictions" / f"here{'.dfr' * (kind == 'dfr')}.npz").is_file()
    in_memory = audit_in_memory(run, data, head=kind, masks=masks, suites=("calibration", "attention"))
    assert values(in_memory) == values(found)


def test_a_run_is_audited_on_the_attributes_that_it_was_trained_on(
    audit: Audit, longcut: Longcut, tmp_path: Path
) -> None:
    celeba, run = write_celeba(tmp_path / "celeba"), tmp_path / "run"
    chosen = small("data.target=Male", "data.bias=Smiling", "validate_epochs=false")
    assert longcut("train", "base_small", "--data", celeba, "--out", run, *chosen).code == 0
    alone = {(group["target"], group["bias"]) for group in audit(f"run:{run}", celeba, "--suite", "groups").groups}
    assert alone == {(target, bias) for target in ("not Male", "Male") for bias in ("not Smiling", "Smiling")}
    in_memory = audit_in_memory(str(run), celeba, suites="groups")
    assert {(group["target"], group["bias"]) for group in in_memory.groups} == alone
    told = audit(f"run:{run}", celeba, "--suite", "groups", "--bias-column", "Blond_Hair", out="other")
    assert {group["bias"] for group in told.groups} == {"not Blond_Hair", "Blond_Hair"}


def test_a_net_without_the_classes_goes_without_labels(audit: Audit, tmp_path: Path) -> None:
    classes = ("climbing", "diving", "fishing", "pole vaulting", "racing", "throwing")
    photos = write_images(tmp_path / "six", classes=classes, count=2, size=40)
    masks = write_masks(tmp_path / "masks", classes=classes, count=2, size=40)
    found = audit("timm:test_resnet", photos, "--weights", "none", "--image-size", 64, "--masks", masks)
    text = page(tmp_path)
    for line in found.warnings:
        assert line.split("'")[0] in text
    assert any(line.startswith("The model has random weights") and line.endswith(" one.") for line in found.warnings)
    assert any(line.startswith("No labels: no class in common") for line in found.warnings)
    assert {effect.unit for effect in found.effects if effect.kind != "measured"} == {"agreement"}
    assert found.effect("accuracy") is None
    assert "calibration" in {left.suite for left in found.not_run}
    assert not any(flip.prediction.startswith("n0") for flip in found.flips), "words, not WordNet ids"


def test_predictions_alone(audit: Audit, photos: Path, tmp_path: Path, refused: Refused) -> None:
    rows = [f"{file.relative_to(photos)},{CLASSES[i % 3]},0.9" for i, file in enumerate(sorted(photos.rglob("*.png")))]
    (tmp_path / "said.csv").write_text("\n".join(["path,prediction,confidence", *rows]))
    found = audit(f"predictions:{tmp_path / 'said.csv'}", photos)
    right = sum(row.split("/")[0] == row.split(",")[1] for row in rows)
    assert values(found)["accuracy"] == pytest.approx(right / 24)
    assert values(found)["ece"] == pytest.approx(0.9 - right / 24, abs=1e-6)
    assert {left.suite for left in found.not_run} == set(CORE) - {"calibration"}
    assert len(KeptScores.load(tmp_path / "audit").paths) == 24
    only = audit(f"predictions:{tmp_path / 'said.csv'}", photos, "--suite", "calibration,border", out="only")
    assert [left.suite for left in only.not_run] == ["border"]
    line = refused("audit", f"predictions:{tmp_path / 'said.csv'}", photos, "--image-size", 32, "--out", tmp_path / "x")
    assert "--image-size goes with a model, and predictions:FILE.csv names none" in line


# Images.


def test_bias_labels_give_groups(audit: Audit, photos: Path, masks: Path) -> None:
    rows = [
        f"{name}/{i}.png,{name},{CLASSES[(place + (i > 4)) % 3]}"
        for place, name in enumerate(CLASSES)
        for i in range(8)
    ]
    (photos / "images.csv").write_text("\n".join(["path,target,bias", *rows]))
    found = audit("audit_networks:mean_colour", photos, "--masks", masks, "--suite", "groups", *PLAIN)
    assert values(found)["worst_group"] == 1
    assert values(found)["bias_gap"] == pytest.approx(0, abs=1e-9)
    counts = {(row["target"], row["bias"]): row["n"] for row in found.groups}
    assert counts == {(a, CLASSES[(i + k) % 3]): n for i, a in enumerate(CLASSES) for k, n in ((0, 5), (1, 3))}
    assert found.not_run == ()


def test_images_without_a_mask_are_left_out_of_what_needs_it(audit: Audit, photos: Path, masks: Path) -> None:
    for name in ("bird/0.png", "cat/1.png", "cat/2.png"):
        (masks / name).unlink()
    found = audit("audit_networks:mean_colour", photos, "--masks", masks, *PLAIN)
    assert (found.masks["usable"], found.masks["images"]) == (21, 24)
    assert any(line.startswith("Of 3 of 24 images there is no foreground mask") for line in found.warnings)
    background, border = found.effect("bg_gap"), found.effect("border_gap")
    assert background is not None
    assert border is not None
    assert background.n <= 21
    assert border.n == 24


def test_masks_are_made_once_and_where_they_are_needed(audit: Audit, longcut: Longcut, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", count=2)
    found = audit("audit_networks:mean_colour", photos, *PLAIN, "--suite", "background")
    assert found.masks["source"] == "grabcut"
    assert 0 < found.masks["mean_area"] < 1
    assert found.masks["usable"] >= 5
    assert any("GrabCut's guess" in line for line in found.warnings)
    words = ["audit", "audit_networks:mean_colour", photos, *PLAIN]
    again = longcut(*words, "--seed", 1, "--out", tmp_path / "again")
    assert again.code == 0
    assert "masks:" not in again.err
    found = audit("audit_networks:mean_colour", photos, *PLAIN, "--suite", "patches,file,groups", "--limit", 5)
    assert found.masks["source"] == "none"


def test_masks_are_made_again_where_boxes_are_added(audit: Audit, tmp_path: Path) -> None:
    files = sorted(write_images(tmp_path, count=2).glob("*/*.png"))
    table = tmp_path / "photos.csv"
    for box in (",,,", "4,4,31,31"):
        rows = [f"{file.relative_to(tmp_path)},{file.parent.name},{box}" for file in files]
        table.write_text("\n".join(["path,target,x1,y1,x2,y2", *rows]))
        found = audit("audit_networks:mean_colour", table, *PLAIN, "--suite", "background")
        assert found.masks["source"] == "grabcut"


def test_small_images_in_an_array(audit: Audit, tmp_path: Path) -> None:
    """Rows of one file, whose masks need names of their own."""
    files = sorted(write_images(tmp_path / "photos", count=2).rglob("*.png"))
    folder = tmp_path / "small"
    folder.mkdir()
    np.save(folder / "test.npy", np.stack([np.asarray(Image.open(file)) for file in files]))
    rows = [f"test.npy#{i},{file.parent.name},test" for i, file in enumerate(files)]
    (folder / "images.csv").write_text("\n".join(["path,target,split", *rows]))
    found = audit("audit_networks:mean_colour", folder, *PLAIN, "--suite", "background")
    assert found.masks["usable"] >= 5
    assert values(found)["accuracy"] == 1


def test_files_of_one_name_but_for_the_suffix(audit: Audit, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", count=2)
    for file in sorted(photos.rglob("0.png")):
        Image.open(file).save(file.with_suffix(".jpg"), quality=95)
    found = audit("audit_networks:mean_colour", photos, *PLAIN, "--suite", "background")
    assert found.masks["images"] == 9
    assert found.masks["usable"] >= 7


def test_files_lend_their_quality_where_it_differs(audit: Audit, tmp_path: Path) -> None:
    for place, name in enumerate(CLASSES):
        write_images(tmp_path / "made", classes=[name], count=6, seed=place)
        for i, file in enumerate(sorted((tmp_path / "made" / name).iterdir())):
            for folder, quality in (("mixed", (95, 20)[i % 2]), ("near", (90, 91)[i % 2])):
                out = tmp_path / folder / name / f"{file.stem}.jpg"
                out.parent.mkdir(parents=True, exist_ok=True)
                Image.open(file).save(out, quality=quality)
    mixed = audit("audit_networks:mean_colour", tmp_path / "mixed", *PLAIN, "--suite", "file")
    assert "file_gap" in values(mixed)
    near = audit("audit_networks:mean_colour", tmp_path / "near", *PLAIN, "--suite", "file", out="close")
    assert [(left.suite, left.why) for left in near.not_run] == [
        ("file", "all files are JPEG of quality 90 to 91, so none could lend another a quality")
    ]


def test_classes_are_mapped_and_others_left_out(audit: Audit, photos: Path, masks: Path, tmp_path: Path) -> None:
    write_images(photos, classes=["eel"], count=2)
    (tmp_path / "names.txt").write_text("robin\ntiger cat\ndog\nwhale\nant\n")
    (tmp_path / "map.csv").write_text("folder,model_class\nbird,robin\ncat,tiger cat\n")
    words = ["--masks", masks, "--class-names", tmp_path / "names.txt", "--mapping", tmp_path / "map.csv", *PLAIN]
    found = audit("audit_networks:five_classes", photos, *words, "--suite", "border")
    assert values(found)["accuracy"] == 1
    assert found.data["n"] == 24
    assert "1 of 4 classes are unknown to the model: eel; their 2 images are left out." in found.warnings
    (tmp_path / "map.csv").write_text("folder,model_class\nbird,tiger cat\ncat,robin\n")
    assert values(audit("audit_networks:five_classes", photos, *words, "--suite", "border"))["accuracy"] == 1 / 3


# What is asked for.


def test_suites_and_a_limit(audit: Audit, photos: Path, masks: Path) -> None:
    words = ["--masks", masks, *PLAIN, "--suite", "border,patches", "--limit", 9]
    found = audit("audit_networks:mean_colour", photos, *words)
    assert found.data["n"] == 9
    assert {effect.suite for effect in found.effects} == {"figures", "border", "patches"}
    assert found.settings["suites"] == ["border", "patches"]
    assert "9 images are few: intervals are wide, and small shortcuts are not seen." in found.warnings


def test_formats(photos: Path, masks: Path, longcut: Longcut, tmp_path: Path) -> None:
    words = ["audit", "audit_networks:mean_colour", photos, "--masks", masks, *PLAIN, "--out", tmp_path / "audit"]
    told = {form: longcut(*words, "--format", form).out for form in ("text", "markdown", "csv", "json", "html")}
    found = AuditResult.load(tmp_path / "audit")
    assert found.summary in told["text"]
    assert "* rests on the foreground masks" in told["text"]
    assert f"file: not run: {found.not_run[-1].why}" in told["text"]
    assert "| Background of another class * | " in told["markdown"]
    rows = list(csv.DictReader(io.StringIO(told["csv"])))
    assert {row["name"]: float(row["value"]) for row in rows} == values(found)
    assert [row["name"] for row in rows if row["named"] == "True"] == ["bg_gap"]
    assert json.loads(told["json"])["summary"] == found.summary
    assert told["html"].rstrip("\n") == page(tmp_path).rstrip("\n")


def test_a_guard(photos: Path, masks: Path, longcut: Longcut, refused: Refused, tmp_path: Path) -> None:
    words = ["audit", "audit_networks:mean_colour", photos, "--masks", masks, *PLAIN, "--out", tmp_path / "audit"]
    line = refused(*words, "--fail-on", "bg_gab>0.1")
    assert "no figure 'bg_gab' in 'bg_gab>0.1': did you mean 'bg_gap'?" in line
    assert not (tmp_path / "audit").exists(), "told before the work"
    told = longcut(*words, "--fail-on", "accuracy<0.5,bg_gap>5%")
    assert told.code == 1
    assert "fails: bg_gap is " in told.err
    assert "fails: accuracy" not in told.err
    assert longcut(*words, "--fail-on", "accuracy<50%").code == 0
    assert "'worst_group<0.7' cannot be checked: worst_group was not measured" in refused(
        *words, "--fail-on", "worst_group<0.7"
    )


# Going on.

MANY = 50
_BATCHES = 3  # of 150 images


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 images with masks."""
    folder = tmp_path_factory.mktemp("many")
    write_images(folder / "photos", count=MANY, size=24)
    write_masks(folder / "masks", count=MANY, size=24)
    return folder


def words_of(folder: Path, network: str, out: Path) -> list[Any]:
    words = ["audit", f"audit_networks:{network}", folder / "photos", "--masks", folder / "masks", "--out", out]
    return [*words, "--image-size", 24, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--suite", "background,border"]


def batches(calls: list[int]) -> list[int]:
    """The calls that scored images: to tell outputs, and to look for maps, a few are enough."""
    return [count for count in calls if count > 4]


def same(first: Path, second: Path) -> None:
    """Two audits have the same numbers, bit for bit."""
    with np.load(first / "scores.npz") as one, np.load(second / "scores.npz") as two:
        assert one.files == two.files
        for name in one.files:
            assert one[name].tobytes() == two[name].tobytes(), name
    one, two = (json.loads((folder / "audit.json").read_text()) for folder in (first, second))
    for record in (one, two):
        for part in ("title", "model", "settings"):
            record.pop(part)
    assert one == two
    for flip in one["flips"]:
        assert (first / flip["variant"]).read_bytes() == (second / flip["variant"]).read_bytes()


def test_killed_and_run_again(many: Path, longcut: Longcut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit_networks.CALLS.clear()
    assert longcut(*words_of(many, "counted", tmp_path / "whole")).code == 0
    whole = batches(audit_networks.CALLS)
    variants = len(whole) // _BATCHES - 1
    killed_at = 2 + _BATCHES + variants + variants // 2  # within the second batch of variants
    environment = os.environ | {"AUDIT_CALL": str(killed_at), "PYTHONPATH": str(Path(__file__).parent)}
    words = map(str, words_of(many, "stopped", tmp_path / "broken"))
    killed = subprocess.run([sys.executable, "-c", COMMAND, *words], env=environment, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr

    monkeypatch.setenv("AUDIT_CALL", "0")
    audit_networks.CALLS.clear()
    assert longcut(*words_of(many, "stopped", tmp_path / "broken")).code == 0
    left = batches(audit_networks.CALLS)
    assert len(left) == len(whole) - _BATCHES - variants
    assert left == whole[_BATCHES + variants :]
    same(tmp_path / "whole", tmp_path / "broken")


def test_other_settings_start_anew(many: Path, longcut: Longcut, tmp_path: Path) -> None:
    words = words_of(many, "counted", tmp_path / "audit")
    audit_networks.CALLS.clear()
    assert longcut(*words).code == 0
    count = len(batches(audit_networks.CALLS))
    pictures = {file.name for file in (tmp_path / "audit" / "pictures").iterdir()}

    audit_networks.CALLS.clear()
    told = longcut(*words)
    assert f"{tmp_path / 'audit'} holds this audit: nothing is left to do" in told.err
    assert batches(audit_networks.CALLS) == []
    (tmp_path / "audit" / "pictures" / sorted(pictures)[0]).unlink()
    assert longcut(*words).code == 0
    assert len(batches(audit_networks.CALLS)) == count, "an audit that lacks a picture is none"

    for changed in (["--seed", 1], ["--least", 0.5], ["--limit", 140]):
        audit_networks.CALLS.clear()
        assert longcut(*words, *changed).code == 0
        assert len(batches(audit_networks.CALLS)) >= count // 2
    found = AuditResult.load(tmp_path / "audit")
    named = {Path(file).name for flip in found.flips for file in (flip.original, flip.variant)}
    assert {file.name for file in (tmp_path / "audit" / "pictures").iterdir()} == named, "no picture of former audits"
