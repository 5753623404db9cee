"""Methods keep their looks through the tables and figures of a page."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from made_runs import VARIANTS, make_row, make_run, write_rows

from longcut.report import plots
from longcut.report.compare import Comparison, compare
from longcut.report.runs import read_run
from longcut.report.series import COLOURS, colour, is_striped, marker, swatch
from longcut.report.table import format_table

RULES = ("best_test", "last", "best_val")


@pytest.fixture
def nine(tmp_path: Path) -> Comparison:
    """Nine methods under three selection rules, and a tenth that was measured under the oracle alone."""
    folders = []
    for name, rules in [(f"method{i}", RULES) for i in range(9)] + [("method9", RULES[:1])]:
        folder = make_run(tmp_path / name, (0.5,) * len(VARIANTS), preset=name)
        about = {"preset": name, "weights_hash": name}
        rows = [make_row("accuracy", v, 0.5, **about | {"selection": rule}) for rule in rules for v in VARIANTS]
        write_rows(folder, rows)
        folders.append(folder)
    return compare([read_run(folder) for folder in folders])


def test_sixteen_series_are_told_apart() -> None:
    assert len({(colour(i), is_striped(i)) for i in range(16)}) == 16
    assert len({(colour(i), marker(i)) for i in range(16)}) == 16
    assert len({swatch(i) for i in range(16)}) == 16


def test_the_style_sheet_has_the_colours_of_the_figures() -> None:
    style = (files("longcut.report") / "templates" / "style.css").read_text("utf-8")
    assert re.findall(r"\.series-(\d+) \{ background: (#\w+); \}", style) == [
        (str(i), colour) for i, colour in enumerate(COLOURS)
    ]


def test_a_method_is_drawn_under_the_rule_of_the_others_and_looks_alike_under_each(nine: Comparison) -> None:
    assert [group.label for group in nine.drawn] == [*(f"method{i} (last)" for i in range(9)), "method9"]
    assert [nine.series(group) for group in nine.groups] == [i for i in range(9) for _ in RULES] + [9]
    rows = re.findall(r'<span class="([^"]*)"></span>([^<]*)<', format_table(nine, "html"))
    assert len(rows) == len(nine.groups)
    assert {looks for looks, label in rows if label.startswith("method1 ")} == {"swatch series-1"}
    assert {looks for looks, label in rows if label.startswith("method8 ")} == {"swatch series-0 striped"}


def test_bars_start_again_with_stripes(nine: Comparison) -> None:
    svg = plots.plot_variants(nine)
    assert svg.count("<pattern") == 2, "of the ninth method and of the tenth"
    assert [f"method{i} (last)" in svg for i in range(9)] == [True] * 9
    assert "best_val" not in svg
    curves = plots.plot_curves(nine)
    assert curves.count("stroke-dasharray") == 2 * 2, "curve and key of the last two"


def test_a_figure_grows_by_the_rows_of_its_legend(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / f"{i}", (0.5,) * len(VARIANTS), preset=f"method{i:02}" * 5) for i in range(40)]
    heights = []
    for count in (2, 40):
        svg = plots.plot_curves(compare([read_run(folder) for folder in folders[:count]]))
        heights.append(float(svg.partition('height="')[2].partition("pt")[0]))
    assert heights[1] - heights[0] == pytest.approx(19 * 0.2 * 72), "two to a row"
