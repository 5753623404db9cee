"""Foreground masks by a salient-object network from an ONNX file.

The file's own network is run through onnxruntime; what its family expects as input is one of the presets, each as the
authors' code prepares it: U2-Net (Qin et al., Pattern Recognition 2020), IS-Net (Qin et al., ECCV 2022) and BiRefNet
(Zheng et al., CAAI AIR 2024).
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class Preset:
    """What a family of networks expects. Values are (x / divisor - mean) / std."""

    size: int
    """Height and width where the file leaves them open."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    by_maximum: bool = False
    """Whether the divisor is the image's largest value instead of 255."""


PRESETS = {
    "u2net": Preset(320, IMAGENET_MEAN, IMAGENET_STD, by_maximum=True),
    "isnet": Preset(1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)),
    "birefnet": Preset(1024, IMAGENET_MEAN, IMAGENET_STD),
}


def preset_of(model: str | os.PathLike[str]) -> str:
    """The family that a model's file name tells.

    Raises:
        ValueError: where it tells none.
    """
    name = Path(model).name.lower().replace("-", "").replace("_", "")
    for preset in PRESETS:
        if preset in name:
            return preset
    raise ValueError(f"the name of {model} tells no family: give the method as one of {', '.join(PRESETS)}")


def check_model(model: str | os.PathLike[str]) -> None:
    """Load a model once, so that a wrong one is refused before the work starts.

    Raises:
        ValueError: where onnxruntime is missing, or the file is no ONNX model of images.
    """
    _session(str(model))


def saliency_mask(image: NDArray[np.uint8], model: str | os.PathLike[str], preset: str) -> NDArray[np.uint8]:
    """The foreground that a network sees.

    Args:
        image: `[h, w, 3]` RGB.
        model: ONNX file; its first output is taken. It is loaded once in each process.
        preset: "u2net", "isnet" or "birefnet".

    Returns:
        `[h, w]`, stretched so that the lowest value is 0 and the highest 255; zeros where the output is flat.

    Raises:
        ValueError: where onnxruntime is missing, the file is no ONNX model, or its output is no map.
    """
    session = _session(str(model))
    entry = session.get_inputs()[0]
    height, width = (n if isinstance(n, int) else PRESETS[preset].size for n in entry.shape[2:])
    dtype = np.float16 if entry.type == "tensor(float16)" else np.float32
    outputs = session.run(None, {entry.name: _prepare(image, height, width, PRESETS[preset]).astype(dtype)})
    output = np.asarray(outputs[0], np.float32)
    if output.ndim < 3 or output.shape[-1] < 2:
        raise ValueError(f"{model} is no segmentation network: its first output has the shape {output.shape}")
    salient = output.reshape(-1, *output.shape[-2:])[0]
    if salient.min() < 0 or salient.max() > 1:  # logits
        salient = np.asarray(1 / (1 + np.exp(-np.clip(salient, -30, 30))), np.float32)
    low, high = float(salient.min()), float(salient.max())
    stretched = (salient - low) / (high - low) if high - low > 1e-6 else np.zeros_like(salient)
    resized = cv2.resize(stretched, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(resized * 255), np.uint8)


def _prepare(image: NDArray[np.uint8], height: int, width: int, preset: Preset) -> NDArray[np.float32]:
    smaller = height * width < image.shape[0] * image.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=way).astype(np.float32)
    divisor = max(float(resized.max()), 1e-6) if preset.by_maximum else 255.0
    values = (resized / divisor - np.array(preset.mean, np.float32)) / np.array(preset.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


@functools.lru_cache(maxsize=1)
def _session(model: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError("masks by an ONNX model need onnxruntime: pip install 'longcut[segment]'") from error
    if not Path(model).is_file():
        raise ValueError(f"the model {model} does not exist")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one process for each core instead
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no public common class
        raise ValueError(f"{model} is no ONNX model that onnxruntime can load") from error
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise ValueError(f"{model} takes no RGB images: its input has the shape {shape}, not [batch, 3, height, width]")
    return session
