"""What every page has: one file that needs no other, with its style and its script, which lets no other script run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from longcut.report.series import swatch


def environment() -> Environment:
    """The report's templates, escaping every value."""
    made = Environment(
        loader=PackageLoader("longcut.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["swatch"] = swatch
    made.filters |= {"breakable": _breakable, "kept_with_number": _kept_with_number}
    return made


def _breakable(name: str) -> Markup:
    """A name that a narrow column may break after an underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _kept_with_number(sentence: str) -> str:
    """A sentence in which no line begins with a percent sign."""
    return sentence.replace(" %", "\u00a0%")


def render_page(template: str, *, styles: Sequence[str], scripts: Sequence[str], title: str, **values: Any) -> str:
    """A page from a template that extends `frame.html`.

    Args:
        template: its name.
        styles: names of its style sheets, in order.
        scripts: names of its scripts, in order.
        title: its heading.
        values: what the template shows.
    """
    script = "".join(map(_part, scripts))
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode("ascii")
    style = "".join(map(_part, styles))
    page = environment().get_template(template)
    return page.render(title=title, style=Markup(style), script=Markup(script), digest=digest, **values)


def _part(name: str) -> str:
    return (files("longcut.report") / "templates" / name).read_text(encoding="utf-8")
