"""The training loop, and what surrounds it."""

from longcut.engine.train import train

__all__ = ["train"]
