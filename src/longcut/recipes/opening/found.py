"""A model that was not trained here, put together with all that is known and all that is guessed of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from longcut.data.imagenet_classes import wordnet_ids
from longcut.engine.launch import find_device
from longcut.evaluation.foreign.models import BackboneClassifier, ForeignClassifier
from longcut.evaluation.foreign.outputs import Reading
from longcut.evaluation.models import RANDOM
from longcut.evaluation.results import Subject, weights_hash
from longcut.recipes.opening.configuration import Configuration
from longcut.recipes.opening.model import Model, ModelOptions, read_class_names

IMAGENET = 1000


@dataclass(frozen=True)
class Found:
    """A model that was found, before it is put together.

    Attributes:
        name: as a person writes it.
        method: what kind of model it is called in results.
        starting_weights: what its weights are.
        num_classes: of its logits.
        configuration: what it says of its images and classes.
        published: whether its classes are those that its configuration names, and no guess.
    """

    name: str
    method: str
    starting_weights: str
    num_classes: int
    configuration: Configuration
    published: bool = False

    def opened(
        self,
        network: Any,
        options: ModelOptions,
        out: Path,
        *,
        weights_hash: str,
        torch_module: nn.Module | None,
        remarks: tuple[str, ...] = (),
    ) -> Model:
        """The model, of a network with `encode` and `classify` on the device."""
        seen = options.preprocess(self.configuration.preprocessing)
        classes, told = self._classes(options)
        random = self.starting_weights.startswith(RANDOM)
        said = (
            f"the model has {self.starting_weights}: its figures say nothing of a trained one" if random else "",
            *remarks,
            self._assumed(options),
            told,
        )
        subject = Subject(
            run=str(out),
            method=self.method,
            preset=self.name,
            seed=None,
            step=None,
            selection="last",
            starting_weights=self.starting_weights,
            weights_hash=weights_hash,
        )
        return Model(
            network=network,
            classes=classes,
            image_size=seen.image_size,
            normalisation=seen.normalisation,
            subject=subject,
            num_classes=self.num_classes,
            crop=seen.crop,
            remarks=tuple(filter(None, said)),
            torch_module=torch_module,
        )

    def with_module(self, network: nn.Module, options: ModelOptions, out: Path) -> Model:
        """The model, of a network from images to logits."""
        network = network.to(find_device()).eval()
        split = isinstance(network, BackboneClassifier)
        classifier = network if split else ForeignClassifier(network, Reading(self.num_classes))
        return self.opened(classifier, options, out, weights_hash=weights_hash(network), torch_module=network)

    def _assumed(self, options: ModelOptions) -> str:
        """What was assumed of its images; empty where it says it, or a person did."""
        names = [name for name in self.configuration.assumed if getattr(options, name) is None]
        if not names:
            return ""
        size = f"{self.configuration.preprocessing.image_size} px"
        taken = [{"image_size": size, "mean": "ImageNet's mean", "std": "ImageNet's deviation"}[name] for name in names]
        flags = " ".join(f"--{name.replace('_', '-')}" for name in names)
        return f"the model does not say what its images are like: assumed are {', '.join(taken)} (else {flags})"

    def _classes(self, options: ModelOptions) -> tuple[tuple[str, ...], str]:
        """Names of the classes, and what was guessed of them."""
        if options.class_names is not None:
            return read_class_names(options.class_names, self.num_classes), ""
        if self.published:
            return self.configuration.classes, ""
        if self.num_classes == IMAGENET:
            return (
                wordnet_ids(),
                "its 1000 classes are taken for ImageNet's in their order (--class-names says otherwise)",
            )
        return (), f"its {self.num_classes} classes have no names (--class-names gives them)"
