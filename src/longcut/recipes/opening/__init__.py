"""Models of every kind, each opened by its name."""
