"""Networks that others made, and what they say."""
