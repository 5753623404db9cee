"""Tables of papers: what ships is whole, and what is printed is what was measured."""

from __future__ import annotations

import csv
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from longcut.engine.build import Facts, build_augmentation, build_method
from longcut.engine.settings import find_method, preset_names, resolve
from longcut.recipes.bias_ensemble import ensemble_folder
from longcut.recipes.paper_table import PaperTable, parse_table, read_table, runs_of, table_names
from longcut.recipes.table_data import BUILDERS, check_build
from longcut.report.paper_table import format_paper_table, read_cells

PARK = (
    *("erm", "hex", "lnl", "end", "rebias", "lff", "disent"),
    *("lff_be", "disent_be", "intrinsic"),
)
SMALL = """
title = "A small table"
metric = "unbiased"
seeds = [0, 1]
source = "nothing"
notes = ["A note."]

[columns]
"0.01" = { title = "1 %", build = { ratio = 0.01 } }
"0.05" = { title = "5 %", build = { ratio = 0.05 } }

[rows.erm]
title = "Vanilla"
preset = "erm_cmnist"
source = "A paper"
published = { "0.01" = [50.34, 0.16], "0.05" = 77.63 }

[rows.lff]
title = "LfF"
preset = "lff_cmnist"
"""


# What ships.


@pytest.mark.parametrize("name", table_names())
def test_a_table_that_ships_is_whole(name: str) -> None:
    table = read_table(name)
    assert table.columns
    assert table.metric in ("accuracy", "class_balanced", "unbiased", "bias_conflicting_samples")
    assert len({row.preset for row in table.rows}) == len(table.rows), "a run's folder is named after its preset"
    for row in table.rows:
        assert row.preset in preset_names()
        assert all(10 < value.mean < 100 for value in row.published.values())
        assert set(row.published) in (set(), {column.key for column in table.columns})
    for column in table.columns:
        for row in table.rows:
            resolve(row.preset, column.settings)
        if table.builder is not None:
            check_build(table.builder, column.build)
            inspect.signature(BUILDERS[table.builder]).bind("source", "destination", **column.build)


@pytest.mark.parametrize(("name", "lacking"), [("waterbirds", ()), ("bffhq", ()), ("bar", ("lnl", "end"))])
def test_every_cell_of_park_s_table_is_there(name: str, lacking: tuple[str, ...]) -> None:
    table = read_table(name)
    published = [row.key for row in table.rows if row.published]
    assert published == [key for key in PARK if key not in lacking]
    assert [column.title for column in table.columns] == (
        ["1 %", "5 %"] if name == "bar" else ["0.5 %", "1 %", "2 %", "5 %"]
    )
    ours = next(row for row in table.rows if row.key == "intrinsic")
    means = {"waterbirds": 65.1050, "bffhq": 79.98, "bar": 80.085}
    assert sum(value.mean for value in ours.published.values()) / len(ours.published) == pytest.approx(means[name])


@pytest.mark.parametrize("name", table_names())
def test_a_run_keeps_the_checkpoint_that_its_table_shows(name: str) -> None:
    """The oracle is the best by the table's own metric."""
    table = read_table(name)
    for row in table.rows:
        run = resolve(row.preset).run
        assert run.oracle
        assert (run.oracle_metric or run.group_metric) == table.metric


@pytest.mark.parametrize("name", table_names())
def test_rows_share_their_biased_models(name: str) -> None:
    """All that read the amplified set ask for the same ensemble."""
    keys = [key for key in ("lff_be", "disent_be", "intrinsic") if key in {row.key for row in read_table(name).rows}]
    suffix = name.removesuffix("_conv") + "_conv" * name.endswith("_conv")
    store: Any = SimpleNamespace(digest="of the same images")
    settings = [resolve(f"{key}_{suffix}") for key in keys]
    assert len({ensemble_folder(chosen, store, Path("shared")) for chosen in settings}) == 1
    assert len(keys) >= 2
    assert all(getattr(chosen.hyper_parameters, "amplified", True) for chosen in settings)


