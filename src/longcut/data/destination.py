"""Where to write: not where every file is read as an image."""

from __future__ import annotations

from pathlib import Path

from longcut.data.layouts import find_layout, folders


def check_outside(root: Path, out: Path) -> None:
    """Refuse to write where images are read by their place; beside splits or what a table lists there is room.

    Args:
        root: images, as `longcut.data.image_set.read_images` takes them.
        out: folder to write in.

    Raises:
        ValueError: the folder lies among the images.
    """
    for folder in _read_whole(root):
        if out.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{out} lies inside {folder} and would be read as its images: choose an --out outside {root}"
            )


def _read_whole(root: Path) -> list[Path]:
    """Folders of which every image is read, whatever it is called."""
    if not root.is_dir():
        return []
    layout = find_layout(root)
    if layout is not None:
        return [root / name for name in sorted(layout.folders)]
    return [root / name for name in folders.SPLITS] if folders.splits_in(root) else [root]
