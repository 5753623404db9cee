"""A graph for ONNX, whose batch has any size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longcut.recipes.exporting.about import About
from longcut.recipes.exporting.comparing import Loaded
from longcut.recipes.exporting.normalised import Normalised
from longcut.recipes.exporting.source import Source

IMAGES, LOGITS = "images", "logits"
OPSET = 17
"""The oldest with layer normalisation as one operator."""


def write(source: Source, folder: Path, about: About) -> Loaded:
    """Write the graph into `folder`, and open it with ONNX Runtime.

    torch's TorchScript exporter is taken: it needs no further package, and the outputs are compared afterwards.

    Raises:
        ValueError: a package is missing, or the network holds what ONNX has no operator for.
    """
    onnx, onnxruntime = _packages()
    file, within = folder / about.file, about.inputs.normalised_by == "graph"
    network = source.network if source.parts is None else source.parts
    network = Normalised(network, source.normalisation) if within else network
    _export(network.eval(), file, about)  # else torch leaves all of it in training mode
    graph = onnx.load(file)
    onnx.helper.set_model_props(graph, about.header())
    onnx.checker.check_model(graph)
    onnx.save(graph, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run([LOGITS], {IMAGES: images.numpy()})
        return torch.from_numpy(logits)

    return run if within else Normalised(_Function(run), source.normalisation)


class _Function(nn.Module):
    """A function as a network."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self._function = function

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self._function(images)
        return logits


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            f"--to onnx needs the package {error.name}: install the extra, pip install 'longcut[export]'"
        ) from None
    return onnx, onnxruntime


def _export(network: nn.Module, file: Path, about: About) -> None:
    size = about.inputs.image_size
    images = torch.zeros(2, 3, size, size)
    try:
        with warnings.catch_warnings():
            # That another exporter is the default, and that a trace may be wrong: the comparison tells whether it is.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (images,),
                str(file),
                input_names=[IMAGES],
                output_names=[LOGITS],
                dynamic_axes={IMAGES: {0: "batch"}, LOGITS: {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"ONNX cannot hold {about.backbone['name']} as it is ({reason}): take --to safetensors"
        ) from error
