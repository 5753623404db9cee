"""Named subsets of a data set's classes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def read_class_list(name: str) -> tuple[str, ...]:
    """Names of class folders, one a line.

    Args:
        name: `imagenet100` (the 100 WordNet ids of Tian et al., "Contrastive multiview coding", ECCV 2020), or a file.

    Raises:
        ValueError: there is no such list or file, or it is empty.
    """
    shipped = {file.name.removesuffix(".txt"): file for file in resources.files(__package__).iterdir()}
    shipped = {key: file for key, file in shipped.items() if file.name.endswith(".txt")}
    file = shipped.get(name, Path(name))
    if not file.is_file():
        raise ValueError(f"{name} is no list of classes: name a file, or one of {', '.join(sorted(shipped))}")
    names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    if not names:
        raise ValueError(f"{name} lists no class: write one folder's name a line")
    return names
