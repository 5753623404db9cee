"""`longcut compare` and `longcut report` of audits: tables, the page, the guard, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Longcut, Refused
from made_audit import HOSTILE, made_audit, made_effects
from made_runs import make_row, write_rows

from longcut.evaluation.audit.effects import Scores
from longcut.evaluation.audit.kept_scores import KeptScores, Recipe
from longcut.evaluation.audit.result import AuditResult, Effect, Shortcut
from longcut.report.audit_comparison.compare import compare_audits
from longcut.report.audit_comparison.folders import are_audits
from longcut.report.audit_comparison.page import comparison_page, write_comparison_page

try:
    from browser import BROWSER, Tab, new_tab
except ImportError:
    BROWSER = None

in_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome, and websocket-client")
N = 90
ACCURACY = Effect("accuracy", "Accuracy", "accuracy", "measured", "accuracy", 0.8, 0.7, 0.9, N)
AFTER = {"bg_gap": 0.02, "texture": 0.4, "only_bg": 0.1, "high_pass": 0.7}


def scores(gap: float) -> KeptScores:
    """Of which the background's swap is `gap`."""
    right, reference = np.arange(N) / N < 0.8, np.arange(N) % 3
    worse = np.arange(N) / N < 0.8 - gap
    variants = {
        name: Scores(np.where(mask, reference, (reference + 1) % 3), np.full(N, 0.8, np.float32), np.full(N, 0.5))
        for name, mask in (("background_same", right), ("background_other", worse), ("original", right))
    }
    recipes = (
        Recipe("bg_gap", "swapped", "background_same", "background_other"),
        Recipe("accuracy", "measured", "original"),
    )
    return KeptScores(tuple(f"{i}.jpg" for i in range(N)), reference, variants, {}, recipes)


def made(folder: Path, values: dict[str, float] | None = None, **changes: Any) -> Path:
    """An audit of which some effects are moved; the interval goes along."""
    values = values or {}
    effects = []
    for effect in (*made_effects(), ACCURACY):
        move = values.get(effect.name, effect.value) - effect.value
        moved = replace(effect, value=effect.value + move, low=effect.low + move, high=effect.high + move)
        effects.append(moved)
    of = {effect.name: effect for effect in effects}
    shortcuts = (
        Shortcut("background", of["bg_gap"], of["bg_gap"].low > 0, None, "It rests on masks."),
        Shortcut("texture", of["texture"], of["texture"].low > 0.1, None, ""),
        Shortcut("border", of["border"], False, None, ""),
    )
    told = {"effects": tuple(effects), "shortcuts": shortcuts, "data": {"hash": "sha256:1"}, **changes}
    made_audit(folder, num_flips=0, **told)
    scores(of["bg_gap"].value).save(folder)
    return folder


def ran(folder: Path) -> Path:
    """A run that was evaluated."""
    folder.mkdir(parents=True)
    write_rows(folder, [make_row("accuracy", "original", 0.8)])
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return [made(tmp_path / "erm"), made(tmp_path / "clad", AFTER)]


def test_audits_are_compared(pair: list[Path], longcut: Longcut) -> None:
    told = longcut("compare", *pair)
    assert told.code == 0, told.err
    first, named, *_ = told.out.splitlines()
    assert first.startswith(
        "clad against erm: reliance on the texture grew by 37.0 points (from 3.0 to 40.0); reliance"
    )
    assert "on the background shrank by 18.9 points (from 21.0 to 2.0)" in first  # 17 of 90 images
    assert named == "No longer named a shortcut: background."
    assert re.search(r"^Background +21\.0 +2\.0 +\u221218\.9 .* shrank +90 +no longer$", told.out, re.MULTILINE)
    assert re.search(r"^High-pass +50\.0 +70\.0 +\+20\.0 .*\* +more lost", told.out, re.MULTILINE)
    assert "erm, clad: The weights are random." in told.out
    assert told.err == ""


