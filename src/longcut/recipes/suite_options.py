"""What the suites can be asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longcut.corruptions import CORRUPTIONS, EXTRA
from longcut.evaluation.corruption_error import SEVERITIES


@dataclass(frozen=True)
class SuiteOptions:
    """Options of suites; each reads what concerns it.

    Attributes:
        mapping: the model's classes of some class folders, by name.
        severities: of the corruptions.
        only: names of corruptions; all of a suite's where empty.
        limit: at most so many images, of each set; all where None.
        skip_bad: leave unreadable images out and say which.

    Raises:
        ValueError: a severity or a corruption that is none, or a limit below 1; names the nearest.
    """

    mapping: Mapping[str, Sequence[str]] | None = None
    severities: Sequence[int] = SEVERITIES
    only: Sequence[str] = ()
    limit: int | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is {self.limit}: at least 1 image is needed")
        for severity in self.severities:
            if severity not in SEVERITIES:
                raise ValueError(f"--severities has {severity}: they are 1 to 5")
        if not self.severities:
            raise ValueError("--severities is empty: they are 1 to 5")
        for name in self.only:
            check_name(name, (*CORRUPTIONS, *EXTRA), "corruption")


def check_name(name: str, known: Sequence[str], what: str) -> None:
    """Refuse a name that is not known, with the nearest.

    Raises:
        ValueError: it is not.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"no {what} is called {name!r}: {hint}")
