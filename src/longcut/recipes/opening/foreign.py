"""Models in files and in a person's own code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from longcut.backbones.create import SMALL
from longcut.backbones.weight_files import file_hash
from longcut.engine.launch import find_device
from longcut.evaluation.foreign.models import read_network
from longcut.evaluation.foreign.onnx_network import OnnxNetwork
from longcut.evaluation.results import weights_hash
from longcut.recipes.opening.callables import load_network
from longcut.recipes.opening.configuration import assumed, configuration_of, module_configuration
from longcut.recipes.opening.found import Found
from longcut.recipes.opening.header import header_of, read_header
from longcut.recipes.opening.model import Model, ModelOptions
from longcut.recipes.opening.weights import network_from_file


def open_file(name: str, options: ModelOptions, out: Path) -> Model:
    """A weights file, of the network that its own header or `--arch` names.

    Raises:
        ValueError: no network is named or it is unknown, or the file is not weights of it.
    """
    file = Path(name)
    header = header_of(file)
    arch = options.arch or (header.arch if header else None)
    if arch is None:
        raise ValueError(f"{name} holds weights alone: name their network, --arch resnet50 or torchvision:vit_b_16")
    if header is None and arch in SMALL and options.image_size is None:
        raise ValueError(f"{arch} does not say how large its images are: give their side in pixels, --image-size")
    configuration = header.configuration if header else configuration_of(arch)
    size = options.preprocess(configuration.preprocessing).image_size
    backbone = header.backbone if header and arch == header.arch else None
    network, count, starting = network_from_file(file, arch, size, backbone)
    published = header is not None and count == configuration.num_classes
    return Found(name, "weights", starting, count, configuration, published).with_module(network, options, out)


def open_onnx(name: str, options: ModelOptions, out: Path) -> Model:
    """A network in an ONNX file.

    Raises:
        ValueError: onnxruntime is missing, or the file holds no classifier of images.
    """
    file = Path(name)
    network = OnnxNetwork(file)
    if network.image_size is not None and options.image_size not in (None, network.image_size):
        raise ValueError(f"{file} takes images of {network.image_size} px alone, not of {options.image_size}")
    header = read_header(network.texts)
    configuration = header.configuration if header else assumed(network.image_size)
    found = Found(f"onnx:{name}", "onnx", file.name, 0, configuration)
    return _read(found, network, f"sha256:{file_hash(file)}", options, out, remarks=network.remarks)


def open_callable(name: str, options: ModelOptions, out: Path) -> Model:
    """A network or a function of a person's own code.

    Raises:
        ValueError: there is none of that name, or it gives no scores of classes for images.
    """
    network, digest = load_network(name)
    if not isinstance(network, nn.Module):
        return _read(Found(name, "callable", "unknown", 0, assumed()), network, digest, options, out)
    network = network.to(find_device())
    found = Found(name, "callable", "as the code makes them", 0, module_configuration(network))
    return _read(found, network, weights_hash(network), options, out)


def _read(
    found: Found,
    network: Any,
    digest: str,
    options: ModelOptions,
    out: Path,
    *,
    remarks: tuple[str, ...] = (),
) -> Model:
    """A model of which its own outputs tell what they are."""
    size = options.preprocess(found.configuration.preprocessing).image_size
    try:
        classifier = read_network(network, size, find_device(), outputs=options.outputs)
    except ValueError as error:
        raise ValueError(f"{found.name}: {error}") from error
    count = classifier.reading.num_classes
    published = count == found.configuration.num_classes and bool(found.configuration.classes)
    found = replace(found, num_classes=count, published=published)
    module = classifier if isinstance(network, nn.Module) else None
    said = (*remarks, *filter(None, [classifier.reading.remark]))
    return found.opened(classifier, options, out, weights_hash=digest, torch_module=module, remarks=said)