def test_every_format_is_printed(pair: list[Path], longcut: Longcut) -> None:
    record = json.loads(longcut("compare", *pair, "--format", "json").out)
    assert {row["name"]: row["verdict"] for row in record["rows"]}["texture"] == "grew"
    table = longcut("compare", *pair, "--format", "csv").out
    assert table.startswith("name,title,kind,unit,baseline,audit,before")
    assert len(table.splitlines()) == 1 + len(record["rows"])
    listed = longcut("compare", *pair, "--format", "markdown").out
    assert "| Background | 21.0 | 2.0 | \u221218.9 |" in listed
    assert "- erm, clad: Two images &lt;i>lack&lt;/i> masks." in listed
    page = longcut("compare", *pair, "--format", "html").out
    assert page.lstrip().startswith("<!doctype html>")
    assert HOSTILE not in page


def test_the_page_is_written_too(pair: list[Path], tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    told = longcut("compare", *pair, "--out", tmp_path / "page.html")
    assert told.code == 0
    assert told.out.startswith("clad against erm")
    assert f"the page: {tmp_path / 'page.html'}" in told.err
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page == comparison_page(compare_audits(pair))
    assert longcut("report", *pair, "--out", tmp_path / "own.html", "--title", "Before & after").code == 0
    assert "<h1>Before &amp; after</h1>" in (tmp_path / "own.html").read_text("utf-8")
    assert "is a folder: name the page itself" in refused("compare", *pair, "--out", tmp_path)


@pytest.mark.parametrize(
    ("guard", "lines"),
    [
        ("bg_gap>0.5,accuracy<0.7", []),
        ("texture.change>0.02", ["fails: texture.change is 0.37: fails at > 0.02"]),
        (
            "texture>10%,bg_gap.change<0",
            ["fails: texture is 0.4: fails at > 0.1", "fails: bg_gap.change is -0.1889: fails at < 0"],
        ),
    ],
)
def test_the_guard_ends_with_1(pair: list[Path], longcut: Longcut, guard: str, lines: list[str]) -> None:
    told = longcut("compare", *pair, "--fail-on", guard)
    assert told.code == bool(lines)
    assert told.err.splitlines() == lines
    assert told.out


def test_the_guard_is_on_the_last_audit(pair: list[Path], longcut: Longcut) -> None:
    assert longcut("compare", *pair, "--fail-on", "texture.change>0").code == 1
    assert longcut("compare", *pair[::-1], pair[1], "--fail-on", "texture.change>0").code == 0


def test_wrong_guards_are_refused(pair: list[Path], tmp_path: Path, refused: Refused) -> None:
    words = ["compare", *pair, "--fail-on"]
    assert "'worst_group<0.7' cannot be checked: worst_group was not measured" in refused(*words, "worst_group<0.7")
    assert "worst_group.change was not measured" in refused(*words, "worst_group.change<0")
    assert "no figure 'bg_gab' in 'bg_gab>0': did you mean 'bg_gap'?" in refused(*words, "bg_gab>0")
    assert "'bg_gap' is no condition" in refused(*words, "bg_gap")
    assert "--format xml: it is one of text" in refused("compare", *pair, "--format", "xml")
    run = ran(tmp_path / "run")
    assert f"--fail-on is of audits, and {run} is a run" in refused("compare", run, run, "--fail-on", "bg_gap>0")
    page = tmp_path / "page.html"
    assert "the page of runs is 'longcut report RUN... --out FILE.html'" in refused("compare", run, "--out", page)
    assert not page.exists()


def test_a_folder_is_an_audit_or_a_run(pair: list[Path], tmp_path: Path, longcut: Longcut, refused: Refused) -> None:
    run = ran(tmp_path / "run")
    both = made(ran(tmp_path / "both"))
    assert not are_audits([run, run])
    assert not are_audits([run, both])
    assert not are_audits([both])
    assert are_audits([pair[0], both])
    assert longcut("compare", both).out == longcut("compare", ran(tmp_path / "plain" / "both")).out
    for command in ("compare", "report"):
        said = refused(command, pair[0], run)
        assert f"{pair[0]} is an audit, {run} holds none: audits compare with audits; make one with" in said
        assert f"'longcut audit run:{run} IMAGES --out {run / 'audit'}'" in said
    made(run / "audit")
    assert f"holds none: name {run / 'audit'}" in refused("compare", pair[0], run)
    assert longcut("compare", pair[0], run / "audit").code == 0
    assert not are_audits([run, run])


def test_what_is_no_audit_is_refused(pair: list[Path], tmp_path: Path, refused: Refused) -> None:
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} holds none: make one with 'longcut audit MODEL IMAGES --out {nowhere}'" in refused(
        "compare", pair[0], nowhere
    )
    assert "nowhere is no run: there is no such folder" in refused("compare", nowhere, nowhere)
    assert "two audits at least are compared" in refused("compare", pair[0])
    assert "two audits at least are compared" in refused("report", pair[0])


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', "\xff", '{"format": 2}'])
def test_damaged_audits_are_refused(pair: list[Path], refused: Refused, damage: str) -> None:
    (pair[1] / "audit.json").write_bytes(damage.encode("latin-1"))
    said = refused("compare", *pair)
    assert "clad/audit.json is " in said
    assert said.endswith("run the audit again")


