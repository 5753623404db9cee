"""What tests audit by `audit_networks:NAME`: functions from normalised images to scores, and makers of networks."""

from __future__ import annotations

import os
import signal

import torch
from torch import Tensor, nn

CALLS: list[int] = []
"""How many images each call of `counted` was given."""


def mean_colour(images: Tensor) -> Tensor:
    """The hue of the whole image, which `made_images` gives its backgrounds by class."""
    return images.mean(dim=(2, 3))


def counted(images: Tensor) -> Tensor:
    CALLS.append(len(images))
    return mean_colour(images)


def stopped(images: Tensor) -> Tensor:
    """Sends its own process the signal `AUDIT_SIGNAL` at the call `AUDIT_CALL`."""
    CALLS.append(len(images))
    if len(CALLS) == int(os.environ["AUDIT_CALL"]):
        os.kill(os.getpid(), int(os.environ.get("AUDIT_SIGNAL", signal.SIGKILL)))
    return mean_colour(images)


def probabilities(images: Tensor) -> Tensor:
    return (10 * mean_colour(images)).softmax(dim=1)


def one_class(images: Tensor) -> Tensor:
    return mean_colour(images) * 0 + torch.tensor([0.0, 1.0, 0.0])


def five_classes(images: Tensor) -> Tensor:
    return torch.cat([mean_colour(images), mean_colour(images)[:, :2] - 9], dim=1)


def maps(images: Tensor) -> Tensor:
    return images


def numbers(images: Tensor) -> Tensor:
    return mean_colour(images).argmax(dim=1)


def fails(images: Tensor) -> Tensor:
    raise RuntimeError("no such layer\nat all")


def fails_later(images: Tensor) -> Tensor:
    """Once it is given more images than it is tried on."""
    if len(images) > 4:
        raise RuntimeError("no such layer\nat all")
    return mean_colour(images)


def no_numbers_later(images: Tensor) -> Tensor:
    """NaN for every second image, once it is given more than it is tried on."""
    broken = (torch.arange(len(images)) % 2 == 1) & (len(images) > 4)
    return mean_colour(images).masked_fill(broken[:, None], float("nan"))


def other_shape_later(images: Tensor) -> Tensor:
    return mean_colour(images)[:, : 3 if len(images) == 4 else 2]


class ColourNet(nn.Module):
    """A convolution that lets colours pass, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, 2, 1)
        with torch.no_grad():
            self.convolution.bias.zero_()
            self.convolution.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 3, 3) / 9)
        self.drop = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.drop(self.convolution(images).relu().mean(dim=(2, 3)))
