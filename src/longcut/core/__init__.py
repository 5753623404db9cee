"""The types that everything else is made of."""

from longcut.core.batch import Batch
from longcut.core.method import Method

__all__ = ["Batch", "Method"]