def test_damaged_scores_leave_the_intervals_unpaired(pair: list[Path], longcut: Longcut) -> None:
    (pair[1] / "scores.npz").write_bytes(b"PK")
    told = longcut("compare", *pair)
    assert told.code == 0
    assert "scores.npz is damaged: run the audit again, so their intervals are not paired." in told.out
    assert re.search(r"^Background +21\.0 +2\.0 +\u221219\.0 .* to .* \* ", told.out, re.MULTILINE)


def test_other_images_are_told(pair: list[Path], tmp_path: Path, longcut: Longcut) -> None:
    other = made(tmp_path / "other", AFTER, data={"hash": "sha256:2"})
    assert "images of the same names differ, so their" in longcut("compare", pair[0], other).out
    scores(0.02).take(np.arange(40)).save(other)
    assert "erm and other: the images are not the same, so their" in longcut("compare", pair[0], other).out


def test_labels_and_none_do_not_compare(pair: list[Path], tmp_path: Path, longcut: Longcut) -> None:
    effects = tuple(replace(effect, unit="agreement") for effect in made_effects()[:3])
    shortcuts = (Shortcut("background", effects[0], True, None, ""),)
    other = made(tmp_path / "other", effects=effects, shortcuts=shortcuts)
    told = longcut("compare", pair[0], other, "--format", "html")
    assert told.code == 0
    assert "no shortcut was measured alike in both, so none can be compared." in told.out
    assert "Not compared, since the score is accuracy in erm and agreement in other: Background; Border;" in told.out
    assert "Nothing was measured alike in both." in told.out


def test_what_grew_stands_first_on_the_page(pair: list[Path]) -> None:
    page = comparison_page(compare_audits(pair))
    order = ["reliance on the texture grew", "What grew", "What shrank", "Before you rely on it", "How far each effect"]
    assert sorted(order, key=page.index) == order
    assert page.index("No longer named a shortcut") < page.index("What grew")
    assert "<h1>clad against erm</h1>" in page


def test_the_page_is_built_for_those_who_cannot_see_it(pair: list[Path]) -> None:
    page = comparison_page(compare_audits([*pair, pair[0]]))
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    named = re.findall(r'(?:aria-labelledby|href)="#?([a-z][^"]*)"', page)
    assert {name for name in named if not name.startswith("data:")} <= set(ids)
    assert page.count("<table") == page.count("<caption")
    assert page.count("Verdict on") == 2


def test_names_stay_text_and_nothing_is_linked(tmp_path: Path, pair: list[Path]) -> None:
    page = comparison_page(compare_audits([made(tmp_path / HOSTILE.replace("/", ":")), pair[1]]))
    assert page.count("<script") == 1
    assert HOSTILE not in page
    assert "<script>alert(1)<:script>" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" in page


def test_the_page_needs_no_torch() -> None:
    code = "import sys, longcut.report.audit_comparison.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def tab(address: str, pair: list[Path], tmp_path: Path) -> Iterator[Tab]:
    long = shutil.copytree(pair[1], tmp_path / "an_audit_with_quite_a_long_name_that_has_to_be_broken_on_a_telephone")
    page = write_comparison_page(compare_audits([*pair, long]), tmp_path / "page.html")
    with new_tab(address) as tab:
        tab.open(page.as_uri())
        yield tab


