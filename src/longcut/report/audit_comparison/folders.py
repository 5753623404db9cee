"""Whether folders hold audits or runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longcut.evaluation.audit.result import FILE

RESULTS = "results.jsonl"


def are_audits(folders: Sequence[Path]) -> bool:
    """Whether audits are to be compared, and not runs.

    A folder with `audit.json` is an audit, one with `results.jsonl` a run. One with both is what the others are; where
    all have both, they are runs. What lies in a folder inside, as `RUN/audit`, does not count: it is named itself.

    Raises:
        ValueError: some are audits, and some hold none.
    """
    audits = [folder for folder in folders if (folder / FILE).is_file()]
    alone = [folder for folder in audits if not (folder / RESULTS).is_file()]
    if not alone:
        return False
    for folder in folders:
        if folder not in audits:
            raise ValueError(f"{alone[0]} is an audit, {folder} holds none: {_way_out(folder)}")
    return True


def _way_out(folder: Path) -> str:
    if (folder / "audit" / FILE).is_file():
        return f"name {folder / 'audit'}"
    if (folder / RESULTS).is_file():
        return f"audits compare with audits; make one with 'longcut audit run:{folder} IMAGES --out {folder / 'audit'}'"
    return f"make one with 'longcut audit MODEL IMAGES --out {folder}'"
