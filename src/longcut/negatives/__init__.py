"""Images made from images: compositions, patches, textures, and what gives them their parts."""

from longcut.negatives.amplitude import mix_amplitude
from longcut.negatives.backgrounds import BackgroundPool, draw_backgrounds
from longcut.negatives.paste import paste
from longcut.negatives.patches import patch_negatives

__all__ = ["BackgroundPool", "draw_backgrounds", "mix_amplitude", "paste", "patch_negatives"]
