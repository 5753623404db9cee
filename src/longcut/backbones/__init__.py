"""Networks that turn images into features."""

from longcut.backbones.classifier import create_classifier
from longcut.backbones.create import create_backbone
from longcut.backbones.small import SmallConvNet, SmallResNet
from longcut.backbones.weights import load_weights
from longcut.core.features import feature_dim

__all__ = ["SmallConvNet", "SmallResNet", "create_backbone", "create_classifier", "feature_dim", "load_weights"]
