"""Which of a model's classes a data set's class folders are."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from longcut.data.imagenet_classes import known_groups, wordnet_ids

_SHOWN = 5


@dataclass(frozen=True)
class ClassMapping:
    """Classes that a data set and a model have in common. Each is a set of the model's, most often of one.

    Attributes:
        classes: names of the classes in common, sorted.
        members: of each, the model's classes that it is, as places in the model's list; no two overlap.
        place: of each known folder, its class in `classes`.
        unknown: folders that the model knows nothing of, sorted.
    """

    classes: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    place: Mapping[str, int]
    unknown: tuple[str, ...]

    @property
    def note(self) -> str:
        """What was left out, in a line; empty where nothing was."""
        if not self.unknown:
            return ""
        shown = ", ".join(self.unknown[:_SHOWN]) + (", ..." if len(self.unknown) > _SHOWN else "")
        return f"{len(self.unknown)} of {len(self.unknown) + len(self.place)} classes are unknown to the model: {shown}"


def map_classes(
    folders: Sequence[str], model_classes: Sequence[str], given: Mapping[str, Sequence[str]] | None = None
) -> ClassMapping:
    """Find each folder among a model's classes.

    A folder is what `given` says of it; else the class of its own name; else, where the model's classes are WordNet
    ids and the folder one of ImageNet-9 or of the sixteen classes of cue-conflict stimuli, the set that it stands for,
    as far as the model has it; else, where the folder is a WordNet id and the model's classes are such names, the class
    that it belongs to.

    Args:
        folders: names of a data set's classes.
        model_classes: the model's, in the order of its logits.
        given: the model's classes of some folders, by name, as `read_mapping` reads them.

    Raises:
        ValueError: nothing is in common, a class of `given` is not the model's, or two folders share some but not all
            of their classes.
    """
    place = {name: i for i, name in enumerate(model_classes)}
    _check_given(given or {}, place)
    found = {folder: _members(folder, place, given or {}) for folder in sorted(set(folders))}
    known = {folder: members for folder, members in found.items() if members}
    if not known:
        raise ValueError(
            f"no class in common: the data has {_listing(folders)}, the model {_listing(model_classes)}; "
            "a CSV folder,model_class says which is which: --mapping FILE"
        )
    named: dict[tuple[int, ...], list[str]] = {}
    for folder, members in known.items():
        named.setdefault(members, []).append(folder)
    _check_apart(named, model_classes)
    classes = {members: _name(members, names, model_classes) for members, names in named.items()}
    ordered = sorted(classes, key=lambda members: classes[members])
    return ClassMapping(
        classes=tuple(classes[members] for members in ordered),
        members=tuple(ordered),
        place={folder: ordered.index(members) for folder, members in known.items()},
        unknown=tuple(folder for folder, members in found.items() if not members),
    )


def read_mapping(table: Path) -> dict[str, tuple[str, ...]]:
    """Read a CSV `folder,model_class`; a folder that is several of the model's classes has a line for each.

    Raises:
        ValueError: names the file and what is wrong there.
    """
    mapping: dict[str, tuple[str, ...]] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"folder", "model_class"} <= set(reader.fieldnames or ()):
                raise ValueError(f"{table} is no mapping: its first line must name folder,model_class")
            for entry in reader:
                folder, name = entry["folder"], entry["model_class"]
                if not folder or not name:
                    raise ValueError(f"{table}, line {reader.line_num}: folder or model_class is empty")
                mapping[folder] = (*mapping.get(folder, ()), name)
    except FileNotFoundError:
        raise ValueError(f"{table} does not exist: give a CSV folder,model_class") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is no CSV in UTF-8: {error}") from None
    return mapping


def _members(folder: str, place: Mapping[str, int], given: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    if folder in given:
        return tuple(sorted({place[name] for name in given[folder]}))
    if folder in place:
        return (place[folder],)
    groups = known_groups()
    if folder in groups:
        return tuple(sorted(place[name] for name in groups[folder] if name in place))
    if folder in wordnet_ids():
        return tuple(place[name] for name, members in groups.items() if name in place and folder in members)
    return ()


def _check_given(given: Mapping[str, Sequence[str]], place: Mapping[str, int]) -> None:
    for folder, names in given.items():
        for name in names:
            if name not in place:
                near = difflib.get_close_matches(name, place, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {_listing(tuple(place))}"
                raise ValueError(f"the mapping takes {folder!r} for {name!r}, which is no class of the model: {hint}")


def _check_apart(named: Mapping[tuple[int, ...], Sequence[str]], model_classes: Sequence[str]) -> None:
    owner: dict[int, str] = {}
    for members, folders in named.items():
        for member in members:
            if member in owner:
                raise ValueError(
                    f"{owner[member]!r} and {folders[0]!r} share the class {model_classes[member]!r} but not all of "
                    "theirs: a mapping gives each of the model's classes to one folder, or the same ones to both"
                )
            owner[member] = folders[0]


def _name(members: tuple[int, ...], folders: Sequence[str], model_classes: Sequence[str]) -> str:
    """The folder's own name; the model's for it where several folders are one class, or the folder's is a number."""
    if len(members) == 1 and (len(folders) > 1 or folders[0] in wordnet_ids()):
        return model_classes[members[0]]
    return "+".join(folders)


def _listing(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:_SHOWN]) + (f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else "")
