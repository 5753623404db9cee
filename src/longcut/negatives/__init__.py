"""Images made from images: compositions, patches, textures, and what gives them their parts."""

from typing import TYPE_CHECKING, Any

from longcut.negatives.amplitude import mix_amplitude
from longcut.negatives.backgrounds import BackgroundPool, draw_backgrounds
from longcut.negatives.paste import paste
from longcut.negatives.patches import patch_negatives

if TYPE_CHECKING:
    from longcut.negatives.texture_synthesis import synthesize_texture

__all__ = [
    "BackgroundPool",
    "draw_backgrounds",
    "mix_amplitude",
    "paste",
    "patch_negatives",
    "synthesize_texture",
]


def __getattr__(name: str) -> Any:
    """Import what is compiled when it is first asked for: numba costs each worker process a second."""
    if name == "synthesize_texture":
        from longcut.negatives.texture_synthesis import synthesize_texture

        return synthesize_texture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
