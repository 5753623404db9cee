"""The audit's page: what stands on it, and how it works in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from made_audit import CLASSES, HOSTILE, SUITES, made_audit, made_effects, made_flip

from longcut.report.audit.chart import draw_effects
from longcut.report.audit.page import write_audit_page
from longcut.report.audit.summary import format_audit

try:
    from browser import BROWSER, Tab, new_tab
except ImportError:
    BROWSER = None

in_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome, and websocket-client")
LARGEST = 10_000_000
VISIBLE = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).length"
FIRST_COLUMN = "[...document.querySelectorAll('#classes ~ .scroll tbody th')].map(th => th.textContent)"


class Parts(HTMLParser):
    """Tags in their order, with their attributes, and the page's text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def written(folder: Path, **changes: Any) -> str:
    made_audit(folder, **changes)
    return write_audit_page(folder).read_text("utf-8")


def words(page: str) -> str:
    return " ".join(Parts(page).text.split())


def test_it_says_everything(tmp_path: Path) -> None:
    text = words(written(tmp_path))
    for said in (
        *("The model takes one shortcut: the background.", "The weights are random.", "Two images <i>lack</i> masks."),
        "Of 100 images, 21 more are recognised when they have the background of another image of their own class",
        *("21.0 points 95 % interval 17.0 to 25.0, 90 images", "explained by background"),
        *("Its interval reaches below 0.", "\u22120.4 points", "Lower is better & <b>", "9.4 %", "80.0 %", "59.0 %"),
        *("every file is a JPEG of one quality", "cut out automatically (GrabCut)", "Mean area", "mask.iterations"),
        *("3f1c9a0b", "The lowest: dog", "✗ cat"),
    ):
        assert said in text, said
    assert "left out" not in text


def test_verdict_and_warnings_come_first(tmp_path: Path) -> None:
    text = words(written(tmp_path)).split("Verdict", 1)[1]
    order = [
        "The model takes",
        "The weights are random",
        "Shortcut that the model takes",
        "Also tested",
        "How far each",
    ]
    assert sorted(order, key=text.index) == order


