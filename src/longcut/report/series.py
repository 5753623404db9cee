"""How the series of a figure are told apart: by colour, and where colours start again by stripes or other markers."""

from __future__ import annotations

COLOURS = ("#2f7fc4", "#d55e00", "#0a9b74", "#b35fa3", "#a17c00", "#7b61d1", "#7f7f7f", "#c8356d")
"""Told apart by colour-blind readers too, with a contrast of at least 3:1 on white and on near-black.

`style.css` has the same.
"""
_MARKERS = "os^DvPX"


def colour(i: int) -> str:
    """Of the i-th series."""
    return COLOURS[i % len(COLOURS)]


def is_striped(i: int) -> bool:
    """Whether the i-th series has stripes, or a dashed line, over a colour that an earlier one has."""
    return i // len(COLOURS) % 2 == 1


def marker(i: int) -> str:
    """Of the i-th series."""
    return _MARKERS[(i + i // len(COLOURS)) % len(_MARKERS)]


def swatch(i: int) -> str:
    """Classes of the style sheet that give a swatch the i-th series' looks."""
    return f"swatch series-{i % len(COLOURS)}" + " striped" * is_striped(i)
