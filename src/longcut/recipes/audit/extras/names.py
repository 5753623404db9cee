"""The suites beyond the core, and the effect of each; nothing here needs the rest of an audit."""

from __future__ import annotations

from longcut.evaluation.audit.effects import About

EXTRA_EFFECTS = {
    "adversarial": About(
        "adversarial_backgrounds", "Prediction turned by some background of another class", "adversarial", True
    ),
    "textures": About("texture_alone", "Texture of the foreground alone", "textures", True),
    "corruptions": About("corruptions_removed", "Corrupted: noise, blur, weather, digital", "corruptions"),
    "cue-conflict": About("shape_bias", "Decisions for the shape, of those for shape or texture", "cue-conflict"),
}
"""Of each suite."""
EXTRA = tuple(EXTRA_EFFECTS)
"""The suites that `all` has beside the core."""
