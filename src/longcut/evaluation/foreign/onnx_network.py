"""A network in an ONNX file, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_DTYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxNetwork:
    """Images to what an ONNX file gives for them.

    A file whose number of images is fixed gets them in portions of that number, the last one filled up with zeros.

    Args:
        file: of one input `[batch, 3, height, width]` of floats. Of several outputs the first of two dimensions is
            read.

    Attributes:
        batch: number of images that the file is fixed to; None where it takes any.
        image_size: side of the images that it is fixed to; None where it takes any.
        texts: what is written in the file beside the network.
        remarks: what a person should know of how it is read.

    Raises:
        ValueError: onnxruntime is missing, or the file is none that it can load, or takes other than such images.
    """

    def __init__(self, file: Path) -> None:
        self._session = _open(file)
        entry = _input_of(self._session, file)
        self._name, self._dtype = entry.name, _DTYPES[entry.type]
        self.batch, self.image_size = _fixed(entry.shape, file)
        self.texts: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        outputs = self._session.get_outputs()
        flat = [output for output in outputs if len(output.shape) == 2]
        self._output = (flat or outputs)[0].name
        self.remarks = (
            *[f"its batch is fixed at {self.batch}: a shorter one is filled up"] * (self.batch is not None),
            *[f"of its {len(outputs)} outputs {self._output!r} is read"] * (len(outputs) > 1),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """`[b, 3, h, w]` to the output, on the images' device."""
        pixels = np.ascontiguousarray(images.detach().cpu().numpy(), self._dtype)
        if self.batch is None:
            found = self._run(pixels)
        else:
            starts = range(0, len(pixels), self.batch)
            found = np.concatenate([self._run_filled(pixels[i : i + self.batch], self.batch) for i in starts])
        return torch.from_numpy(found).to(images.device)

    def _run_filled(self, pixels: NDArray[Any], batch: int) -> NDArray[Any]:
        filling = np.zeros((batch - len(pixels), *pixels.shape[1:]), pixels.dtype)
        return self._run(np.concatenate([pixels, filling]))[: len(pixels)]

    def _run(self, pixels: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = self._session.run([self._output], {self._name: pixels})[0]
        return found


def _open(file: Path) -> Any:
    if not file.is_file():
        raise ValueError(f"there is no ONNX file {file}")
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"{file} needs onnxruntime: pip install 'longcut[export]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    known = onnxruntime.get_available_providers()
    try:
        return onnxruntime.InferenceSession(file, options, providers=[name for name in _PROVIDERS if name in known])
    except Exception as error:  # onnxruntime's exceptions have no public common class
        reason = str(error).splitlines()[0]
        raise ValueError(f"{file} is no ONNX model that onnxruntime can load ({reason})") from error


def _input_of(session: Any, file: Path) -> Any:
    entries = session.get_inputs()
    if len(entries) != 1:
        names = ", ".join(entry.name for entry in entries)
        raise ValueError(f"{file} has {len(entries)} inputs ({names}): a classifier of images has one")
    entry = entries[0]
    if entry.type not in _DTYPES:
        raise ValueError(f"{file} takes {entry.type} for {entry.name!r}: export it with an input of normalised floats")
    shape = list(entry.shape)
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        way_out = ": export it with the channels first" if len(shape) == 4 and shape[3] == 3 else ""
        raise ValueError(f"{file} takes {shape} for {entry.name!r}, not [batch, 3, height, width]{way_out}")
    return entry


def _fixed(shape: list[int | str | None], file: Path) -> tuple[int | None, int | None]:
    """Number and side of the images that a file is fixed to."""
    batch, _, height, width = (side if isinstance(side, int) else None for side in shape)
    if None not in (height, width) and height != width:
        raise ValueError(f"{file} takes images of {width}x{height} pixels: only squares are measured")
    return batch, height or width
