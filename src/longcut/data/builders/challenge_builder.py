"""The Background Challenge made of one's own images, in the layout of its release.

Xiao, Engstrom, Ilyas and Madry, "Noise or Signal: The Role of Image Backgrounds in Object Recognition" (ICLR 2021).
The variants are theirs; images are scaled with interpolation instead of nearest neighbour, and foregrounds are pasted
by their masks, not by "the pixel is not black", so dark objects keep their pixels.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.data.builders.build_record import building, read_rows, rows_added, write_rows
from longcut.data.builders.challenge_images import Edges, Format, Layout, Source, build_one, mix_one
from longcut.data.builders.challenge_plan import check_classes, draw_partners, mixed_names, unique_stems
from longcut.data.builders.picture_grid import picture_grid, sampled
from longcut.data.challenge_layout import MIXED, VARIANTS
from longcut.data.decoding import ImageError, read_image, write_image
from longcut.data.image_set import ImageSet
from longcut.data.pool import Engine, map_items

MANIFEST, TABLE, PICTURE = "manifest.csv", "images.csv", "grid.jpg"
_MANIFEST_COLUMNS = "variant", "file", "foreground", "foreground_class", "background", "background_class"
_TABLE_COLUMNS = "path", "verdict"
_SHOWN = 10


@dataclass(frozen=True)
class BuiltChallenge:
    """What a build gave."""

    destination: Path
    images: int
    """How many images are in each variant."""
    left_out: dict[str, int]
    """How many images were left out, by reason: no_mask, empty, box_too_large, cropped, unreadable."""
    was_complete: bool
    """Whether everything was there already."""


def build_backgrounds(
    images: ImageSet,
    destination: Path,
    *,
    seed: int = 0,
    split: str = "val",
    edges: Edges = "soft",
    format: Format = "png",
    size: int | None = None,
    workers: int | None = None,
    engine: Engine = "pool",
    skip_bad: bool = False,
    label: str | None = None,
) -> BuiltChallenge:
    """Build all eight variants of the Background Challenge and the foreground masks.

    `<destination>/<variant>/<split>/<class>/<stem>` for original, only_fg, no_fg, only_bg_b and only_bg_t;
    `fg_<stem>_bg_<stem>` for mixed_same, mixed_rand and mixed_next (`draw_partners` says how backgrounds are drawn);
    `fg_mask/.../<stem>.npy` holds 0 and 1 (from 128 on), as in the release. `manifest.csv` names the foreground and the
    background of every image and their classes, empty where an image shows none; `images.csv` what was left out;
    `grid.jpg` is a sample. The foreground's box is the one given, widened where the mask reaches out of it, or the
    mask's own. Run again, an interrupted build goes on; the result does not depend on the number of workers.

    Args:
        images: with classes and masks.
        destination: folder to build in.
        seed: of the draws, keyed by each image's place in the set.
        split: name of the folder under each variant.
        edges: "soft" pastes mask / 255 of the foreground, "hard" all of it from 128 on.
        format: "png", or "jpeg" as the release has it (quality 95).
        size: height and width in pixels that images are scaled (shorter side) and centrally cropped to; None keeps each
            image's own.
        workers: number of processes; None takes every core.
        engine: "pool" or "ray".
        skip_bad: leave unreadable images, and masks of another size, out instead of stopping at the first.
        label: what the progress display says; None shows none.

    Raises:
        ValueError: no classes or masks, a class with fewer than two usable images, a single class, a mask of another
            size than its image, an unreadable file (`ImageError`), or a destination built with other settings.
        OSError: the destination cannot be written.
    """
    settings = Layout(Path(destination), split, edges, format, size)
    _check(images, settings)
    with building(settings.destination, _record(images, settings, seed), what="backgrounds") as going_on:
        if going_on and (settings.destination / MANIFEST).is_file():
            verdicts = {row["path"]: row["verdict"] for row in read_rows(settings.destination / TABLE, _TABLE_COLUMNS)}
            return _outcome(settings, verdicts, was_complete=True)
        sources = _sources(images)
        run = functools.partial(map_items, workers=workers, engine=engine)
        verdicts = _build_plain(sources, settings, run, skip_bad, label)
        kept = np.flatnonzero([verdicts[source.path] == "ok" for source in sources])
        check_classes(images.targets[kept], images.classes, str(images.root))
        usable = [sources[i] for i in kept]
        partners = draw_partners(images.targets[kept], kept, len(images.classes), seed)
        names = _mixed_names(usable, partners)
        _build_mixed(usable, partners, names, settings, run, label)
        write_image(settings.destination / PICTURE, _picture(usable, names, settings))
        write_rows(settings.destination / MANIFEST, _MANIFEST_COLUMNS, _manifest(usable, partners, names, settings))
        return _outcome(settings, verdicts, was_complete=False)


def _check(images: ImageSet, settings: Layout) -> None:
    if not images.classes:
        raise ValueError(f"{images.root} has no classes: the variants need class folders, or a CSV with targets")
    odd = [name for name in (*images.classes, settings.split) if name in ("", ".", "..") or set(name) & set("/\\")]
    if odd:
        raise ValueError(f"{odd[0]!r} cannot name a folder: rename the class or the split")
    if settings.edges not in ("soft", "hard") or settings.format not in ("png", "jpeg"):
        raise ValueError(f"edges={settings.edges!r}, format={settings.format!r}: 'soft' or 'hard', 'png' or 'jpeg'")
    if settings.size is not None and settings.size < 1:
        raise ValueError(f"size is {settings.size}: at least 1 pixel is needed")
    check_classes(images.targets[images.usable_masks()], images.classes, str(images.root))


def _record(images: ImageSet, settings: Layout, seed: int) -> dict[str, str | int | None]:
    content = hashlib.sha256()
    for part in (images.paths, images.targets.tolist(), images.classes, images.masks):
        content.update(repr([str(value) for value in part or ()]).encode())
    content.update(b"" if images.boxes is None else images.boxes.tobytes())
    choices = {"split": settings.split, "edges": settings.edges, "format": settings.format, "size": settings.size}
    return {"build": "backgrounds", "seed": seed, **choices, "images": f"sha256:{content.hexdigest()}"}


def _outcome(settings: Layout, verdicts: dict[str, str], *, was_complete: bool) -> BuiltChallenge:
    counts = Counter(verdicts.values())
    left_out = {verdict: count for verdict, count in sorted(counts.items()) if verdict != "ok"}
    return BuiltChallenge(settings.destination, counts["ok"], left_out, was_complete)


def _sources(images: ImageSet) -> list[Source]:
    folders = [images.classes[target] for target in images.targets]
    boxes = [None] * len(images) if images.boxes is None else images.boxes
    given = [None if box is None or np.isnan(box).any() else tuple(map(float, box)) for box in boxes]
    files = [images.root / path for path in images.paths]
    entries = zip(
        images.paths, files, images.masks or (), given, folders, unique_stems(images.paths, folders), strict=True
    )
    return [Source(*entry) for entry in entries]


def _build_plain(
    sources: Sequence[Source], settings: Layout, run: Any, skip_bad: bool, label: str | None
) -> dict[str, str]:
    """Build what needs one image alone; a verdict for each path."""
    table = settings.destination / TABLE
    done = {row["path"]: row["verdict"] for row in read_rows(table, _TABLE_COLUMNS) if row["verdict"] != "unreadable"}
    write_rows(table, _TABLE_COLUMNS, done.items())
    todo = [source for source in sources if source.path not in done]
    results: Generator[tuple[str, str]] = run(functools.partial(build_one, settings), todo, label=label)
    with closing(results), rows_added(table) as add:
        for source, (verdict, error) in zip(todo, results, strict=True):
            if error and not skip_bad:
                raise ImageError(error)
            done[source.path] = verdict
            add((source.path, verdict))
    write_rows(table, _TABLE_COLUMNS, ((source.path, done[source.path]) for source in sources))
    return done


def _mixed_names(sources: Sequence[Source], partners: dict[str, NDArray[np.int64]]) -> dict[str, list[str]]:
    stems, folders = [s.stem for s in sources], [s.folder for s in sources]
    return {variant: mixed_names(stems, [stems[i] for i in chosen], folders) for variant, chosen in partners.items()}


def _build_mixed(
    sources: Sequence[Source],
    partners: dict[str, NDArray[np.int64]],
    names: dict[str, list[str]],
    settings: Layout,
    run: Any,
    label: str | None,
) -> None:
    files = {v: [settings.file(v, s.folder, n) for s, n in zip(sources, names[v], strict=True)] for v in MIXED}
    _remove_others(files, settings)
    todo = []
    for i, source in enumerate(sources):
        lacking = [(sources[partners[v][i]], files[v][i]) for v in MIXED if not files[v][i].is_file()]
        if lacking:
            todo.append((source, lacking))
    with closing(run(functools.partial(mix_one, settings), todo, label=label and f"{label} (mixed)")) as results:
        for _ in results:
            pass


def _remove_others(files: dict[str, list[Path]], settings: Layout) -> None:
    """Remove mixed images of an interrupted build whose draws no longer hold, because an image can be read by now."""
    for variant, wanted in files.items():
        keep = set(wanted)
        for file in (settings.destination / variant / settings.split).glob("*/*"):
            if file not in keep:
                file.unlink()


def _manifest(
    sources: Sequence[Source],
    partners: dict[str, NDArray[np.int64]],
    names: dict[str, list[str]],
    settings: Layout,
) -> Iterator[tuple[str, ...]]:
    for variant in VARIANTS:
        for i, source in enumerate(sources):
            own = source.path, source.folder
            name = names[variant][i] if variant in MIXED else source.stem
            if variant in MIXED:
                partner = sources[partners[variant][i]]
                shown = *own, partner.path, partner.folder
            else:
                foreground = own if variant in ("original", "only_fg") else ("", "")
                shown = *foreground, *(("", "") if variant == "only_fg" else own)
            file = settings.file(variant, source.folder, name).relative_to(settings.destination).as_posix()
            yield variant, file, *shown


def _picture(sources: Sequence[Source], names: dict[str, list[str]], settings: Layout) -> NDArray[np.uint8]:
    """An image a row, a variant a column."""
    rows = []
    for i in sampled(len(sources), _SHOWN):
        stems = [names[v][i] if v in MIXED else sources[i].stem for v in VARIANTS]
        files = (settings.file(v, sources[i].folder, stem) for v, stem in zip(VARIANTS, stems, strict=True))
        rows.append([read_image(file) for file in files])
    return picture_grid(rows, [list(VARIANTS)] * len(rows))
