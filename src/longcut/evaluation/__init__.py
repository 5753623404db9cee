"""Models to predictions, predictions to numbers."""
