"""Losses as pure functions: one value per sample, the method reduces."""

from longcut.losses.contrast import contrast, cosine, info_nce

__all__ = ["contrast", "cosine", "info_nce"]
