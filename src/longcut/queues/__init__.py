"""Buffers of embeddings that outlive a step."""

from longcut.queues.class_queue import ClassQueue

__all__ = ["ClassQueue"]
