"""The methods, by the names that the command line and the presets use."""

from longcut.core import Method
from longcut.methods.clad import CLAD
from longcut.methods.erm import ERM

METHODS: dict[str, type[Method]] = {"clad": CLAD, "erm": ERM}

__all__ = ["CLAD", "ERM", "METHODS"]
