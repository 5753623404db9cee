"""Buffers that outlive a step: of embeddings, and of each sample's losses."""

from longcut.queues.bias_negatives import BiasNegatives
from longcut.queues.class_queue import ClassQueue
from longcut.queues.feature_queue import FeatureQueue
from longcut.queues.sample_average import SampleAverage
from longcut.queues.sample_loss import SampleLoss

__all__ = ["BiasNegatives", "ClassQueue", "FeatureQueue", "SampleAverage", "SampleLoss"]
