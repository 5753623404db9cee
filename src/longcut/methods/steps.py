"""How many batches a method has seen, known without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StepCounter(nn.Module):
    """A count of batches on the host, which goes into the state dict: schedules read it and nothing is copied.

    Attributes:
        count: batches so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def get_extra_state(self) -> Tensor:
        """The count, for the state dict."""
        return torch.tensor(self.count)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a state dict's count."""
        self.count = int(state)
