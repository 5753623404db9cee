"""Sections of a run's settings that are of no function's signature."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from longcut.data.statistics import IMAGENET_MEAN, IMAGENET_STD

FORBID = ConfigDict(extra="forbid", strict=False, validate_default=True, allow_inf_nan=False)
Positive = Annotated[int, Field(ge=1)]
Triple = tuple[float, float, float]
PositiveTriple = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
GroupMetric = Literal["unbiased", "worst_group", "bias_conflicting", "bias_conflicting_samples"]


class RunSettings(BaseModel):
    """How long and how a run trains. Exactly one of `steps` and `epochs` is given."""

    model_config = FORBID
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    steps: Positive | None = None
    epochs: PositiveFloat | None = None
    batch_size: Positive = 64
    accumulate: Positive = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    log_every: Positive = 10
    checkpoint_every: Positive | None = None
    validate_epochs: bool = True
    validate_every: Positive | None = None
    metric: Literal["accuracy", "class_balanced"] = "accuracy"
    group_metric: GroupMetric = "unbiased"
    oracle: bool = False
    oracle_metric: Literal["accuracy", "class_balanced"] | GroupMetric | None = None
    sample_state_every: Positive | None = None
    deterministic: bool = False
    sync_batchnorm: bool = False


class DataSettings(BaseModel):
    """What the images are and how they come to the network."""

    model_config = FORBID
    image_size: Positive = 224
    images: Literal["original", "mixed_rand", "only_fg"] = "original"
    composites: Literal["backgrounds", "amplitude", "stylized"] = "backgrounds"
    labels: bool = True
    class_list: str | None = None
    balance: Literal["images", "classes"] = "images"
    limit_per_class: Positive | None = None
    target: str | None = None
    bias: str | None = None
    severity: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None  # 1 is 1pct, as on the command line
    bias_labels: bool = True
    mean: Triple = IMAGENET_MEAN
    std: PositiveTriple = IMAGENET_STD
    workers: Annotated[int, Field(ge=0)] = 0
    cache: Literal["disk", "memory", "none"] = "disk"


class BackboneSettings(BaseModel):
    """The network, and what its weights start from."""

    model_config = FORBID
    name: str = "resnet50"
    small_stem: bool = False
    norm: Literal["batch", "group", "none"] | None = None
    weights: str = "none"
    biased: str | None = None


class EnsembleSettings(BaseModel):
    """Biased models that tell the bias-amplified set and the candidates apart, for methods that read those."""

    model_config = FORBID
    models: Positive = 5
    model_steps: Positive = 1000
    loss: Literal["gce", "ce"] = "gce"
    q: Annotated[float, Field(gt=0, le=1)] = 0.7
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.99
    agreement: Positive = 3