@in_browser
def test_nothing_fails_and_nothing_leaves_the_page(tab: Tab) -> None:
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    urls = [sent["request"]["url"] for sent in tab.of("Network.requestWillBeSent")]
    assert sum(url.startswith("file://") for url in urls) == 1
    assert all(url.startswith(("file://", "data:")) for url in urls)
    for trouble in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
        assert tab.of(trouble) == []


@in_browser
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_screen_is_too_narrow(tab: Tab, width: int) -> None:
    tab.resize(width)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    too_wide = "e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .hidden, .axis')"
    elements = f"[...document.querySelectorAll('body *')].filter({too_wide}).map(e => e.outerHTML.slice(0, 80))"
    assert tab.evaluate(elements) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    over = "e => e.scrollWidth > e.clientWidth + 1"
    assert tab.evaluate(f"[...document.querySelectorAll('.value')].filter({over}).map(e => e.textContent)") == []


@in_browser
def test_it_is_read_by_keyboard(tab: Tab) -> None:
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the changes"
    tab.press("Enter", 13, "\r")
    assert tab.evaluate("location.hash") == "#changes-1"
    tab.evaluate("document.querySelector('summary').focus()")
    tab.press("Enter", 13, "\r")
    assert tab.evaluate("document.querySelector('details').open")


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out(tab: Tab, scheme: str) -> None:
    """Contrast of at least 4.5:1 for text, of 3:1 for bars or their edges (WCAG AA)."""
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    faint = """
      const luminance = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
        return /, 0\\)$/.test(c) && e.parentElement ? behind(e.parentElement) : c; };
      const ratio = (e, colour) => { const pair = [colour, behind(e)].map(luminance).sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05); };
      const texts = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('svg')
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
      const bars = [...document.querySelectorAll('rect')];
      const edge = e => getComputedStyle(e)[e.matches('.earlier') ? 'stroke' : 'fill'];
      const found = [...texts.filter(e => ratio(e, getComputedStyle(e).color) < 4.5),
        ...bars.filter(e => ratio(e, edge(e)) < 3)];
      return texts.length > 100 && bars.length > 20 ? found.map(e => e.outerHTML.slice(0, 80)) : 'too little';
    """
    assert tab.evaluate(f"(() => {{ {faint} }})()") == []


@in_browser
def test_bars_are_where_their_numbers_are(tab: Tab) -> None:
    """Texture: from 3 to 40 points, and the interval of the change from the end of the upper bar."""
    row = "[...document.querySelectorAll('.bars li')].find(li => li.textContent.includes('Texture of'))"
    ends = "e => { const r = e.getBoundingClientRect(); return [r.left, r.right] }"
    boxes = f"[...{row}.querySelectorAll('rect, .whisker')].map({ends})"
    (zero, before), (_, after), (low, high), *_ = tab.evaluate(boxes)
    point = (after - before) / 37
    assert before - zero == pytest.approx(3 * point, abs=2)
    assert low < after < high
    assert low - before == pytest.approx(high - after + 37 * point - (high - low), abs=2)
    assert tab.evaluate(f"{row}.className") == "grew"
    assert tab.evaluate(f"{row}.querySelector('.tag').textContent").endswith("grew")


@in_browser
def test_it_prints_whole(tab: Tab) -> None:
    tab.call("Emulation.setEmulatedMedia", media="print")
    closed = "[...document.querySelectorAll('details > :not(summary)')].filter(e => !e.checkVisibility()"
    assert tab.evaluate(f"{closed}).length") == 0
    over = "[...document.querySelectorAll('.value')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert tab.evaluate(over) == 0
    assert len(tab.call("Page.printToPDF")["data"]) > 10_000


def test_an_audit_of_its_own_is_unchanged(pair: list[Path]) -> None:
    found = compare_audits([pair[0], pair[0]])
    assert {change.verdict for change in found.changes} == {"unchanged"}
    assert AuditResult.load(pair[0]) == found.audits[1]
