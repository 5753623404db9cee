"""What the command line says when something is wrong: one line that names it, exit code 2, and nothing lost."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMALL, Longcut, Refused, small
from made_images import CLASSES, write_images, write_masks
from PIL import Image

from longcut.engine.checkpoint import load_checkpoint
from longcut.engine.settings import resolve
from longcut.evaluation.finite import NotFiniteError
from longcut.recipes import sweep

pytestmark = pytest.mark.usefixtures("one_process")

# Wrong words.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["weigt=1"], "unknown setting 'weigt' (did you mean 'weight'?)"),
        (["clad.weight=1"], "unknown setting 'clad.weight'"),
        (["weight=heavy"], "method.weight = 'heavy': input should be a valid number"),
        (["steps=0", "lr=fast"], "optimizer.lr = 'fast'"),
        (["steps=0", "lr=fast"], "run.steps = 0"),
        (["temperature=0"], "method.clad: temperature must be positive"),
        (["num_negatives=0"], "method.clad: a ClassQueue needs sizes of at least 1"),
        (["steps"], "'steps' is no KEY=VALUE, such as steps=200"),
        (["accumulate=2"], "CLAD cannot accumulate"),
        (["backbone.name=convnet6"], "no backbone is called 'convnet6'; the nearest names are convnet5"),
        (["norm=layer"], "backbone.norm = 'layer'"),
        (["cache=tape"], "data.cache = 'tape'"),
        (["image_size=0"], "data.image_size = 0"),
        (["backbone.name=inception_v3"], "inception_v3 cannot take images of 32 px (Calculated"),
        (["batch_size=-1"], "run.batch_size = -1"),
        (["epochs=0"], "run.epochs = 0"),
        (["epochs=inf"], "run.epochs = inf: input should be a finite number"),
        (["seed=-1"], "run.seed = -1"),
        (["seed=99999999999999999999"], "run.seed = 99999999999999999999: input should be less than 4294967296"),
        (["std=[0.2,0,0.2]"], "data.std = 0: input should be greater than 0"),
        (["warmup=500"], "schedule.warmup = 500: a share of the run is meant, at least 0 and below 1"),
        (["milestones=[30,60]"], "schedule.milestones = 30: a share of the run is meant"),
        (["schedule=cosine", "warmup=1"], "schedule.warmup = 1: a share of the run is meant"),
        (["gamma=-1"], "schedule.gamma = -1"),
        (["agreement=6"], "ensemble.agreement = 6: there are only 5 models to agree"),
        (
            ["validate_epochs=false", "validate_every=1"],
            "run.validate_every = 1: validate_epochs=false validates nothing",
        ),
        (["oracle_metric=accuracy"], "run.oracle_metric = 'accuracy': nothing is measured by it without oracle=true"),
        (["sample_state_every=1"], "sample_state_every: clad keeps nothing of each sample; leave it out"),
        pytest.param(
            ["sync_batchnorm=true"],
            "sync_batchnorm needs GPUs",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there it is allowed"),
        ),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_wrong_settings_are_named(
    words: list[str], expected: str, tmp_path: Path, data: Path, refused: Refused
) -> None:
    masks = write_masks(tmp_path / "masks", count=4)
    line = refused("train", "clad_small", "--data", data, "--masks", masks, "--out", tmp_path / "run", *small(*words))
    assert expected in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clad_smal", "no method or preset is called 'clad_smal' (did you mean 'clad_small'?)"),
        ("json:dumps", "json:dumps is no longcut.core.Method"),
        (":Method", "cannot load the method :Method: it is named package.module:Class"),
        (".methods:Method", "cannot load the method .methods:Method: it is named package.module:Class"),
        ("nowhere.at_all:Method", "cannot load the method nowhere.at_all:Method"),
    ],
)
def test_wrong_methods_are_named(name: str, expected: str, tmp_path: Path, data: Path, refused: Refused) -> None:
    assert expected in refused("train", name, "--data", data, "--out", tmp_path / "run", "steps=1")


def test_a_method_without_a_length_asks_for_one(tmp_path: Path, data: Path, refused: Refused) -> None:
    line = refused("train", "erm", "--data", data, "--out", tmp_path / "run")
    assert line.endswith("give the run's length once: steps=N or epochs=N")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lr=1"], "lr is given twice: leave lr=0.001 or lr=1 out"),
        (["optimizer.lr=1"], "optimizer.lr is given twice: leave one out"),
        (["epochs=1"], "give the run's length once: steps=N or epochs=N"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_what_is_given_twice(words: list[str], expected: str, tmp_path: Path, data: Path, refused: Refused) -> None:
    given = ["--data", data, "--out", tmp_path / "run", *SMALL, *words]
    assert expected in refused("train", "base_small", *given)
    assert expected in refused("sweep", "base_small", *given)


def test_what_a_preset_sets_may_be_without_use_beside_what_is_given() -> None:
    assert resolve("base_cmnist", {"validate_epochs": False, "oracle": False}).run.validate_every == 500
    assert resolve("base_bffhq", {"oracle": False}).run.oracle_metric == "bias_conflicting_samples"
    assert resolve("base_bffhq", {"validate_epochs": False, "validate_every": 7}).run.validate_every == 7
    with pytest.raises(ValueError, match=r"run.validate_every = 7: .* or set validate_epochs=true"):
        resolve("erm_demo", {"validate_every": 7})
    assert resolve("erm_demo", {"validate_every": 7, "validate_epochs": True}).run.validate_every == 7


def test_an_unknown_command_or_option_ends_with_2(longcut: Longcut) -> None:
    assert longcut("trian").code == 2
    assert longcut("train", "erm").code == 2
    assert longcut("evaluate", "run", "--date", "x").code == 2


# Wrong images.


def test_data_that_is_not_there(tmp_path: Path, refused: Refused) -> None:
    words = ["train", "base_small", "--out", tmp_path / "run", *SMALL, "--data"]
    assert f"{tmp_path / 'nowhere'} does not exist" in refused(*words, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'} holds no images" in refused(*words, tmp_path / "empty")
    write_images(tmp_path / "single", classes=["bird"])
    assert "only the class 'bird': a classifier needs at least two" in refused(*words, tmp_path / "single")
    flat = write_images(tmp_path / "flat", classes=["."])
    assert "no class folders" in refused(*words, flat)
    (tmp_path / "text.csv").write_text("no,such,columns\n1,2,3\n")
    assert "text.csv" in refused(*words, tmp_path / "text.csv")
    assert not (tmp_path / "run").exists()


def test_a_class_of_one_image_is_trained_on(tmp_path: Path, data: Path, longcut: Longcut) -> None:
    write_images(data, classes=["eel"], count=1)
    assert longcut("train", "base_small", "--data", data, "--out", tmp_path / "run", *SMALL).code == 0


def test_classes_that_differ_between_splits(tmp_path: Path, run: Path, refused: Refused) -> None:
    write_images(tmp_path / "data" / "train", count=4)
    write_images(tmp_path / "data" / "val", classes=["bird", "cow", "dog"], count=2)
    line = refused("train", "base_small", "--data", tmp_path / "data", "--out", tmp_path / "other", *SMALL)
    assert f"the classes of {tmp_path / 'data'} " in line
    assert "cow" in line
    line = refused("evaluate", run, "--data", write_images(tmp_path / "test", classes=["bird", "cow"], count=2))
    assert "adds cow" in line
    assert "lacks cat, dog" in line


def test_clad_without_masks_says_how_to_make_them(tmp_path: Path, data: Path, refused: Refused) -> None:
    words = ["--data", data, "--out", tmp_path / "run", *SMALL]
    for preset in ("clad_small", "base_mr_small"):
        line = refused("train", preset, *words)
        assert "needs masks" in line
        assert f"'longcut data segment {data} --out MASKS'" in line
    line = refused("train", "clad_small", *words, "--masks", tmp_path / "nowhere")
    assert "is no folder of masks; make one with 'longcut data segment" in line
    masks = write_masks(tmp_path / "masks", count=4)
    shutil.rmtree(masks / "cat")
    line = refused("train", "clad_small", *words, "--masks", masks)
    assert "no image of the class 'cat' has a mask" in line
    assert not (tmp_path / "run").exists()


def test_masks_that_are_missing_or_of_another_size(
    tmp_path: Path, data: Path, longcut: Longcut, refused: Refused
) -> None:
    masks = write_masks(tmp_path / "masks", count=4)
    (masks / "cat" / "1.png").unlink()
    words = ["train", "clad_small", "--data", data, "--masks", masks, *SMALL, "--out"]
    told = longcut(*words, tmp_path / "missing")
    assert told.code == 0
    assert "1 of 12 images have no mask and are left out" in told.err
    write_masks(tmp_path / "small", classes=["bird"], count=1, size=20)
    shutil.copy(tmp_path / "small" / "bird" / "0.png", masks / "bird" / "0.png")
    assert f"mask {masks / 'bird' / '0.png'} is 20x20, its image 36x36" in refused(*words, tmp_path / "size")


def test_masks_that_show_no_foreground(tmp_path: Path, data: Path, longcut: Longcut, refused: Refused) -> None:
    masks = write_masks(tmp_path / "masks", count=4)
    words = ["train", "clad_small", "--data", data, "--masks", masks, *SMALL, "--out"]
    Image.new("L", (36, 36)).save(masks / "cat" / "1.png")
    told = longcut(*words, tmp_path / "empty")
    assert told.code == 0
    assert "1 of 12 masks show no foreground (128 to 255): their images lend no background" in told.err
    for mask in masks.rglob("*.png"):
        Image.fromarray(np.array(Image.open(mask)) // 255).save(mask)
    line = refused(*words, tmp_path / "dark")
    assert f"the masks of {data} hold values up to 1: foreground is 128 to 255, so write it as 255" in line


def test_an_attempt_that_was_refused_is_not_in_the_way_of_the_next(
    tmp_path: Path, data: Path, longcut: Longcut, refused: Refused
) -> None:
    words = ["train", "base_small", "--data", data, "--out", tmp_path / "run", *SMALL]
    assert "a batch of 6 images cannot be cut into accumulate 4 x processes 1" in refused(*words, "accumulate=4")
    refused(*words, "--weights", tmp_path / "nowhere.pt")
    assert not (tmp_path / "run").exists()
    assert longcut(*words).code == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no image", "cut"], ids=["empty", "noise", "truncated"])
def test_a_corrupt_image_is_named_and_can_be_skipped(
    content: bytes | str, tmp_path: Path, data: Path, longcut: Longcut, refused: Refused
) -> None:
    bad = data / "cat" / "1.png"
    bad.write_bytes(content if isinstance(content, bytes) else bad.read_bytes()[:200])
    (data / "cat" / "notes.txt").write_text("no image")
    words = ["train", "base_small", "--data", data, "--out", tmp_path / "run", *SMALL]
    line = refused(*words)
    assert str(bad) in line
    assert "--skip-bad" in line
    told = longcut(*words, "--skip-bad")
    assert told.code == 0, told
    assert f"left out: cannot decode {bad}" in told.err
    assert "11 images" in told.err
    evaluation = ["evaluate", tmp_path / "run", "--data", data]
    assert str(bad) in refused(*evaluation)
    assert longcut(*evaluation, "--skip-bad").code == 0
    overall = json.loads((tmp_path / "run" / "results.jsonl").read_text().splitlines()[0])
    assert overall["n"] == 11


def test_names_with_spaces_and_umlauts_are_names_like_others(tmp_path: Path, longcut: Longcut) -> None:
    data = write_images(tmp_path / "meine Daten 🐦", classes=["grüne Vögel", "犬", "a b"], count=3)
    run = tmp_path / 'ein Lauf 🐦 "1"'
    assert longcut("train", "base_small", "--data", data, "--out", run, *SMALL).code == 0
    told = longcut("evaluate", run, "--data", data)
    assert told.code == 0, told
    assert load_checkpoint(run / "checkpoint.pt")["about"]["classes"] == ["a b", "grüne Vögel", "犬"]


# Folders that exist.


def test_an_existing_run_is_never_overwritten(
    tmp_path: Path, finished: Path, run: Path, longcut: Longcut, refused: Refused
) -> None:
    data = finished / "data"
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    words = ["train", "base_small", "--data", data, "--out", run]
    assert f"{run} already holds this run: go on with --resume" in refused(*words, *SMALL)
    line = refused(*words, *small("lr=0.5"), "--resume")
    assert f"{run} holds a run with other settings (optimizer.lr is 0.001 there and 0.5 here)" in line
    assert "run.seed is 0 there and 1 here" in refused(*words, *SMALL, "--seed", 1)
    other = write_images(tmp_path / "other", count=4)
    assert "paths.data is" in refused("train", "base_small", "--data", other, "--out", run, *SMALL)
    assert "(preset is 'base_small' there and 'erm' here)" in refused(
        "train", "erm", "--data", data, "--out", run, *SMALL
    )
    told = longcut(*words, *SMALL, "--resume")
    assert told.code == 0, told
    assert "is finished: 2 steps are done" in told.err
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_run_that_diverged_at_once_is_begun_again_with_a_lower_rate(
    tmp_path: Path, data: Path, longcut: Longcut, refused: Refused
) -> None:
    words = ["train", "base_small", "--data", data, "--out", tmp_path / "run"]
    for _ in range(2):  # the same once more is no "exists" either
        assert "not finite at step 2" in (line := refused(*words, *small("lr=1e30")))
        assert "no checkpoint was written before it" in line
    told = longcut(*words, *SMALL)
    assert told.code == 0, told
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert all(loss < 100 for loss in losses)
    assert "lr = 0.001" in (tmp_path / "run" / "settings.toml").read_text()
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, data: Path, refused: Refused) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("words")
    for out in (tmp_path / "thesis", data):
        line = refused("train", "base_small", "--data", data, "--out", out, *SMALL)
        assert f"{out} exists and is no run: choose another --out" in line
    assert [file.name for file in (tmp_path / "thesis").iterdir()] == ["chapter1.txt"]


@pytest.mark.parametrize(
    "words",
    [
        ["train", "base_small", *SMALL, "--data", "."],
        ["sweep", "base_small", *SMALL, "--data", "."],
        ["evaluate", "{run}", "--data", "."],
        ["probe", "{run}", "--data", "."],
        ["audit", "{run}", "."],
        ["data", "segment", "."],
        ["data", "backgrounds", ".", "--masks", "{masks}"],
    ],
    ids=lambda words: words[0] if words[0] != "data" else words[1],
)
def test_nothing_is_written_among_the_images(
    words: list[str], tmp_path: Path, data: Path, run: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"run": run, "masks": write_masks(tmp_path / "masks", count=4)}
    monkeypatch.chdir(data)
    out = [] if words[0] == "audit" else ["--out", "audit"]
    line = refused(*(word.format(**places) for word in words), *out)
    assert line == "longcut: audit lies inside . and would be read as its images: choose an --out outside ."
    assert sorted(path.name for path in data.iterdir()) == list(CLASSES)


def test_a_run_may_lie_beside_the_splits_of_its_images(tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    write_images(tmp_path / "data/train", count=4)
    words = "train", "base_small", *SMALL, "--data", tmp_path / "data", "--out"
    assert longcut(*words, tmp_path / "data/runs/a").code == 0
    assert longcut(*words, tmp_path / "data/runs/b").code == 0
    assert "lies inside" in refused(*words, tmp_path / "data/train/a")


def test_a_folder_that_cannot_be_made(tmp_path: Path, data: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"{out}" in refused("train", "base_small", "--data", data, "--out", out, *SMALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path, data: Path, refused: Refused) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    out = tmp_path / "locked" / "run"
    assert f"cannot write {out}" in refused("train", "base_small", "--data", data, "--out", out, *SMALL)


# Checkpoints that are not what they should be.


def test_a_checkpoint_of_another_method_backbone_or_class_list(
    tmp_path: Path, finished: Path, run: Path, longcut: Longcut, refused: Refused
) -> None:
    """Beside settings that are not its own."""
    data = finished / "data"
    masks = write_masks(tmp_path / "masks", count=4)
    words = ["train", "clad_small", "--data", data, "--masks", masks, "--out", tmp_path / "clad", *SMALL]
    assert longcut(*words).code == 0
    shutil.copy(run / "checkpoint.pt", tmp_path / "clad" / "checkpoint.pt")
    for command in ([*words, "--resume"], ["evaluate", tmp_path / "clad", "--data", data]):
        line = refused(*command)
        assert "the checkpoint is of another method or backbone: queue.embeddings" in line

    settings = (run / "settings.toml").read_text()
    (run / "settings.toml").write_text(settings.replace('"convnet5"', '"resnet20"'))
    assert "of another method or backbone: backbone." in refused("evaluate", run, "--data", data)
    (run / "settings.toml").write_text(settings)

    write_images(data, classes=["eel"], count=2)
    try:
        line = refused("train", "base_small", "--data", data, "--out", run, *SMALL, "--resume")
        assert f"{run} was trained on other classes: {', '.join(CLASSES)}" in line
    finally:
        shutil.rmtree(data / "eel")


class Trap:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo trapped > trapped.txt",)


@pytest.mark.parametrize("kind", ["cut", "noise", "empty", "trap", "foreign"])
def test_a_checkpoint_that_is_none_is_refused(
    kind: str,
    finished: Path,
    run: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = run / "checkpoint.pt"
    whole = file.read_bytes()
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "foreign.pt")
    contents = {
        "cut": whole[: len(whole) // 2],
        "noise": bytes(range(256)) * 20,
        "empty": b"",
        "trap": pickle.dumps(Trap()),
        "foreign": (tmp_path / "foreign.pt").read_bytes(),
    }
    file.write_bytes(contents[kind])
    data = finished / "data"
    for words in (
        ["train", "base_small", "--data", data, "--out", run, *SMALL, "--resume"],
        ["evaluate", run, "--data", data],
    ):
        before, told, reason = refused(*words).rpartition(f"{file} is no checkpoint of")
        assert told, before
        assert len(reason) < 120, "torch's first sentence alone"
    assert not (tmp_path / "trapped.txt").exists()


def test_a_pickle_is_no_weights(tmp_path: Path, data: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Trap()))
    words = ["train", "base_small", "--data", data, "--out", tmp_path / "run", *SMALL, "--weights"]
    assert "weights.pt" in refused(*words, tmp_path / "weights.pt")
    assert not (tmp_path / "trapped.txt").exists()
    assert "nowhere.pt" in refused(*words, tmp_path / "nowhere.pt")


def test_what_cannot_be_measured_compared_or_reported(tmp_path: Path, data: Path, run: Path, refused: Refused) -> None:
    assert "nowhere" in refused("evaluate", tmp_path / "nowhere", "--data", data)
    assert f"{tmp_path / 'nothing'} does not exist" in refused("evaluate", run, "--data", tmp_path / "nothing")
    assert "selection is one of last, best_val, best_val_group, best_test, not 'first'" in refused(
        "evaluate", run, "--data", data, "--selection", "first"
    )
    assert f"{run} kept no checkpoint by best_val, which needs a validation split: it has last" in refused(
        "evaluate", run, "--data", data, "--selection", "best_val"
    )
    assert "adversarial backgrounds need it" in refused("evaluate", run, "--data", data, "--adversarial")
    assert "no backbone is called" in refused("evaluate", "timm:resnet1800", "--data", data)
    for command in ("compare", "report"):
        assert "has no results: make them with 'longcut evaluate" in refused(command, run)
        assert "is no run" in refused(command, tmp_path / "nowhere")


def test_a_sweep_checks_every_setting_before_it_begins(tmp_path: Path, data: Path, refused: Refused) -> None:
    words = ["sweep", "base_small", *SMALL, "--data", data, "--out", tmp_path / "sweep"]
    assert "optimizer.lr = 'fast'" in refused(*words, "--vary", "lr=0.1,fast")
    assert "unknown setting 'lrr' (did you mean 'lr'?)" in refused(*words, "--vary", "lrr=0.1")
    assert "'one' is no whole number: write --seeds 0,1,2" in refused(*words, "--seeds", "0,one")
    assert "'lr' is no KEY=VALUE" in refused(*words, "--vary", "lr")
    assert "lr is given twice" in refused(*words, "--vary", "lr=1", "--vary", "lr=2")
    assert "no method or preset is called 'basesmall'" in refused("sweep", "basesmall", "--data", data, *words[-2:])
    for more in (["seed=7"], ["run.seed=7"], ["--vary", "seed=0,1"]):
        assert "seed is no setting of a sweep: write --seeds 0,1" in refused(*words, *more)
    assert "nothing is named: give a method, a preset or a model" in refused("sweep", *words[2:])
    assert not (tmp_path / "sweep").exists()


def test_a_run_that_diverges_keeps_no_other_run_of_a_sweep_from_being_made(
    tmp_path: Path, data: Path, longcut: Longcut
) -> None:
    words = ["sweep", "base_small", *SMALL, "--data", data, "--out", tmp_path / "sweep", "--vary"]
    for _ in range(2):  # the second time one is there, and the other is tried again
        told = longcut(*words, "lr=1e30,0.001")
        assert told.code == 2, told
        assert "base_small_lr=1e+30_0 is left out: the loss is not finite at step 2" in told.err
        assert told.err.endswith("longcut: runs left out since they diverged: 1; each is named above\n")
        assert len([line for line in told.out.splitlines() if line.startswith("base_small")]) == 1
    told = longcut(*words, "lr=1e30,1e31")
    assert (told.code, told.out) == (2, "")
    assert told.err.endswith("longcut: runs left out since they diverged: 2; each is named above\n")


def test_a_run_whose_answers_name_no_class_is_left_out_too(
    tmp_path: Path, data: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: str, *rest: object) -> None:
        if "lr=0.002" in model:
            raise NotFiniteError("its answers are not finite")

    monkeypatch.setattr(sweep, "_measure", broken)
    words = ["sweep", "base_small", *SMALL, "--data", data, "--out", tmp_path / "sweep", "--vary"]
    told = longcut(*words, "lr=0.002,0.001")
    assert "base_small_lr=0.002_0 is left out: its answers are not finite" in told.err
    assert "[2/2] base_small_lr=0.001_0" in told.err


def test_a_run_that_another_process_trains_is_no_sweep_s(tmp_path: Path, data: Path, refused: Refused) -> None:
    words = ["sweep", "base_small", *SMALL, "--data", data, "--out", tmp_path]
    run = tmp_path / "base_small_0"
    run.mkdir()
    lock = os.open(run, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    line = refused(*words)
    os.close(lock)
    assert f"another process trains in {run}: wait until it has finished, or give another --out" in line
    assert not list(run.iterdir())


def test_ctrl_c_is_told_in_a_line(data: Path, longcut: Longcut, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("longcut.data.builders.segmentation.segment", interrupt)
    told = longcut("data", "segment", data, "--out", data.parent / "masks")
    assert told.code == 130
    assert told.err == "longcut: interrupted; run the same command again (train: with --resume) to go on\n"