def test_it_is_built_for_those_who_cannot_see_it(tmp_path: Path) -> None:
    parts = Parts(written(tmp_path))
    assert {"header", "main", "section", "figcaption", "caption"} <= {tag for tag, _ in parts.tags}
    levels = [int(tag[1]) for tag, _ in parts.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(image["alt"] for image in parts.all("img"))
    assert len(parts.all("table")) == sum(tag == "caption" for tag, _ in parts.tags)
    ids = [attributes["id"] for _, attributes in parts.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert parts.all("a")[0]["href"] == "#effects"
    assert "effects" in ids


def test_names_stay_text(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert HOSTILE not in page
    assert HOSTILE in Parts(page).text
    assert page.count("<script") == 1
    assert not any(attribute.startswith("on") for _, attributes in Parts(page).tags for attribute in attributes)


def test_only_its_own_script_may_run(tmp_path: Path) -> None:
    page = written(tmp_path)
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    addresses = [a[key] for _, a in Parts(page).tags for key in ("src", "href") if key in a]
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_it_stays_small_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    page = written(tmp_path, num_flips=400, side=300)
    cards = [a for a in Parts(page).all("li") if a.get("class") == "card"]
    assert 40 < len(cards) < 400
    assert LARGEST / 2 < len(page.encode()) < LARGEST
    assert f"{400 - len(cards)} of 400 are left out to keep this page small" in words(page)
    shown = Counter((card["data-suite"], card["data-class"]) for card in cards)
    assert len(shown) == len(SUITES) * len(CLASSES)
    assert max(shown.values()) - min(shown.values()) <= 1


def test_small_pictures_keep_their_pixels_and_their_number_is_limited(tmp_path: Path) -> None:
    page = written(tmp_path, num_flips=300, side=32)
    images = Parts(page).all("img")
    assert all(i["src"].startswith("data:image/png") and (i["class"], i["width"]) == ("pixels", "32") for i in images)
    assert "60 of 300 are left out" in words(page)


def test_a_thousand_classes_are_listed(tmp_path: Path) -> None:
    rows = tuple({"name": f"class {i}", "n": 5, "accuracy": 1 - i / 2000, "bg_gap": 0.0} for i in range(1300))
    page = written(tmp_path, per_class=rows)
    assert "300 further rows are left out" in words(page)
    assert '<th scope="row">class 300<' in page
    assert '<th scope="row">class 299<' not in page


def test_pictures_that_are_gone_or_not_its_own_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    gone, strange = replace(made_flip(0), variant="pictures/gone.png"), replace(made_flip(1), original="../secret.png")
    made_audit(folder)
    shutil.copy(folder / "pictures" / "original.png", tmp_path / "secret.png")
    page = written(folder, flips=(gone, strange, made_flip(2)))
    assert "2 of 3 are not shown" in words(page)
    assert page.count('class="card"') == 1


def test_markdown_takes_no_name_for_html(tmp_path: Path) -> None:
    audit = made_audit(tmp_path, summary=f"It takes {HOSTILE}.")
    assert "<" not in format_audit(audit, "markdown")
    assert f"It takes {HOSTILE}." in format_audit(audit)
    assert "! Two images <i>lack</i> masks." in format_audit(audit)


def test_without_labels_it_speaks_of_answers(tmp_path: Path) -> None:
    swap = replace(made_effects()[0], unit="agreement")
    page = written(
        tmp_path,
        effects=(swap,),
        shortcuts=tuple(replace(s, effect=swap) for s in made_audit(tmp_path).shortcuts[:1]),
        per_class=tuple({"name": name, "n": 3, "accuracy": None, "bg_gap": 0.1} for name in CLASSES),
        groups=(),
        not_run=(),
        flips=tuple(replace(made_flip(i), target=None) for i in range(6)),
    )
    text = words(page)
    assert "Of 100 images, 21 more keep their answer" in text
    assert "Answer on the unchanged image" in text
    assert "Everything that was asked for ran." in text
    for absent in ("Accuracy, %", "Group by group", "✗", "· shows"):
        assert absent not in text


def test_an_audit_that_found_nothing_has_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, shortcuts=(), effects=(), per_class=(), groups=(), flips=(), masks={}, warnings=())
    text = words(page)
    assert "What could not run" in text
    for absent in ("Class by class", "The masks", "Pictures whose", "Also tested", "Before you rely"):
        assert absent not in text


def test_what_is_not_known_is_a_dash(tmp_path: Path) -> None:
    unknown = replace(made_effects()[0], value=float("nan"), low=float("nan"), high=float("nan"))
    page = written(tmp_path, effects=(unknown, made_effects()[3]))
    assert "nan" not in words(page).lower().split()
    assert page.count('<div class="plot">') == 1


def test_bars_lie_on_one_scale() -> None:
    chart = draw_effects(made_effects(), ["bg_gap"])
    assert chart
    assert [name for name, _ in chart.groups] == ["Swaps: what names a shortcut", "Background", "Frequency"]
    places = {label: place for place, label in chart.ticks}
    assert list(places) == ["\u221210", "0", "10", "20", "30", "40", "50", "60"]
    assert chart.zero == places["0"] == pytest.approx(100 / 7, abs=0.01)
    bars = {bar.title: bar for _, group in chart.groups for bar in group}
    high_pass, border = bars["High-pass"], bars["Border"]
    assert high_pass.start + high_pass.width == pytest.approx(places["50"], abs=0.02)
    assert (high_pass.low, high_pass.high) == (places["40"], places["60"])
    assert border.start == pytest.approx(chart.zero - 0.4 / 70 * 100, abs=0.02)
    assert border.start + border.width == pytest.approx(chart.zero, abs=0.02)
    assert [bar.title for bar in bars.values() if bar.named] == ["Background"]


@pytest.mark.parametrize("value", [0.0, 1e-4, 0.03, 0.97, -0.97])
def test_every_scale_holds_its_bars(value: float) -> None:
    chart = draw_effects([replace(made_effects()[0], value=value, low=value - 1e-5, high=value + 1e-5)], [])
    assert chart
    bar = chart.groups[0][1][0]
    assert 0 <= bar.start <= bar.start + bar.width <= 100
    assert 0 <= bar.low <= bar.high <= 100
    assert 2 <= len(chart.ticks) <= 9
    assert [place for place, _ in chart.ticks] == sorted({place for place, _ in chart.ticks})
    assert "0" in [label for _, label in chart.ticks]


def test_there_is_nothing_to_draw_of_figures() -> None:
    assert draw_effects(made_effects()[-1:], []) is None


def test_it_can_go_elsewhere(tmp_path: Path) -> None:
    made_audit(tmp_path, num_flips=1)
    assert write_audit_page(tmp_path) == tmp_path / "audit.html"
    assert write_audit_page(tmp_path, tmp_path / "page.html").read_text() == (tmp_path / "audit.html").read_text()
    with pytest.raises(ValueError, match="is a folder: name the page itself"):
        write_audit_page(tmp_path, tmp_path / "pictures")
    with pytest.raises(ValueError, match="holds no audit"):
        write_audit_page(tmp_path / "pictures")


def test_it_needs_no_torch() -> None:
    code = "import sys, longcut.report.audit.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit of <b>")
    made_audit(folder)
    return write_audit_page(folder)


@pytest.fixture
def tab(address: str, page: Path) -> Iterator[Tab]:
    with new_tab(address) as tab:
        tab.open(page.as_uri())
        yield tab


def choose(tab: Tab, name: str, value: str) -> None:
    """As a person does it, who may only choose what is there."""
    changed = "s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})); return s.value === v"
    assert tab.evaluate(f"((s, v) => {{ {changed} }})(document.querySelector('select[name={name}]'), {value!r})")


@in_browser
def test_filters_choose_what_is_shown(tab: Tab) -> None:
    count = "document.getElementById('count').textContent"
    assert tab.evaluate(VISIBLE) == 24
    choose(tab, "suite", "texture")
    assert tab.evaluate(VISIBLE) == 12
    choose(tab, "class", HOSTILE)
    assert tab.evaluate(VISIBLE) == 4
    assert tab.evaluate(count) == "4 of 24 shown"
    assert tab.evaluate("document.getElementById('count').getAttribute('aria-live')") == "polite"
    tab.evaluate("document.getElementById('all').focus()")
    tab.press("Enter", 13, "\r")
    assert tab.evaluate(VISIBLE) == 24
    assert tab.evaluate(count) == "24 of 24 shown"


@in_browser
def test_filters_work_by_keyboard(tab: Tab) -> None:
    tab.evaluate("document.querySelector('select[name=suite]').focus()")
    tab.press("t", 84, "t")
    assert tab.evaluate("document.querySelector('select[name=suite]').value") == "texture"
    assert tab.evaluate(VISIBLE) == 12
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.name") == "class"


@in_browser
def test_columns_are_sorted_by_keyboard(tab: Tab) -> None:
    dog, hostile, long = CLASSES
    tab.evaluate("document.querySelectorAll('#classes ~ .scroll th button')[2].focus()")
    tab.press("Enter", 13, "\r")
    assert tab.evaluate(FIRST_COLUMN) == [long, dog, hostile]  # what is not known comes last
    sorted_by = "document.querySelector('#classes ~ .scroll [aria-sort]')"
    assert tab.evaluate(f"{sorted_by}.textContent") == "Accuracy, %"
    assert tab.evaluate(f"{sorted_by}.getAttribute('aria-sort')") == "ascending"
    tab.press("Enter", 13, "\r")
    assert tab.evaluate(FIRST_COLUMN) == [dog, long, hostile]
    assert tab.evaluate("document.querySelector('p[aria-live]').textContent") == "Sorted by Accuracy, %, highest first"
    tab.evaluate("document.querySelectorAll('#classes ~ .scroll th button')[0].click()")
    assert tab.evaluate(FIRST_COLUMN) == [hostile, long, dog]
    assert tab.evaluate("document.querySelectorAll('#classes ~ .scroll [aria-sort]').length") == 1


@in_browser
def test_it_works_without_scripts(tab: Tab, page: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page.as_uri())
    assert tab.evaluate(VISIBLE) == 24
    assert not tab.evaluate("document.getElementById('filters').checkVisibility()")
    assert tab.evaluate("document.querySelectorAll('th button').length") == 0


@in_browser
def test_nothing_fails_and_nothing_leaves_the_page(tab: Tab) -> None:
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.evaluate("Promise.all([...document.images].map(i => i.decode())).then(() => 1)")
    urls = [sent["request"]["url"] for sent in tab.of("Network.requestWillBeSent")]
    assert sum(url.startswith("file://") for url in urls) == 1
    assert all(url.startswith(("file://", "data:")) for url in urls)
    for trouble in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
        assert tab.of(trouble) == []
    assert tab.of("Page.javascriptDialogOpening") == []
    assert tab.evaluate("document.querySelectorAll('script').length") == 1


@in_browser
@pytest.mark.parametrize("width", [320, 400, 768, 1280])
def test_no_screen_is_too_narrow(tab: Tab, width: int) -> None:
    tab.resize(width)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    too_wide = "e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .hidden, .axis')"
    elements = f"[...document.querySelectorAll('body *')].filter({too_wide}).map(e => e.outerHTML.slice(0, 80))"
    assert tab.evaluate(elements) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@in_browser
def test_bars_are_where_their_numbers_are(tab: Tab) -> None:
    """The drawn rectangle of the highest effect ends at the tick of 50 points, in the middle of its row."""
    box = "(e => { const r = e.getBoundingClientRect(); return [r.left, r.right, (r.top + r.bottom) / 2] })"
    row = "[...document.querySelectorAll('.bars li')].find(li => li.textContent.includes('High-pass'))"
    _, right, middle = tab.evaluate(f"{box}({row}.querySelector('rect'))")
    left, _, of_label = tab.evaluate(f"{box}({row}.querySelector('.what'))")
    ticks = tab.evaluate(f"[...document.querySelectorAll('.axis text')].map(t => [t.textContent, ...{box}(t)])")
    fifty = next((start + end) / 2 for label, start, end, _ in ticks if label == "50")
    assert right == pytest.approx(fifty, abs=2)
    assert middle == pytest.approx(of_label, abs=3)
    assert left < right


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(tab: Tab, scheme: str) -> None:
    """Contrast of at least 4.5:1 for every colour of text, of 3:1 for bars (WCAG AA)."""
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    luminance = """
      const luminance = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
        return /, 0\\)$/.test(c) && e.parentElement ? behind(e.parentElement) : c; };
      const ratio = (e, colour) => { const pair = [colour, behind(e)].map(luminance).sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05); };
      const texts = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('svg')
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
      const faint = texts.filter(e => ratio(e, getComputedStyle(e).color) < 4.5);
      const bars = [...document.querySelectorAll('rect')].filter(e => ratio(e, getComputedStyle(e).fill) < 3);
      const axis = [...document.querySelectorAll('svg text')].filter(e => ratio(e, getComputedStyle(e).fill) < 4.5);
      return texts.length > 100 ? [...faint, ...bars, ...axis].map(e => e.outerHTML.slice(0, 80)) : 'no text';
    """
    assert tab.evaluate(f"(() => {{ {luminance} }})()") == []


@in_browser
def test_it_prints_whole(tab: Tab) -> None:
    """Details stand open without a script too, the form is gone, and a card is not broken between pages."""
    tab.call("Emulation.setEmulatedMedia", media="print")
    closed = "[...document.querySelectorAll('details > :not(summary)')].filter(e => !e.checkVisibility()"
    assert tab.evaluate(f"{closed}).length") == 0
    assert not tab.evaluate("document.getElementById('filters').checkVisibility()")
    assert tab.evaluate("getComputedStyle(document.querySelector('.card')).breakInside") == "avoid"
    assert len(tab.call("Page.printToPDF")["data"]) > 10_000
