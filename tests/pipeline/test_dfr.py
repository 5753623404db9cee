"""`longcut dfr`: a last layer retrained on balanced groups, its rows, what it may read, faults in one line."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, Longcut, Refused, rows_of
from made_audit import made_audit
from made_biased import NAMES, write_biased

from longcut.engine.settings import parse_value, resolve
from longcut.evaluation.metrics import measure
from longcut.evaluation.predictions import Predictions
from longcut.evaluation.results import Subject, row
from longcut.recipes.dfr import dfr
from longcut.recipes.inputs import Inputs
from longcut.recipes.models import open_model
from longcut.recipes.training import train_run

pytestmark = pytest.mark.usefixtures("one_process")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A biased set and a finished run of ERM on it; tests change copies of the run."""
    folder = tmp_path_factory.mktemp("trained")
    write_biased(folder / "data")
    changes = {key: parse_value(value) for key, _, value in (word.partition("=") for word in SMALL)}
    changes |= {"image_size": 16, "steps": 20, "batch_size": 24}
    train_run(resolve("erm", changes), Inputs(folder / "data"), folder / "run")
    return folder


@pytest.fixture
def biased(trained: Path) -> Path:
    return trained / "data"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def changed(source: Path, out: Path, change) -> Path:
    """The same images under another table: `change` gives the new row, or None to leave it out."""
    out.mkdir()
    for file in source.glob("*.npy"):
        (out / file.name).symlink_to(file)
    with (source / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = [new for number, old in enumerate(csv.DictReader(file)) if (new := change(number, old)) is not None]
    with (out / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out


def test_rows_stand_beside_those_of_the_run_s_own_head(run: Path, biased: Path, longcut: Longcut) -> None:
    assert longcut("evaluate", run, "--data", biased).code == 0
    own = rows_of(run)
    told = longcut("dfr", run, "--data", biased)
    assert told.code == 0, told.err
    assert "valid: balanced subsets have 1 image of each of 9 groups; C = " in told.err
    found = rows_of(run)
    assert found[: len(own)] == own
    retrained = found[len(own) :]
    assert [f"dfr_{entry['metric']}" for entry in own] == [entry["metric"] for entry in retrained]
    assert [entry["n"] for entry in retrained if entry["class"] is None][:4] == [36, 36, 36, 4]
    assert {"dfr_accuracy", "dfr_unbiased", "dfr_worst_group", "dfr_bias_conflicting", "dfr_group_accuracy"} <= {
        entry["metric"] for entry in retrained
    }
    (head,) = {entry["head"] for entry in retrained}
    assert head.startswith("dfr:")
    assert len(head) == len("dfr:") + 16
    assert {entry["weights_hash"] for entry in retrained} == {entry["weights_hash"] for entry in own}
    how = retrained[0]["dfr"]
    assert (how["split"], how["repeats"], how["seed"]) == ("valid", 10, 0)
    assert f"C = {how['inverse_strength']:g}" in told.err
    lines = [line.split() for line in told.out.splitlines()]
    assert [line[:3] for line in lines[:2]] == [["dfr", "accuracy", "test"], ["dfr", "class", "balanced"]]
    assert len(lines) == sum(entry["class"] is None for entry in retrained)
    assert longcut("compare", run).code == 0


def test_the_kept_classifier_is_the_one_that_was_measured(run: Path, biased: Path) -> None:
    model, _ = open_model(str(run))
    rows = dfr(model, biased, run, inverse_strengths=(1.0,), repeats=3)
    with np.load(run / "dfr_head.npz") as arrays:
        head = {name: arrays[name] for name in arrays.files}
    assert head["classes"].tolist() == list(NAMES)
    assert str(head["weights_hash"]) == model.subject.weights_hash
    (file,) = (run / "features").glob("test-*.npz")
    with np.load(file) as arrays:
        said = (arrays["passes"][0] @ head["weight"].T + head["bias"]).argmax(1)
    targets = np.arange(36) % 3
    accuracy = next(entry for entry in rows if (entry["metric"], entry["class"]) == ("dfr_accuracy", None))
    assert accuracy["sum"] == (said == targets)[np.argsort([f"test.npy#{i}" for i in range(36)])].sum()
    assert accuracy["sum"] > 12
    assert sorted(path.name for path in run.iterdir() if path.name.startswith("tmp")) == []


def test_the_kept_classifier_is_measured_and_handed_over_as_it_is(
    run: Path, biased: Path, tmp_path: Path, longcut: Longcut, refused: Refused
) -> None:
    words = ("export", run, "--to", "safetensors", "--head", "dfr", "--out", tmp_path / "handed")
    assert f"has no last layer retrained by DFR yet: fit one with 'longcut dfr {run} --data DIR'" in refused(*words)
    assert longcut("dfr", run, "--data", biased).code == 0
    fitted = rows_of(run)
    assert longcut("evaluate", run, "--data", biased, "--head", "dfr").code == 0
    for entry in rows_of(run)[len(fitted) :]:
        (same,) = [row for row in fitted if all(row[key] == entry[key] for key in ("metric", "class", "head"))]
        assert (same["sum"], same["n"]) == (entry["sum"], entry["n"])
    told = longcut(*words)
    assert told.code == 0, told.err
    card = (tmp_path / "handed" / "MODEL_CARD.md").read_text("utf-8")
    assert "classified by its last layer, retrained by DFR." in card
    assert "| DFR: " in card.partition("## Figures")[2].partition("## Audit")[0]
    weights = tmp_path / "handed" / "model.safetensors"
    assert longcut("evaluate", weights, "--data", biased, "--out", tmp_path / "other").code == 0
    ours, theirs = (
        Predictions.load(f / "predictions" / n) for f, n in ((run, "test.dfr.npz"), (tmp_path / "other", "test.npz"))
    )
    assert ours.paths == theirs.paths
    np.testing.assert_allclose(theirs.logits, ours.logits, rtol=1e-4, atol=1e-5)
    model, _ = open_model(str(run))
    with np.load(run / "dfr_head.npz") as arrays:
        expected = ours.features.astype(np.float32) @ arrays["weight"].T + arrays["bias"]
    np.testing.assert_allclose(ours.logits, expected, rtol=1e-2, atol=1e-2)
    made_audit(tmp_path / "audit", model={"weights_hash": model.subject.weights_hash})
    assert "of another head (own) than the one exported (dfr:" in refused(*words, "--audit", tmp_path / "audit")


def test_the_test_split_has_no_part_in_the_fit(run: Path, biased: Path, tmp_path: Path) -> None:
    def other_way_round(number: int, old: dict[str, str]) -> dict[str, str]:
        moved = NAMES[(NAMES.index(old["target"]) + 1) % 3]
        return old | {"target": moved, "bias": moved} if old["split"] == "test" else old

    model, _ = open_model(str(run))
    dfr(model, biased, run)
    first = (run / "dfr_head.npz").read_bytes()
    dfr(model, changed(biased, tmp_path / "other", other_way_round), run)
    assert (run / "dfr_head.npz").read_bytes() == first


def test_the_same_seed_is_the_same_head(run: Path, biased: Path) -> None:
    model, _ = open_model(str(run))
    first = dfr(model, biased, run)
    assert dfr(model, biased, run) == first
    assert len(rows_of(run)) == len(first)
    assert dfr(model, biased, run, seed=1)[0]["head"] != first[0]["head"]
    assert len(rows_of(run)) == len(first)


def test_retrained_on_the_training_split_the_validation_split_chooses(
    run: Path, biased: Path, tmp_path: Path, longcut: Longcut
) -> None:
    assert longcut("dfr", run, "--data", biased).code == 0
    told = longcut("dfr", run, "--data", biased, "--split", "train")
    assert told.code == 0, told.err
    assert "valid: features of 36 images read from" in told.err
    assert "with which the worst group of the validation split reaches" in told.err
    entry = [row for row in rows_of(run) if row["metric"] == "dfr_accuracy"][-1]
    assert (entry["dfr"]["split"], entry["dataset"]) == ("train", "test")
    assert entry["data_hash"].count("+") == 2
    without = changed(biased, tmp_path / "without", lambda number, old: None if old["split"] == "test" else old)
    told = longcut("dfr", run, "--data", without, "--split", "train")
    assert "with which the worst group of the held-out half reaches" in told.err
    assert rows_of(run)[-1]["dataset"] == "valid"


def test_images_without_a_label_are_not_fitted_on_but_measured(
    run: Path, biased: Path, tmp_path: Path, longcut: Longcut
) -> None:
    def partly(number: int, old: dict[str, str]) -> dict[str, str]:
        unknown = (old["split"], old["path"]) == ("valid", "valid.npy#35") or old["split"] == "test"
        return old | {"bias": "" if unknown else old["bias"]}

    told = longcut("dfr", run, "--data", changed(biased, tmp_path / "partly", partly))
    assert told.code == 0, told.err
    assert "1 of 36 images of the split 'valid' of " in told.err
    assert "test: no image has a bias label, so accuracy alone is measured" in told.err
    assert {entry["metric"] for entry in rows_of(run)} == {"dfr_accuracy"}


def test_groups_without_an_image_are_named_and_may_be_left_out(
    run: Path, biased: Path, tmp_path: Path, longcut: Longcut, refused: Refused
) -> None:
    def lacking(number: int, old: dict[str, str]) -> dict[str, str] | None:
        return None if (old["split"], old["target"], old["bias"]) == ("valid", "flat", "upright") else old

    data = changed(biased, tmp_path / "lacking", lacking)
    line = refused("dfr", run, "--data", data)
    assert "no image of 1 of 9 groups, flat/upright: DFR balances all of them; name another split" in line
    assert not (run / "features").exists(), "refused before anything is computed"
    told = longcut("dfr", run, "--data", data, "--skip-empty")
    assert told.code == 0, told.err
    assert "of each of 8 groups" in told.err
    none = changed(biased, tmp_path / "none", lambda number, old: None if number % 3 == 0 and number > 47 else old)
    assert "no image of the class 'flat' with a bias label" in refused("dfr", run, "--data", none, "--skip-empty")


def test_data_that_cannot_be_retrained_on_is_refused(run: Path, biased: Path, tmp_path: Path, refused: Refused) -> None:
    unlabelled = write_biased(tmp_path / "unlabelled", labelled=False)
    line = refused("dfr", run, "--data", unlabelled)
    assert "has no bias labels" in line
    assert "column 'bias' of a CSV path,target,split,bias, or train a method that needs none, such as lff" in line
    two = changed(biased, tmp_path / "two", lambda number, old: None if old["split"] == "valid" else old)
    assert "has the splits test, train: a last layer is retrained on the validation split" in refused(
        "dfr", run, "--data", two
    )
    one = changed(biased, tmp_path / "one", lambda number, old: old if old["split"] == "valid" else None)
    assert "has the splits valid: name with --test what is measured" in refused("dfr", run, "--data", one)
    flat = changed(biased, tmp_path / "flat", lambda number, old: {k: v for k, v in old.items() if k != "split"})
    assert "has no splits" in refused("dfr", run, "--data", flat, "--split", "val", "--test", "test")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--split", "val", "--test", "valid"], "--split and --test are both 'val'"),
        (["--split", "test", "--test", "test"], "--split and --test are both 'test'"),
        (["--split", "other"], "has no split 'other': it has test, train, valid"),
        (["--inverse-strengths", "1,x"], "--inverse-strengths 1,x: numbers above 0 are needed, separated by commas"),
        (["--inverse-strengths", "1,-1"], "--inverse-strengths 1,-1: numbers above 0 are needed, separated by commas"),
        (["--inverse-strengths", "nan"], "--inverse-strengths nan: numbers above 0 are needed, separated by commas"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], expected: str, run: Path, biased: Path, refused: Refused) -> None:
    assert expected in refused("dfr", run, "--data", biased, *words)
    assert not (run / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("head", "metric"),
    [("own", "worst_group"), ("linear:0123", "linear_worst_group"), ("dfr:0123", "dfr_worst_group")],
)
def test_a_metric_is_called_after_its_head(head: str, metric: str) -> None:
    subject = Subject("run", "erm", "erm", 0, 1, "last", "from scratch", "sha256:0")
    entry = row(replace(subject, head=head), "worst_group", "test", measure(np.ones(3)), data="", data_hash="")
    assert (entry["metric"], entry["head"]) == (metric, head)
