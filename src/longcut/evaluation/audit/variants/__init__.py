"""What an image shows without a cue, with nothing but it, and with another image's: in batch on the device."""

from longcut.evaluation.audit.variants.registry import NUM_UNIFORMS, SWAPS, VARIANTS
from longcut.evaluation.audit.variants.types import Donors, Swap, Variant, Views

__all__ = ["NUM_UNIFORMS", "SWAPS", "VARIANTS", "Donors", "Swap", "Variant", "Views"]
