"""Everything that a run needs, made before anything of it is written: whatever is wrong with it is found here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import SyncBatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from longcut.core import Method
from longcut.core.distributed import rank, world_size
from longcut.core.seeding import seed_everything
from longcut.data.batches import TrainingData
from longcut.data.image_set import ImageSet
from longcut.data.loader import fetcher
from longcut.data.order import Order
from longcut.data.store import Store
from longcut.engine.build import Facts, build_method, build_normalisation, build_optimizer
from longcut.engine.launch import find_precision
from longcut.engine.settings import Settings
from longcut.engine.train import Precision, check_accumulation
from longcut.recipes.bias_ensemble import BiasEnsemble, ensemble_folder
from longcut.recipes.inputs import (
    Inputs,
    Say,
    check_labels,
    oracle_store,
    training_data,
    training_store,
    validation_store,
    with_companions,
)
from longcut.recipes.selecting import Selector


@dataclass
class PreparedRun:
    """A run while it lasts.

    Attributes:
        settings: of the run.
        inputs: what it reads.
        device: where it computes.
        facts: what the method was told of it.
        method: on the device.
        starting_weights: what the backbone began from.
        store: records of the training images.
        data: batches of them.
        order: of the batches.
        selector: measures the method on the way, and knows the best scores so far.
        optimizer: over the method's parameters.
        scheduler: of its rate.
        precision: of the forward passes.
        scaler: of the loss; None unless the precision is fp16.
    """

    settings: Settings
    inputs: Inputs
    device: torch.device
    facts: Facts
    method: Method
    starting_weights: str
    store: Store
    data: TrainingData
    order: Order
    selector: Selector
    optimizer: Optimizer
    scheduler: LRScheduler
    precision: Precision
    scaler: torch.amp.GradScaler | None

    @property
    def images(self) -> ImageSet:
        """The training images that could be read."""
        return self.store.images

    @property
    def steps(self) -> int:
        """Length of the run."""
        return self.facts.num_steps

    def compute_in(self, precision: Precision) -> None:
        """Take another precision, and the scaler that goes with it."""
        self.precision, self.scaler = precision, _scaler(precision, self.device)


def prepare(
    settings: Settings, inputs: Inputs, images: ImageSet, device: torch.device, *, with_weights: bool, say: Say
) -> PreparedRun:
    """Read the images and make everything that a run needs.

    Args:
        settings: of the run.
        inputs: what it reads.
        images: of the training split.
        device: where it computes.
        with_weights: False where a checkpoint's weights will replace the starting weights.
        say: is told what is left out.

    Raises:
        ValueError: images, masks, labels or settings do not allow the run.
    """
    run = settings.run
    facts = _facts(settings, images)
    method, starting_weights = _build(settings, facts, with_weights=with_weights)
    check_accumulation(method, run.accumulate)
    if run.sample_state_every and not method.sample_state():
        raise ValueError(f"sample_state_every: {settings.method} keeps nothing of each sample; leave it out")
    images = with_companions(settings, method, inputs, images, say)
    store = training_store(settings, method, inputs, images, say)
    if _facts(settings, store.images) != facts:
        # Which images a method can use depends on what it needs, so it was first built for all of them.
        facts = _facts(settings, store.images)
        method, starting_weights = _build(settings, facts, with_weights=with_weights)
    check_labels(settings, method, store.images)
    data = training_data(settings, method, inputs, store, say)
    selector = Selector(
        settings,
        validation_store(settings, inputs, store.images, say),
        oracle_store(settings, inputs, store.images, say),
        device,
    )
    selector.check(say)
    method = _synchronised(settings, method, device).to(device)
    optimizer, scheduler = build_optimizer(settings, method, facts.num_steps)
    precision = find_precision(run.precision, device)
    return PreparedRun(
        settings=settings,
        inputs=inputs,
        device=device,
        facts=facts,
        method=method,
        starting_weights=starting_weights,
        store=store,
        data=data,
        order=_order(settings, store.images),
        selector=selector,
        optimizer=optimizer,
        scheduler=scheduler,
        precision=precision,
        scaler=_scaler(precision, device),
    )


def tell_apart(run: PreparedRun, out: Path, say: Say) -> bool:
    """Have biased models tell the samples apart, where the method reads their sets; give it the images it fetches.

    Args:
        run: whose batches get the sets.
        out: folder of the run, where the models lie unless runs share them.
        say: is told what is trained.

    Returns:
        Whether that is done; False where it was asked to stop.

    Raises:
        ValueError: the loss or a weight of a model is no finite number.
    """
    read = run.method.needs & {"amplified", "candidates"}
    if read:
        folder = ensemble_folder(run.settings, run.store, run.inputs.ensembles or out / "ensemble")
        sets = BiasEnsemble(run.settings, run.data, run.store, folder, run.device, say).sets(read)
        if sets is None:
            return False
        run.data = training_data(run.settings, run.method, run.inputs, run.store, say, sets)
    if run.method.fetches:
        run.method.fetch = fetcher(run.data, build_normalisation(run.settings), run.device)
    return True


def _build(settings: Settings, facts: Facts, *, with_weights: bool) -> tuple[Method, str]:
    seed_everything(settings.run.seed)
    return build_method(settings, facts, with_weights=with_weights)


def _scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler | None:
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None


def _facts(settings: Settings, images: ImageSet) -> Facts:
    run, order = settings.run, _order(settings, images)
    steps = run.steps or max(1, round((run.epochs or 0) * order.steps_per_epoch))
    classes = images.class_counts()
    groups = images.group_counts() or [[count] for count in classes]
    return Facts(
        len(images.classes), len(images), steps, len(images.bias_names), groups, order.images_per_step, classes
    )


def _order(settings: Settings, images: ImageSet) -> Order:
    run = settings.run
    return Order(len(images), run.batch_size, run.seed, run.accumulate, rank(), world_size())


def _synchronised(settings: Settings, method: Method, device: torch.device) -> Method:
    """With `sync_batchnorm`, BatchNorm's statistics are those of the global batch."""
    if not settings.run.sync_batchnorm:
        return method
    if device.type != "cuda":
        raise ValueError("sync_batchnorm needs GPUs: torch's SyncBatchNorm refuses the CPU; leave it out")
    return SyncBatchNorm.convert_sync_batchnorm(method)
