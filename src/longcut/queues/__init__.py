"""Buffers of embeddings that outlive a step."""

from longcut.queues.class_queue import ClassQueue
from longcut.queues.feature_queue import FeatureQueue
from longcut.queues.sample_average import SampleAverage

__all__ = ["ClassQueue", "FeatureQueue", "SampleAverage"]
