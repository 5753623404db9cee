"""What an audit computes: donors, variants, effects with intervals, and which cues are named."""
