"""Which checkpoints of a run are kept: the best so far, by each selection rule that its data allows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist

from longcut.core import Method
from longcut.core.distributed import world_size
from longcut.data.batches import EvaluationData
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader
from longcut.data.order import evaluation_keys
from longcut.data.store import Store
from longcut.engine.build import build_normalisation
from longcut.engine.settings import Settings
from longcut.evaluation.collect import collect, predictions_of
from longcut.evaluation.selection import scores
from longcut.recipes.inputs import Say

_BATCH = 512


@dataclass
class Selector:
    """Measures a method while it trains.

    Attributes:
        settings: of the run.
        validation: records of the validation split; None where there is none.
        oracle: records of the test split, where the best on it is to be kept.
        device: where the method is.
        best: the best score so far, by rule.
    """

    settings: Settings
    validation: Store | None
    oracle: Store | None
    device: torch.device
    best: dict[str, float] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether there is anything to measure on."""
        return self.validation is not None or self.oracle is not None

    def check(self, say: Say) -> None:
        """Find what the splits' labels do not allow before anything is trained.

        Args:
            say: is told of a rule by which no checkpoint will be kept though there are bias labels.

        Raises:
            ValueError: the oracle's metric cannot be measured on the test split.
        """
        run = self.settings.run
        if self.validation is not None and self.validation.images.bias is not None:
            why = _lacks(self.validation.images, run.group_metric)
            if why:
                say(f"no best_val_group is kept: group_metric={run.group_metric} needs {why} in the validation split")
        if self.oracle is not None and run.oracle_metric is not None:
            why = _lacks(self.oracle.images, run.oracle_metric)
            if why:
                raise ValueError(
                    f"oracle_metric={run.oracle_metric} needs {why} in the test split: choose another, such as accuracy"
                )

    def measure(self, method: Method) -> tuple[dict[str, float], list[str]]:
        """Scores by their names in the log, and the rules by which this is the best so far.

        The scores are the first process's, so that all of them keep the same checkpoints.
        """
        run = self.settings.run
        logged: dict[str, float] = {}
        by_rule: dict[str, float] = {}
        if self.validation is not None:
            found = self._scores(method, self.validation)
            logged |= {f"val_{name}": value for name, value in found.items()}
            by_rule["best_val"] = found[run.metric]
            if run.group_metric in found:
                by_rule["best_val_group"] = found[run.group_metric]
        if self.oracle is not None:
            found = self._scores(method, self.oracle)
            logged |= {f"test_{name}": value for name, value in found.items()}
            by_rule["best_test"] = found[self._oracle_metric(found)]
        improved = [rule for rule, score in by_rule.items() if score > self.best.get(rule, -1.0)]
        self.best |= {rule: by_rule[rule] for rule in improved}
        return logged, improved

    def _oracle_metric(self, found: dict[str, float]) -> str:
        run = self.settings.run
        return run.oracle_metric or (run.group_metric if run.group_metric in found else run.metric)

    def _scores(self, method: Method, store: Store) -> dict[str, float]:
        loader = BatchLoader(
            EvaluationData(store, self.settings.data.image_size),
            evaluation_keys(len(store), _BATCH),
            normalisation=build_normalisation(self.settings),
            device=self.device,
        )
        found = scores(collect(method.eval(), loader, store.images), len(store.images.bias_names))
        if world_size() == 1:
            return found
        values = torch.tensor([*found.values()], dtype=torch.float64)
        dist.broadcast(values, 0)
        return dict(zip(found, values.tolist(), strict=True))


def _lacks(images: ImageSet, metric: str) -> str:
    """What a split lacks for a metric, in words; empty where the metric can be measured on it."""
    nothing = predictions_of(images, np.zeros((len(images), len(images.classes)), np.float32))
    if metric in scores(nothing, len(images.bias_names)):
        return ""
    if images.bias is None:
        return "bias labels"
    return "conflicting images" if images.bias_is_paired else "biases that go with the classes"
