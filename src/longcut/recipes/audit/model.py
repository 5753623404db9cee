"""The model of an audit, whose failures are told as what they are: somebody else's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longcut.data.loader import Normalisation
from longcut.evaluation.foreign.models import reason_of
from longcut.recipes.audit.scores import Logits


class AuditedModel(Logits):
    """A classifier from images of 0 to 1 to logits that says in one line what it fails on.

    Args:
        network: with `encode` and `classify`.
        normalisation: of its images.
        device: where they are.
        name: of the model.
    """

    def __init__(self, network: Any, normalisation: Normalisation, device: torch.device, name: str) -> None:
        super().__init__(network, normalisation, device)
        self.name = name

    def forward(self, images: Tensor) -> Tensor:
        """`[b, 3, h, w]` to `[b, n]`.

        Raises:
            ValueError: it fails on them.
        """
        try:
            return super().forward(images)
        except ValueError:
            raise
        except Exception as error:  # it is anybody's code
            raise ValueError(f"{self.name} fails on images {[*images.shape]} ({reason_of(error)})") from error
