"""Columns of a table: a measure on a data set, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass

_TITLES = {
    "original": "Original",
    "only_fg": "Only-FG",
    "no_fg": "No-FG",
    "only_bg_b": "Only-BG-B",
    "only_bg_t": "Only-BG-T",
    "mixed_same": "Mixed-Same",
    "mixed_rand": "Mixed-Rand",
    "mixed_next": "Mixed-Next",
    "corruptions": "Corruptions",
    "corruptions_extra": "Further corruptions",
    "imagenet_c": "ImageNet-C",
    "imagenet_r": "ImageNet-R",
    "imagenet_a": "ImageNet-A",
    "imagenet_sketch": "ImageNet-Sketch",
    "stylized_imagenet": "Stylized-ImageNet",
    "cue_conflict": "cue conflict",
}
_METRICS = {
    "class_balanced": "Class-balanced",
    "bias_aligned": "Aligned",
    "bias_conflicting": "Conflicting",
    "bias_aligned_samples": "Aligned images",
    "bias_conflicting_samples": "Conflicting images",
}
GROUP_METRICS = ("class_balanced", "unbiased", "bias_aligned", "bias_conflicting", "bias_gap", "worst_group")
"""Measures over the groups of class and bias, in the order in which they are shown."""
HEADS = {"linear_": ("Linear", "by a linear probe"), "dfr_": ("DFR:", "with its last layer retrained")}
"""What begins the names of measures through another head than the model's own; how a column and a title call it."""


def split_head(metric: str) -> tuple[str, str]:
    """The beginning that names a head, empty for the model's own, and the measure."""
    head = next((head for head in HEADS if metric.startswith(head)), "")
    return head, metric.removeprefix(head)


@dataclass(frozen=True, slots=True)
class Column:
    """A measure on a dataset."""

    metric: str
    dataset: str

    @property
    def title(self) -> str:
        """As people read it."""
        name = "~".join(dataset_title(part) for part in self.dataset.split("~"))
        if self.metric == "accuracy":
            return name if self.dataset in _TITLES else f"Accuracy, {name}"
        if self.metric == "bg_gap":
            return "BG-Gap"
        if self.metric == "mce":
            return f"mCE, {name}"
        head, metric = split_head(self.metric)
        return f"{HEADS[head][0]} {_words(metric).lower()}, {name}" if head else f"{_words(metric)}, {name}"

    @property
    def is_cosine(self) -> bool:
        """Whether the measure is a similarity and no share of images."""
        return self.metric in ("feature_consistency", "error_consistency") or self.metric.startswith("similarity_")


def _words(metric: str) -> str:
    return _METRICS.get(metric) or metric.replace("_", " ").capitalize().replace("Knn", "kNN")


def dataset_title(name: str) -> str:
    """The papers' spelling of a variant or a test set, other names as they are."""
    return _TITLES.get(name, name)
