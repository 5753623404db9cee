"""The audit: a model's answers to images as they are and changed, and what they say."""
