"""Where in an image a classifier finds its evidence for a class."""

from longcut.attribution.class_activation import class_activation, evaluation_mode, pools_by_mean
from longcut.attribution.grad_cam import grad_cam

__all__ = ["class_activation", "evaluation_mode", "grad_cam", "pools_by_mean"]
