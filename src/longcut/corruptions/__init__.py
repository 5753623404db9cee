"""The corruptions of ImageNet-C, in batch on the device."""

from longcut.corruptions.corrupt import CORRUPTIONS, EXTRA, corrupt

__all__ = ["CORRUPTIONS", "EXTRA", "corrupt"]
