"""Names of the Background Challenge's folders, for those that write them, read them and show them."""

MIXED = "mixed_same", "mixed_rand", "mixed_next"
VARIANTS = "original", "only_fg", "no_fg", "only_bg_b", "only_bg_t", *MIXED
"""In the order in which they are shown."""
MASKS = "fg_mask"
