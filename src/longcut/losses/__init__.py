"""Losses as pure functions: one value per sample, which the method reduces, where their docstrings say no other."""

from longcut.losses.bootstrap import bootstrap
from longcut.losses.contrast import contrast, contrast_with, cosine, info_nce, supervised_contrast
from longcut.losses.entanglement import disentangling, entangling
from longcut.losses.hard_negatives import (
    debiased_mass,
    hard_mass,
    mix_drawn_negatives,
    mix_hard_negatives,
    modified_contrast,
)
from longcut.losses.hsic import hsic
from longcut.losses.mass import bank_mass, log_mass
from longcut.losses.projection import project_out
from longcut.losses.robust import generalized_cross_entropy

__all__ = [
    "bank_mass",
    "bootstrap",
    "contrast",
    "contrast_with",
    "cosine",
    "debiased_mass",
    "disentangling",
    "entangling",
    "generalized_cross_entropy",
    "hard_mass",
    "hsic",
    "info_nce",
    "log_mass",
    "mix_drawn_negatives",
    "mix_hard_negatives",
    "modified_contrast",
    "project_out",
    "supervised_contrast",
]
