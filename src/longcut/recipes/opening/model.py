"""A model that was opened by its name, and what a person may say of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from longcut.data.imagenet_classes import wordnet_ids
from longcut.data.layouts import LayoutOptions
from longcut.data.loader import Normalisation
from longcut.data.preprocessing import Preprocessing
from longcut.evaluation.foreign.outputs import Claim
from longcut.evaluation.heads import OWN, Head
from longcut.evaluation.results import Subject

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Model:
    """A classifier with what its images must look like."""

    network: Any
    classes: tuple[str, ...]
    """Names in the order of the logits; WordNet ids for an ImageNet model; none where a run had no classes, or where
    nothing names them."""
    image_size: int
    normalisation: Normalisation
    subject: Subject
    data: Path | None = None
    """What a run was trained on."""
    chosen: bool = False
    """Whether that was some of the data's classes, so that the others are passed over."""
    options: LayoutOptions = field(default_factory=LayoutOptions)
    """Which target, bias and severity it was trained on, of data that hold several."""
    num_classes: int = 0
    """Number of logits, whether their classes have names or not; 0 for a run without classes."""
    crop: float = 1.0
    """Share of an image's shorter side that its own configuration shows it."""
    remarks: tuple[str, ...] = ()
    """What must be said beside any figure of it: random weights, assumed preprocessing, ..."""
    torch_module: nn.Module | None = None
    """From normalised images to logits, with layers to look into; None where there are none."""

    @property
    def is_imagenet(self) -> bool:
        """Whether its classes are ImageNet's 1000."""
        return self.classes == wordnet_ids()

    @property
    def preprocessing(self) -> Preprocessing:
        """Size, crop and normalisation of its images."""
        return Preprocessing(self.image_size, self.normalisation, self.crop)

    @property
    def titles(self) -> tuple[str, ...]:
        """A name of each logit for people: ImageNet's in words, and numbers where classes have no names."""
        if self.is_imagenet:
            from timm.data.imagenet_info import ImageNetInfo

            return tuple(ImageNetInfo("imagenet-1k").label_descriptions())
        return self.classes or tuple(f"class {number}" for number in range(self.num_classes))


@dataclass(frozen=True)
class ModelOptions:
    """What a person says of a model beside its name; `open_model` tells each. None leaves it to the model."""

    selection: str = "last"
    head: Head = OWN
    weights: str | None = None
    arch: str | None = None
    class_names: Path | None = None
    image_size: int | None = None
    mean: Triple | None = None
    std: Triple | None = None
    outputs: Claim = "auto"
    or_random: bool = False

    def preprocess(self, own: Preprocessing) -> Preprocessing:
        """A model's own preprocessing with what was said instead.

        Raises:
            ValueError: that is no preprocessing.
        """
        for name in ("mean", "std"):
            said = getattr(self, name)
            if said is not None and len(said) != 3:
                raise ValueError(f"{name} is three numbers, of red, green and blue: got {len(said)}")
        normalisation = Normalisation(self.mean or own.normalisation.mean, self.std or own.normalisation.std)
        size = own.image_size if self.image_size is None else self.image_size
        return replace(own, image_size=size, normalisation=normalisation)


def read_class_names(file: Path, num_classes: int) -> tuple[str, ...]:
    """Names of classes from a text file, a line each, in the order of the logits.

    Raises:
        ValueError: the file cannot be read, a line is empty, or there are as many names as the model has not.
    """
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8-sig").rstrip().splitlines())
    except FileNotFoundError:
        raise ValueError(f"there is no file of class names {file}: give one with a name on each line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no text in UTF-8: {error}") from None
    if "" in names:
        raise ValueError(f"{file}, line {names.index('') + 1}: the name is empty")
    if len(names) != num_classes:
        raise ValueError(f"{file} names {len(names)} classes, and the model has {num_classes}")
    return names
