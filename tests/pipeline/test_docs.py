"""What the documentation says is so: its code runs, its commands parse, its tables are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from matplotlib.mathtext import MathTextParser
from test_tutorials import TUTORIALS

from longcut.cli.app import app
from longcut.engine.settings import FACTS, parse_value, preset_names, resolve
from longcut.evaluation.metrics import measure
from longcut.evaluation.results import Subject, row
from longcut.methods import METHODS
from longcut.recipes.audit.by_name import AUDIT_FIGURES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
]
FENCE = re.compile(r"^```(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:torchrun )?longcut [^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
DEFAULT = re.compile(r"^\| `([\w.]+)` \| (?:`([^`]*)`|\u2013) \|", re.MULTILINE)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


# The code runs.


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Small tensors on many threads wait for each other where other tests run beside this one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_process", "_one_thread")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python") and name(page) not in TUTORIALS], ids=name
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other, as a reader would run them; a warning is an error.

    Those of tutorials run in `test_tutorials.py`, between their commands.
    """
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    text = page.read_text("utf-8")
    with torch.random.fork_rng():
        for block in FENCE.finditer(text):
            if block[1] == "python":
                line = text[: block.start(2)].count("\n")
                exec(compile("\n" * line + block[2], name(page), "exec", dont_inherit=True), names)


def test_the_readme_s_example_is_short() -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    imports = ("import ", "from ")
    lines = [line for line in example.splitlines() if line.strip() and not line.startswith(imports)]
    assert len(lines) <= 20


# The commands parse.


def commands(page: Path) -> list[str]:
    """Whole commands of the page's shell blocks, a continued line as one."""
    lines = "\n".join(blocks(page, "bash") + blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.search(r"(^|\s)longcut(\s|$)", line)]


def words_of(command: str) -> list[str]:
    words = shlex.split(command)
    return words[words.index("longcut") + 1 :]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the words that are left for it."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize(
    ("page", "command"),
    [(page, command) for page in PAGES for command in commands(page)],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
def test_commands_parse(page: Path, command: str) -> None:
    """Every option and argument is known, none is missing, and the settings that are named can be set."""
    parser, words = find_command(words_of(command))
    if words == ["--version"]:
        return
    values = parser.make_context(parser.name, words).params
    if parser.name in ("train", "sweep"):
        given = [values["name"], *(values["changes"] or [])] if parser.name == "train" else [*values["names"]]
        varied = (v.partition("=") for v in values.get("vary") or [])
        given += [f"{key}={value}" for key, _, text in varied for value in re.split(r",(?![^\[]*\])", text)[:1]]
        changes = {key: parse_value(text) for key, equals, text in (word.partition("=") for word in given) if equals}
        for method in (word for word in given if not re.search("[=:/]", word)):
            resolve(method, changes)


def test_options_named_in_the_text_exist() -> None:
    """Also where a command is only mentioned, with placeholders for its arguments."""
    for page in PAGES:
        for command in INLINE.findall(FENCE.sub("", page.read_text("utf-8"))):
            parser, words = find_command(words_of(command))
            known = {option for parameter in parser.params for option in parameter.opts} | {"--help"}
            unknown = {word for word in words if word.startswith("--")} - known
            assert not unknown, f"{name(page)}: {command} has no {', '.join(unknown)}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)`", page.read_text("utf-8")))
        assert named <= targets, f"{name(page)} names make {', '.join(named - targets)}"


# The tables are those of the code.


def defaults_in(page: Path) -> dict[str, Any]:
    return {key: parse_value(text) if text else None for key, text in DEFAULT.findall(page.read_text("utf-8"))}


def plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


def test_every_setting_is_listed_with_its_default() -> None:
    settings = resolve("erm", {"steps": 1})
    sections = ("run", "data", "augmentation", "patches", "backbone", "ensemble", "optimizer", "schedule")
    fields = {section: type(getattr(settings, section)).model_fields for section in sections}
    expected = {f"{s}.{key}": plain(field.default) for s, known in fields.items() for key, field in known.items()}
    assert defaults_in(DOCS / "guide" / "settings.md") == expected


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_page_that_is_true(method: str) -> None:
    page = DOCS / "methods" / f"{method}.md"
    text = page.read_text("utf-8")
    parameters = inspect.signature(METHODS[method].__init__).parameters.values()
    own = {p.name: plain(p.default) for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in FACTS}
    listed = {key: value for key, value in defaults_in(page).items() if key in own or value is not None}
    assert listed == own

    source = inspect.getsource(METHODS[method])
    terms = re.findall(r"^\| `(\w+)` \| .*\$.*\| `([^`]+)` \|$", text, re.MULTILINE)
    assert terms, "a table of the logged terms with their lines of code"
    for term, line in terms:
        assert f'"{term}"' in source, f"no term is called {term}"
        assert line in source, f"{line} is no line of {method}"
    for section in ("## Loss", "## Hyper-parameters", "## Departures", "## Presets", "## Results"):
        assert section in text


def test_every_preset_is_mentioned() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for preset in preset_names():
        assert f"`{preset}`" in text, f"no page mentions the preset {preset}"
    named = set(re.findall(r"`((?:base|erm|clad)_[a-z0-9_]+)`", text))
    assert named - {"base_in"} <= set(preset_names()), "base_in is what results call an ImageNet classifier"


def test_every_field_of_a_result_is_explained() -> None:
    subject = Subject(**dict.fromkeys((field.name for field in dataclasses.fields(Subject)), ""))  # type: ignore[arg-type]
    fields = row(subject, "accuracy", "original", measure(torch.ones(3).numpy()), data="", data_hash="")
    lines = (DOCS / "guide" / "results.md").read_text("utf-8").splitlines()
    table = "".join(line.split("|")[1] for line in lines if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == set(fields)


def test_every_option_and_every_figure_of_an_audit_is_explained() -> None:
    text = (DOCS / "guide" / "audit.md").read_text("utf-8")
    known = set(re.findall(r"`(--[a-z-]+|[a-z_0-9]+)", text))
    command, _ = find_command(["audit"])
    options = {parameter.opts[0] for parameter in command.params if parameter.opts[0].startswith("--")} - {"--help"}
    assert options <= known, options - known
    assert {*AUDIT_FIGURES} <= known, {*AUDIT_FIGURES} - known


@pytest.mark.parametrize("page", [page for page in PAGES if "$" in page.read_text("utf-8")], ids=name)
def test_formulas_can_be_drawn(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    parser = MathTextParser("path")
    for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", text, flags=re.DOTALL):
        formula = " ".join((block or inline).split())
        parser.parse(f"${formula.replace(chr(92) + 'frac', chr(92) + 'dfrac')}$")


def test_every_page_can_be_reached() -> None:
    """From the contents: by name or by a pattern."""
    contents = (DOCS / "index.md").read_text("utf-8")
    for page in PAGES:
        if page.is_relative_to(DOCS) and page.name != "index.md":
            place = page.relative_to(DOCS)
            entries = (place.with_suffix("").as_posix(), f"{place.parent.as_posix()}/*")
            assert any(re.search(rf"^{re.escape(entry)}$", contents, re.MULTILINE) for entry in entries), place


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target} has no such heading"


def test_pages_are_for_readers() -> None:
    """No placeholder is left, and no page loads anything from elsewhere when it is built."""
    for page in PAGES:
        text = page.read_text("utf-8")
        assert not re.search(r"\b(TODO|FIXME|TBD|lorem)\b", text), name(page)
        assert not re.search(r"!\[[^\]]*\]\(https?:", text), f"{name(page)} shows a picture from elsewhere"
