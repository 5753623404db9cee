"""The folder of an audit: whose it is, who works in it, and what former audits left there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from longcut.data.exclusive import exclusive
from longcut.evaluation.audit.kept_scores import FILE as SCORES
from longcut.evaluation.audit.result import FILE, AuditResult, Flip

GIVEN, PARTS, PICTURES = "given", "parts", "pictures"
HASH = "hash"
"""Among an audit's settings: of everything that its figures depend on."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that an audit must not write to, before any work is done.

    Raises:
        ValueError: it is a file, lies in one, or holds something else than an audit.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is a file: --out names a folder")
    known = any((folder / name).exists() for name in (FILE, GIVEN, PARTS))
    if there == folder and not known and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise ValueError(f"{folder} exists and is no audit: choose another --out")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A folder that no other process audits into meanwhile; it is made, and taken away again where nothing came of it.

    Raises:
        ValueError: another process audits into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"another process audits into {folder}: wait for it, or choose another --out"
    with exclusive(folder, refusal=busy):
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()


def finished_audit(folder: Path, digest: str) -> AuditResult | None:
    """The audit that a folder holds, where it is whole and of this hash."""
    try:
        result = AuditResult.load(folder)
    except ValueError:
        return None
    files = (SCORES, *_pictures(result.flips))
    whole = result.settings.get(HASH) == digest and all((folder / file).is_file() for file in files)
    return result if whole else None


def drop_pictures(folder: Path, flips: Iterable[Flip]) -> None:
    """Remove the pictures of former audits: all but those of the flips."""
    kept = {folder / file for file in _pictures(flips)}
    for file in (folder / PICTURES).glob("*.jpg"):
        if file not in kept:
            file.unlink()


def _pictures(flips: Iterable[Flip]) -> set[str]:
    return {file for flip in flips for file in (flip.original, flip.variant, flip.overlay) if file is not None}
