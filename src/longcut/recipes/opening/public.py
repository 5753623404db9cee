"""Models of timm's and of torchvision's."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from longcut.backbones.create import SMALL
from longcut.backbones.weights import load_classifier_weights
from longcut.engine.launch import find_device
from longcut.evaluation.foreign.models import BackboneClassifier, is_split_right
from longcut.evaluation.models import RANDOM, ImageNetClassifier
from longcut.evaluation.results import weights_hash
from longcut.recipes.opening.configuration import configuration_of, torchvision_configuration, torchvision_weights
from longcut.recipes.opening.found import IMAGENET, Found
from longcut.recipes.opening.model import Model, ModelOptions
from longcut.recipes.opening.weights import (
    is_weights_file,
    network_from_file,
    network_maker,
    random_network,
    torchvision_network,
)

_NOT_HAD = "own cannot be had here; give a file with --weights"


def open_timm(arch: str, options: ModelOptions, out: Path) -> Model:
    """A classifier of timm's, with its published classes or as many as a weights file has.

    Raises:
        ValueError: the name is unknown or of a network without a classifier, or the weights cannot be had.
    """
    if arch in SMALL:
        raise ValueError(f"timm has no {arch}: it is a backbone of longcut's; open its weights by FILE --arch {arch}")
    name, configuration, wish = f"timm:{arch}", configuration_of(arch), options.weights
    size = options.preprocess(configuration.preprocessing).image_size
    count = IMAGENET if configuration.assumed else configuration.num_classes
    if wish not in (None, "none"):
        network, count, starting = network_from_file(Path(str(wish)), arch, size)
    elif count == IMAGENET:
        own = ImageNetClassifier(arch, wish, image_size=size, or_random=options.or_random)
        network, starting = own.model, own.starting_weights
    else:
        network, starting = _timm_of_other_classes(arch, options, size, count)
    published = wish in (None, "none")
    found = Found(name, "base_in" if count == IMAGENET else "timm", starting, count, configuration, published)
    classifier = None if count != IMAGENET or isinstance(network, BackboneClassifier) else _split(arch, network, size)
    if classifier is None:
        return found.with_module(network, options, out)
    classifier = classifier.to(find_device()).eval()
    return found.opened(classifier, options, out, weights_hash=weights_hash(classifier), torch_module=classifier.model)


def _split(arch: str, network: nn.Module, image_size: int) -> ImageNetClassifier | None:
    """A network of timm's as features and the head on them; None where it is more than these."""
    classifier = ImageNetClassifier(arch, "none", image_size=image_size)
    classifier.model = network
    return classifier if is_split_right(classifier, image_size) else None


def _timm_of_other_classes(arch: str, options: ModelOptions, image_size: int, count: int) -> tuple[nn.Module, str]:
    """A model whose published weights have other classes than ImageNet's 1000."""
    if count == 0:
        raise ValueError(f"timm:{arch} has no classifier: its published weights give features alone")
    network = random_network(network_maker(arch, image_size), count)
    if options.weights == "none":
        return network, RANDOM
    try:
        return network, load_classifier_weights(network, None, arch)
    except ValueError:
        if not options.or_random:
            raise
        return network, f"{RANDOM} (timm's {_NOT_HAD})"


def open_torchvision(arch: str, options: ModelOptions, out: Path) -> Model:
    """A classifier of torchvision's.

    Raises:
        ValueError: the name is unknown, or the weights cannot be had.
    """
    known, wish = torchvision_weights(arch), options.weights
    configuration = torchvision_configuration(known.__members__.get(wish or "", known.DEFAULT))
    size = options.preprocess(configuration.preprocessing).image_size
    name, count, published = f"torchvision:{arch}", configuration.num_classes, True
    if wish == "none":
        network, starting = random_network(network_maker(name, size), count), RANDOM
    elif wish is not None and (is_weights_file(wish) or Path(wish).is_file()):
        network, count, starting = network_from_file(Path(wish), name, size)
        published = False
    else:
        try:
            network, starting = torchvision_network(arch, wish, size)
        except ValueError:
            if wish is not None or not options.or_random:
                raise
            network, starting = random_network(network_maker(name, size), count), f"{RANDOM} (torchvision's {_NOT_HAD})"
    return Found(name, "torchvision", starting, count, configuration, published).with_module(network, options, out)
