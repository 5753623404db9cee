"""What a model says of a whole data set: collected once, measured as often as one likes."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longcut.data.decoding import write_whole
from longcut.evaluation.heads import OWN, kind_of

DAMAGED = (
    *(KeyError, TypeError, ValueError, OSError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""What numpy and zipfile raise on an `.npz` whose bytes have changed."""


def predictions_name(dataset: str, selection: str, head: str = OWN) -> str:
    """What the file of a checkpoint's predictions is called, without its suffix; the last step's has no mark.

    Those through a last layer that DFR retrained lie beside the model's own, those through a probe in their place, as
    it is the only head of an encoder without classes.
    """
    name = dataset if selection == "last" else f"{dataset}.{selection}"
    return f"{name}.dfr" if kind_of(head) == "dfr" else name


@dataclass(frozen=True)
class Predictions:
    """Outputs for every sample of a data set, in its order. `s` counts samples."""

    logits: NDArray[np.float32]
    """`[s, n]`"""
    features: NDArray[np.float16]
    """`[s, d]`"""
    targets: NDArray[np.int64]
    """`[s]`"""
    indices: NDArray[np.int64]
    """`[s]` positions in the data set."""
    paths: tuple[str, ...]
    """`[s]` relative to `root`."""
    root: str
    classes: tuple[str, ...]
    bias: NDArray[np.int64] | None = None
    """`[s]` place of each sample's bias in `bias_names`, -1 where it is not known."""
    bias_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """`[s]` the class with the largest logit."""
        return self.logits.argmax(axis=1)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """`[s]` whether it is the target."""
        return self.predicted == self.targets

    @property
    def bias_is_paired(self) -> bool:
        """Whether a bias goes with each class, at the same place: then a sample is aligned or conflicts."""
        count = len(self.classes)
        return count > 0 and (len(self.bias_names) == count or self.bias_names[:count] == self.classes)

    def save(self, path: Path) -> None:
        """Write an `.npz`, whole or not at all.

        Raises:
            OSError: the disk is full, say; what was there before is untouched, and nothing is left behind.
        """
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(self).items() if value is not None}
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        write_whole(path, stream.getvalue())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        values["paths"] = tuple(str(p) for p in values["paths"])
        values["classes"] = tuple(str(c) for c in values["classes"])
        values["bias_names"] = tuple(str(b) for b in values.get("bias_names", ()))
        return cls(**{**values, "root": str(values["root"])})
