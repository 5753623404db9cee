"""InsDis: each image is a class of its own, remembered in a bank of averages.

Zhirong Wu, Yuanjun Xiong, Stella Yu, Dahua Lin. "Unsupervised feature learning via non-parametric instance
discrimination", CVPR 2018. Equation 2, over a sample of the bank.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from longcut.core import Batch, Method
from longcut.core.distributed import gather
from longcut.core.features import feature_dim
from longcut.methods.checks import check_counts, check_temperature
from longcut.methods.heads import OnlineHead
from longcut.methods.instances import draw_candidates, instance_contrast
from longcut.queues import SampleAverage


class InsDis(Method):
    """Tell the average of an image's earlier embeddings from those of other images, drawn from the bank.

    The softmax of equation 2 over the positive and the drawn negatives (InfoNCE), as in the later code bases of the
    field, stands in the place of the paper's noise-contrastive estimate with a constant for the partition function.
    One draw serves the batch, so that no product is larger than batch x negatives; a negative that is the anchor's own
    sample does not count.

    Args:
        backbone: images to pooled features.
        num_classes: size of the online head, which learns on detached features.
        num_samples: size of the training set, and of the bank.
        temperature: t.
        num_negatives: how many samples are drawn from the bank at each step.
        bank_momentum: share of the old average in the new one.
        dim: length of an embedding.
    """

    supervised = False

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        num_samples: int,
        temperature: float = 0.07,
        num_negatives: int = 4096,
        bank_momentum: float = 0.5,
        dim: int = 128,
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        check_counts(num_negatives=num_negatives, dim=dim)
        features = feature_dim(backbone)
        self.backbone = backbone
        self.projector = nn.Linear(features, dim)
        self.head = OnlineHead(features, num_classes)
        self.bank = SampleAverage(num_samples, dim, bank_momentum)
        self.temperature = temperature
        self.num_negatives = num_negatives

    def training_step(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Terms: `contrast`, and `online_cross_entropy` of the head."""
        features = self.encode(batch.images)
        embeddings = self.projector(features)
        candidates = draw_candidates(self.bank, self.num_negatives)
        losses = instance_contrast(embeddings, batch.indices, self.bank, candidates, temperature=self.temperature)
        self.bank.push(gather(embeddings), gather(batch.indices))
        yield {
            "contrast": losses.mean(),
            "online_cross_entropy": self.head.loss(features, batch.targets),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the online head."""
        logits: Tensor = self.head(features)
        return logits
