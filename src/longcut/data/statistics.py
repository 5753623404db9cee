"""Mean and standard deviation of red, green and blue in [0, 1], by which networks expect their images normalised."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What the Background Challenge's evaluation takes for models of 1000 classes; CLAD's code takes it for nine too."""
IN9_MEAN, IN9_STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
"""What the Background Challenge's evaluation takes for models of nine classes."""
