"""Images made from images: compositions, patches, textures, and what gives them their parts.

They are imported on first use, so that processes that build textures start without torch, and others without numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longcut.negatives.amplitude import mix_amplitude
    from longcut.negatives.backgrounds import BackgroundPool, draw_backgrounds
    from longcut.negatives.composition import paste
    from longcut.negatives.patches import patch_negatives
    from longcut.negatives.quality import texture_quality
    from longcut.negatives.texture_synthesis import synthesize_texture, texture_examples

__all__ = [
    "BackgroundPool",
    "draw_backgrounds",
    "mix_amplitude",
    "paste",
    "patch_negatives",
    "synthesize_texture",
    "texture_examples",
    "texture_quality",
]
_MODULES = {
    "BackgroundPool": "backgrounds",
    "draw_backgrounds": "backgrounds",
    "mix_amplitude": "amplitude",
    "paste": "composition",
    "patch_negatives": "patches",
    "synthesize_texture": "texture_synthesis",
    "texture_examples": "texture_synthesis",
    "texture_quality": "quality",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
