"""CMC: what luminance and colour of an image have in common.

Yonglong Tian, Dilip Krishnan, Phillip Isola. "Contrastive multiview coding", ECCV 2020. Equations 2 and 4, over a
sample of the banks.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.distributed import gather
from longcut.core.features import feature_dim
from longcut.methods.checks import check_counts, check_temperature
from longcut.methods.heads import OnlineHead
from longcut.methods.instances import draw_candidates, instance_contrast
from longcut.queues import SampleAverage

_Y_DB_DR = ((0.299, 0.587, 0.114), (-0.450, -0.883, 1.333), (-1.333, 1.116, 0.217))


class CMC(Method):
    """Tell the colour of an image from that of others by its luminance, and the other way round.

    One network sees the luminance, another one the two colour differences, and each has a bank of averages of its
    embeddings. The views are those of YDbDr, linear in the normalised image; so that any backbone serves, luminance
    comes three times and the colour differences with a third channel of zeros. As in `InsDis`, the softmax over one
    draw for the batch (InfoNCE) stands in the place of the noise-contrastive estimate, and no sample is a negative of
    its own.

    Args:
        backbone: luminance to pooled features.
        colour_backbone: colour differences to pooled features.
        num_classes: size of the online head, which learns on the detached features of both.
        num_samples: size of the training set, and of the banks.
        temperature: t.
        num_negatives: how many samples are drawn from the banks at each step.
        bank_momentum: share of the old average in the new one.
        dim: length of an embedding.
    """

    supervised = False

    def __init__(
        self,
        backbone: nn.Module,
        colour_backbone: nn.Module,
        *,
        num_classes: int,
        num_samples: int,
        temperature: float = 0.07,
        num_negatives: int = 16384,
        bank_momentum: float = 0.5,
        dim: int = 128,
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        check_counts(num_negatives=num_negatives, dim=dim)
        self.sizes = feature_dim(backbone), feature_dim(colour_backbone)
        self.backbone, self.colour_backbone = backbone, colour_backbone
        self.luminance_projector, self.colour_projector = (nn.Linear(size, dim) for size in self.sizes)
        self.bank, self.colour_bank = (SampleAverage(num_samples, dim, bank_momentum) for _ in self.sizes)
        self.head = OnlineHead(sum(self.sizes), num_classes)
        self.temperature = temperature
        self.num_negatives = num_negatives

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `luminance`, the loss whose anchors are luminance, `colour`, and `online_cross_entropy`."""
        features = self.encode(batch.images)
        of_light, of_colour = features.split(self.sizes, dim=1)
        light, colour = self.luminance_projector(of_light), self.colour_projector(of_colour)
        candidates, t = draw_candidates(self.bank, self.num_negatives), self.temperature
        # Equation 4: each view is compared with the averages of the other.
        by_light = instance_contrast(light, batch.indices, self.colour_bank, candidates, temperature=t)
        by_colour = instance_contrast(colour, batch.indices, self.bank, candidates, temperature=t)
        indices = gather(batch.indices)
        self.bank.push(gather(light), indices)
        self.colour_bank.push(gather(colour), indices)
        yield {
            "luminance": by_light.mean(),
            "colour": by_colour.mean(),
            "online_cross_entropy": self.head.loss(features, batch.targets),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of both backbones, luminance first."""
        light, colour = luminance_and_colour(images)
        return torch.cat([self.backbone(light), self.colour_backbone(colour)], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the online head."""
        logits: Tensor = self.head(features)
        return logits


def luminance_and_colour(
    images: Float[Tensor, "b 3 h w"],
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]:
    """The two views of CMC, each with three channels.

    Args:
        images: RGB, normalised or not.

    Returns:
        Luminance Y three times, and the colour differences Db and Dr of SECAM with a channel of zeros.
    """
    matrix = torch.tensor(_Y_DB_DR, dtype=images.dtype, device=images.device)
    with torch.autocast(images.device.type, enabled=False):
        planes = torch.einsum("oc,bchw->bohw", matrix, images)
    return planes[:, :1].expand(-1, 3, -1, -1), torch.cat([planes[:, 1:], torch.zeros_like(planes[:, :1])], dim=1)
