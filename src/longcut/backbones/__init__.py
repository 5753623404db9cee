"""Networks that turn images into features."""

from longcut.backbones.bagnet import BagNet18
from longcut.backbones.classifier import create_classifier
from longcut.backbones.create import create_backbone
from longcut.backbones.mlp import MeanColourMlp, Mlp
from longcut.backbones.small import SmallConvNet, SmallResNet
from longcut.backbones.weights import load_weights
from longcut.core.features import feature_dim

__all__ = [
    "BagNet18",
    "MeanColourMlp",
    "Mlp",
    "SmallConvNet",
    "SmallResNet",
    "create_backbone",
    "create_classifier",
    "feature_dim",
    "load_weights",
]
