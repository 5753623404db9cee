"""The command line: parse, call one function, print."""

from longcut.cli.app import main

__all__ = ["main"]