@pytest.mark.parametrize("family", ["cmnist", "cmnist_conv", "biased_mnist", "waterbirds"])
def test_every_preset_makes_its_method(family: str) -> None:
    """The other photographs' presets are those of Waterbirds with other numbers."""
    counts = [[5] * 10] * 10
    for name in (name for name in preset_names() if name.endswith(f"_{family}")):
        settings = resolve(name, {"backbone.name": "resnet10"} if family == "waterbirds" else {})
        method, _ = build_method(settings, Facts(10, 500, 100, 10, counts))
        assert isinstance(method, find_method(settings.method))
        build_augmentation(settings)


def test_the_short_name_of_the_method_is_the_network_that_it_needs() -> None:
    short, long = (resolve(name).to_dict() for name in ("intrinsic_cmnist", "intrinsic_cmnist_conv"))
    assert short | {"preset": ""} == long | {"preset": ""}


def test_a_run_is_as_long_as_its_phases_need() -> None:
    phases = {"intrinsic": "guidance_step", "disent": "swap_start"}
    for name in (name for name in preset_names() if name.partition("_")[0] in phases):
        settings = resolve(name)
        steps = settings.run.steps or int((settings.run.epochs or 0) * 55_000 // settings.run.batch_size)
        start = getattr(settings.hyper_parameters, phases[settings.method])
        assert 0.15 < start / steps < 0.4, name


# Reading and choosing.


def test_rows_and_columns_are_chosen_in_the_table_s_order() -> None:
    table = parse_table("small", SMALL)
    assert [row.key for row in table.choose(["lff", "erm"]).rows] == ["erm", "lff"]
    chosen = table.choose(["lff"], ["0.05"])
    assert [(run.row.key, run.column.key, run.seed) for run in runs_of(chosen)] == [
        ("lff", "0.05", 0),
        ("lff", "0.05", 1),
    ]
    assert [run.folder(Path("out")).as_posix() for run in runs_of(chosen, [7])] == ["out/runs/lff_cmnist_0.05_7"]


def test_a_seed_s_whole_table_comes_before_the_next() -> None:
    order = [(run.seed, run.column.key, run.row.key) for run in runs_of(parse_table("small", SMALL))]
    assert order == sorted(order)
    assert len(order) == 8


@pytest.mark.parametrize(
    ("rows", "columns", "fault"),
    [
        (["erms"], [], r"the table small has no row 'erms' \(did you mean 'erm'\?\)"),
        (["zzz"], [], "the table small has no row 'zzz'; there are erm, lff"),
        ([], ["0.1"], "the table small has no column '0.1'"),
    ],
)
def test_what_is_not_there_is_named(rows: list[str], columns: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_table("small", SMALL).choose(rows, columns)


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no table is called 'cmnst' \(did you mean 'cmnist'\?\)"):
        read_table("cmnst")


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"0.05" = 77.63', '"0.5" = 77.63', "the row erm has a published value of '0.5', which is no column"),
        ('source = "A paper"\n', "", "the row erm has published values without a source"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(before: str, after: str, fault: str) -> None:
    assert before in SMALL
    with pytest.raises(ValueError, match=fault):
        parse_table("small", SMALL.replace(before, after))


@pytest.mark.parametrize(
    ("builder", "build", "fault"),
    [
        ("colored_mnist", {"ratio": 0.1, "ratios": 1}, r"^unknown setting build.ratios \(did you mean 'ratio'\?\)$"),
        ("colored_mnist", {"ratio": 0.1, "valid": "x"}, "^build.valid = 'x': input should be a valid integer"),
        (None, {"seed": 1}, "this table's source is read as it is: leave build.seed out"),
    ],
)
def test_builders_are_told_what_they_know(builder: str | None, build: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        check_build(builder, build)


# Printing.


def write_results(folder: Path, *values: tuple[str, float], **changes: Any) -> None:
    """Results of a run: its unbiased accuracy on the test split under each selection rule."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "results.jsonl").open("a", encoding="utf-8") as file:
        for rule, value in values:
            row = {"metric": "unbiased", "dataset": "test", "value": value, "n": 10, "method": "erm", "selection": rule}
            file.write(json.dumps(row | changes) + "\n")


@pytest.fixture
def made(tmp_path: Path) -> tuple[PaperTable, Path]:
    """Two seeds of ERM at 1 %, one at 5 %, nothing of LfF."""
    runs = tmp_path / "runs"
    write_results(runs / "erm_cmnist_0.01_0", ("last", 0.50), ("best_test", 0.60), ("best_val", 0.40))
    write_results(runs / "erm_cmnist_0.01_1", ("last", 0.54), ("best_test", 0.62))
    write_results(runs / "erm_cmnist_0.05_1", ("last", 0.7))
    return parse_table("small", SMALL), tmp_path


def test_a_cell_is_the_mean_over_its_seeds(made: tuple[PaperTable, Path]) -> None:
    table, out = made
    text = format_paper_table(table, read_cells(table, out))
    body = [[word.strip() for word in line.split("  ") if word.strip()] for line in text.splitlines()]
    assert body[0] == ["A small table"]
    assert ["1 %", "5 %"] in body
    first = body.index(["Vanilla", "last", "52.0 ± 2.8 (2)", "70.0 (1)"])
    assert body[first + 1 : first + 5] == [
        ["best_val", "40.0 (1)"],
        ["best_test (oracle)", "61.0 ± 1.4 (2)"],
        ["published [1]", "50.3 ± 0.2", "77.6"],
        ["LfF", "last"],  # what was not run is empty
    ]
    assert ["[1] A paper"] in body
    assert ["A note."] in body
    assert "An oracle is" in text


def test_only_the_seeds_asked_for_are_read(made: tuple[PaperTable, Path]) -> None:
    table, out = made
    assert read_cells(table, out, [1])["erm", "0.01"]["last"].values == (0.54,)
    assert read_cells(table, out, [5]) == {}


def test_other_measures_are_no_cells(made: tuple[PaperTable, Path]) -> None:
    table, out = made
    folder = out / "runs" / "lff_cmnist_0.01_0"
    for other in ({"metric": "accuracy"}, {"dataset": "valid"}, {"class": "3"}, {"value": float("nan")}):
        write_results(folder, ("last", 0.9), **other)
    assert ("lff", "0.01") not in read_cells(table, out)
    write_results(folder, ("last", 0.3))
    write_results(folder, ("last", 0.2), weights_hash="sha256:later")
    assert read_cells(table, out)["lff", "0.01"]["last"].values == (0.2,), "what was written last counts"


def test_nothing_run_leaves_what_was_published(tmp_path: Path) -> None:
    table = parse_table("small", SMALL)
    text = format_paper_table(table, read_cells(table, tmp_path))
    assert "50.3 ± 0.2" in text
    assert "oracle" not in text
    assert "(1)" not in text


def test_markdown_has_a_cell_for_every_column(made: tuple[PaperTable, Path]) -> None:
    table, out = made
    lines = format_paper_table(table, read_cells(table, out), "markdown").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5}
    assert "| Vanilla | last | 52.0 ± 2.8 (2) | 70.0 (1) |" in rows
    assert "|  | best_val | 40.0 (1) |  |" in rows
    assert "| LfF | last |  |  |" in rows
    assert "- [1] A paper" in lines


def test_csv_has_raw_values(made: tuple[PaperTable, Path]) -> None:
    table, out = made
    records = list(csv.DictReader(format_paper_table(table, read_cells(table, out), "csv").splitlines()))
    found = {(record["row"], record["column"], record["selection"]): record for record in records}
    assert [*found] == [
        ("erm", "0.01", "last"),
        ("erm", "0.01", "best_val"),
        ("erm", "0.01", "best_test"),
        ("erm", "0.05", "last"),
        ("lff", "0.01", ""),
        ("lff", "0.05", ""),
    ]
    last = found["erm", "0.01", "last"]
    assert float(last["mean"]) == pytest.approx(0.52)
    assert float(last["std"]) == pytest.approx(0.02 * 2**0.5)
    assert (last["seeds"], last["values"], last["preset"]) == ("0 1", "0.5 0.54", "erm_cmnist")
    assert (last["published"], last["published_std"], last["source"]) == ("0.5034", "0.0016", "A paper")
    assert (found["lff", "0.05", ""]["mean"], found["lff", "0.05", ""]["published"]) == ("", "")


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no table as 'pdf': choose one of text, markdown, csv"):
        format_paper_table(parse_table("small", SMALL), {}, "pdf")
