"""Layouts of data sets as the field publishes them, told by what lies in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from longcut.data.layouts import align_conflict, bar, celeba, lff_npy, table, waterbirds
from longcut.data.layouts.samples import LayoutOptions, Samples

__all__ = ["FOLDERS", "LAYOUTS", "Layout", "LayoutOptions", "Samples", "find_layout", "read_layout"]

FOLDERS = "class folders"
"""What is read where no layout is found."""


@dataclass(frozen=True)
class Layout:
    """A way in which a set of images and its labels lie on disk.

    Attributes:
        name: what it is called.
        matches: whether a folder or a file has it.
        read: its images, of every split.
        options: which of the options it knows.
        folders: names of the folders in which it reads every image; none where a table or an array names them.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, LayoutOptions], Samples]
    options: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()


TABLE = Layout("table of images", table.matches, table.read)
LAYOUTS = (
    TABLE,
    Layout("Waterbirds", waterbirds.matches, waterbirds.read),
    Layout("CelebA", celeba.matches, celeba.read, frozenset({"target", "bias"})),
    Layout(
        "align and conflict",
        align_conflict.matches,
        align_conflict.read,
        frozenset({"severity"}),
        frozenset({*align_conflict.PARTS, *align_conflict.OTHER_SPLITS}),
    ),
    Layout("BAR with severities", bar.matches, bar.read, frozenset({"severity"}), frozenset(bar.SPLITS)),
    Layout("BAR", bar.matches_flat, bar.read_flat, folders=frozenset(bar.SPLITS)),
    Layout("LfF's arrays", lff_npy.matches, lff_npy.read),
)
"""In the order in which they are looked for."""


def find_layout(root: Path) -> Layout | None:
    """The layout of a folder or a file; None for class folders."""
    found = next((layout for layout in LAYOUTS if layout.matches(root)), None)
    return TABLE if found is None and root.is_file() else found


def read_layout(layout: Layout | None, root: Path, options: LayoutOptions) -> Samples | None:
    """The images of every split; None for class folders, which `folders.read` reads.

    Raises:
        ValueError: an option is given that the layout does not know, or nothing is there.
        LabelError: what lies there does not say what it should.
    """
    known = frozenset[str]() if layout is None else layout.options
    for name in (field.name for field in fields(options)):
        if getattr(options, name) is not None and name not in known:
            what = FOLDERS if layout is None else layout.name
            raise ValueError(
                f"{root} is read as {what}, which have no {name} to choose: leave {name}={getattr(options, name)} out"
            )
    return None if layout is None else layout.read(root, options)
