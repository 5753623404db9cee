"""Losses as pure functions: one value per sample, the method reduces."""

from longcut.losses.bootstrap import bootstrap
from longcut.losses.contrast import contrast, contrast_with, cosine, info_nce, supervised_contrast
from longcut.losses.hard_negatives import debiased_mass, hard_mass, mix_hard_negatives, modified_contrast
from longcut.losses.mass import bank_mass, log_mass

__all__ = [
    "bank_mass",
    "bootstrap",
    "contrast",
    "contrast_with",
    "cosine",
    "debiased_mass",
    "hard_mass",
    "info_nce",
    "log_mass",
    "mix_hard_negatives",
    "modified_contrast",
    "supervised_contrast",
]
