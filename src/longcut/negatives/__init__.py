"""Images made from images: compositions, and what gives them their parts."""

from longcut.negatives.backgrounds import BackgroundPool, draw_backgrounds
from longcut.negatives.paste import paste

__all__ = ["BackgroundPool", "draw_backgrounds", "paste"]
