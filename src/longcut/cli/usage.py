"""A wrong command line, told in one line as every other fault is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup


class Commands(TyperGroup):
    """The commands; what typer finds wrong with a command line is raised as a ValueError of one line."""

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Read what stands before the command."""
        with _in_one_line():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Read what stands after it, and run it."""
        with _in_one_line():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    usage_error: Any = typer.BadParameter.__base__  # typer exports no more of what it raises
    try:
        yield
    except usage_error as error:
        message = error.format_message()
        if not message or "\n" in message:
            raise  # the help of a command without arguments
        raise ValueError(_told(error, message)) from None


def _told(error: Any, message: str) -> str:
    told, word = message.removesuffix("."), _given(getattr(error, "param", None))
    if word:  # typer does not say what was given
        told = told.partition(": ")[2].removeprefix("Value error, ")
    command = error.ctx.command_path if error.ctx is not None else "longcut"
    return f"{word}{': ' * bool(word)}{told[0].lower()}{told[1:]}; see '{command} -h'"


def _given(parameter: Any) -> str:
    """An option with its value, as they stand on the command line; empty where there is none."""
    words = sys.argv[1:]
    for option in getattr(parameter, "opts", ()):
        for place, word in enumerate(words):
            if word.startswith(f"{option}="):
                return word
            if word == option and place + 1 < len(words):
                return f"{option} {words[place + 1]}"
    return ""
