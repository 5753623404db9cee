"""Sphinx settings: pages that need no network, formulas drawn by matplotlib's mathtext."""

from __future__ import annotations

import base64
import io
import logging
from typing import Any

from docutils import nodes
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from sphinx.application import Sphinx

from longcut import __version__

project = "longcut"
author = "the longcut authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
nitpicky = False
default_role = "code"  # docstrings write code between single backticks

html_theme = "furo"
html_title = f"longcut {release}"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]
html_math_renderer = "mathtext"
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_preserve_defaults = True
autodoc_use_type_comments = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_custom_sections = ["Source"]
napoleon_use_rtype = False

_POINTS = 11
logging.getLogger("matplotlib.mathtext").setLevel(logging.WARNING)  # it tells of each letter of another font


def setup(app: Sphinx) -> None:
    """Register the renderer of formulas, and what mends docstrings once napoleon has read them."""
    app.add_html_math_renderer("mathtext", (_visit_inline, None), (_visit_block, None))
    app.connect("autodoc-process-docstring", _mend, priority=900)


def _mend(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Between fences is code, as on the pages; and the star of a shape such as `*shape s` begins no emphasis."""
    mended: list[str] = []
    in_code = False
    for line in lines:
        if line.startswith("```"):
            in_code = not in_code
            mended += ["", f".. code-block:: {line.strip('`')}", ""] if in_code else [""]
        elif in_code:
            mended.append(f"    {line}")
        else:
            mended.append(line.replace("*", r"\*") if line.lstrip().startswith(":type:") else line)
    lines[:] = mended


def _visit_inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_image(node.astext(), _POINTS))
    raise nodes.SkipNode


def _visit_block(writer: Any, node: nodes.math_block) -> None:
    formula = node.astext().replace(r"\frac", r"\dfrac")
    writer.body.append(f'<div class="formula">{_image(formula, 1.2 * _POINTS)}</div>\n')
    raise nodes.SkipNode


def _image(formula: str, points: float) -> str:
    """A formula as an SVG inside the page, its baseline that of the text."""
    picture = io.BytesIO()
    formula = " ".join(formula.split())
    depth = math_to_image(f"${formula}$", picture, prop=FontProperties(size=points), dpi=72, format="svg")
    source = base64.b64encode(picture.getvalue()).decode()
    text = formula.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    style = f"vertical-align: {-depth:.1f}pt"
    return f'<img class="math" alt="{text}" style="{style}" src="data:image/svg+xml;base64,{source}">'
