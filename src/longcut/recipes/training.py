"""One run, from a folder of images to a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Dataset

from longcut.core.distributed import on_first_process_first, rank, world_size
from longcut.core.seeding import seed_everything
from longcut.data.cache import open_store
from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet, read_images, splits_of
from longcut.data.loader import BatchLoader, EvaluationData, Order, TrainingData, evaluation_keys
from longcut.data.store import Recipe, Store
from longcut.engine.build import build_augmentation, build_method, build_normalisation, build_optimizer
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.launch import Stopper, find_device, find_precision, make_deterministic, processes
from longcut.engine.logs import ProgressLine, RunLog
from longcut.engine.run_folder import CHECKPOINTS, check_run_folder, open_run_folder
from longcut.engine.settings import Settings, find_method
from longcut.engine.train import check_accumulation, train
from longcut.evaluation.collect import collect

Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Inputs:
    """Files that a run reads."""

    data: Path
    masks: Path | None = None
    boxes: Path | None = None
    cache: Path | None = None
    skip_bad: bool = False

    def paths(self) -> dict[str, str]:
        """What a run's folder remembers of them."""
        given = {"data": self.data, "masks": self.masks, "boxes": self.boxes}
        return {name: str(path) for name, path in given.items() if path is not None}


def train_run(
    settings: Settings, inputs: Inputs, out: Path, *, resume: bool = False, say: Say = lambda line: None
) -> bool:
    """Train one run into a folder; under `torchrun`, on all its processes.

    Args:
        settings: of the run.
        inputs: what it reads.
        out: folder of the run; see `open_run_folder` for when it may exist.
        resume: go on from its checkpoint.
        say: is told, in lines, what a person wants to know.

    Returns:
        Whether the run is finished; False where it was asked to stop, after a checkpoint.

    Raises:
        ValueError: images, masks, settings or the folder do not allow the run.
    """
    device = find_device()
    with processes(device):
        say = say if rank() == 0 else lambda line: None
        images = training_images(settings, inputs, say)
        table = {**settings.to_dict(), "paths": inputs.paths()}
        on_first_process_first(lambda: check_run_folder(out, table, resume=resume or rank() != 0))
        if settings.run.deterministic:
            make_deterministic()
        run = _Run(settings, inputs, out, images, device, say)
        going_on = resume and (out / CHECKPOINTS["last"]).exists()
        run.prepare(with_weights=not going_on)
        # Only now, so that what was refused leaves no folder in the way of the next attempt.
        on_first_process_first(lambda: open_run_folder(out, table, resume=resume or rank() != 0))
        return run.go(resume=going_on)


def training_images(settings: Settings, inputs: Inputs, say: Say) -> ImageSet:
    """The images that a run trains on: those of the training split, with masks only those that have one.

    Raises:
        ValueError: there are none of two classes, or masks are needed and there are none.
    """
    images = read_images(inputs.data, "train" if splits_of(inputs.data) else None)
    if len(images.classes) < 2:
        found = f"only the class {images.classes[0]!r}" if images.classes else "no class folders"
        raise ValueError(f"{inputs.data} holds {found}: a classifier needs at least two, one folder for each")
    if settings.data.limit_per_class:
        images = images.limit_per_class(settings.data.limit_per_class)
    if inputs.boxes:
        images = images.with_boxes(inputs.boxes)
    if inputs.masks:
        images = images.with_masks(inputs.masks)
    if images.masks is None:
        if _needs_masks(settings):
            what = settings.method.upper() if settings.data.images == "original" else "training on mixed_rand"
            raise ValueError(
                f"{what} needs masks: none given for {inputs.data}; make them with "
                f"'longcut data segment {inputs.data} --out MASKS' and pass --masks MASKS"
            )
        return images
    usable = images.usable_masks()
    if not usable.all():
        say(f"{(~usable).sum()} of {len(images)} images have no mask and are left out")
    _check_every_class(images, usable)
    return images.select(usable)


def _needs_masks(settings: Settings) -> bool:
    return "composites" in find_method(settings.method).needs or settings.data.images == "mixed_rand"


def _check_every_class(images: ImageSet, usable: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    counts = np.bincount(images.targets[usable], minlength=len(images.classes))
    if not counts.all():
        raise ValueError(f"no image of the class {images.classes[int(counts.argmin())]!r} has a mask")


@dataclass
class _Run:
    """A run while it lasts."""

    settings: Settings
    inputs: Inputs
    out: Path
    images: ImageSet
    device: torch.device
    say: Say
    best: float = -1.0

    def prepare(self, *, with_weights: bool) -> None:
        """Read the images and make everything that the run needs; whatever is wrong is found here."""
        self.data = self._training_data()
        self.validation = self._validation_store()
        run = self.settings.run
        seed_everything(run.seed)
        method, self.starting_weights = build_method(self.settings, len(self.images.classes), with_weights=with_weights)
        check_accumulation(method, run.accumulate)
        self.method = method.to(self.device)
        self.order = Order(len(self.data), run.batch_size, run.seed, run.accumulate, rank(), world_size())
        self.steps = run.steps or max(1, round((run.epochs or 0) * self.order.steps_per_epoch))
        self.optimizer, self.scheduler = build_optimizer(self.settings, method, self.steps)
        self.precision = find_precision(run.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None
        # Every process starts from the same weights and then draws its own dropout.
        torch.manual_seed(run.seed * world_size() + rank())

    def go(self, *, resume: bool) -> bool:
        """Train from the start or from the checkpoint; whether the run is finished."""
        start = self._restore() if resume else 0
        if start >= self.steps:
            self.say(f"{self.out} is finished: {self.steps} steps are done")
            return True
        if rank() == 0:
            _draw_batch(self.data, self.order, self.out / "pictures" / "batch.jpg")
        self.say(self._heading(len(self.data), start))
        return self._loop(start)

    def _loop(self, start: int) -> bool:
        loader = self._loader(self.data, self.order.keys(start, self.steps), self.settings.data.workers)
        logs = train(
            self.method,
            loader,
            self.optimizer,
            scheduler=self.scheduler,
            scaler=self.scaler,
            precision=self.precision,
            accumulate=self.settings.run.accumulate,
        )
        every = self.settings.run.checkpoint_every or self.order.steps_per_epoch
        with Stopper() as stopper, self._log(start) as log, self._progress(start) as progress:
            for step, terms in enumerate(logs, start + 1):
                last = step == self.steps
                loss = self._write_terms(log, step, terms, progress) if step % self._log_every == 0 or last else None
                progress.advance(step, self.order.images_per_step, loss)
                if self.validation is not None and (step % self.order.steps_per_epoch == 0 or last):
                    self._validate(self.validation, log, step)
                stop = stopper.asked() and not last
                if step % every == 0 or last or stop:
                    self._save("last", step)
                if stop:
                    self.say(f"stopped after step {step} of {self.steps}; go on with --resume")
                    return False
        return True

    @property
    def _log_every(self) -> int:
        return self.settings.run.log_every

    def _write_terms(self, log: RunLog | None, step: int, terms: dict[str, Tensor], progress: ProgressLine) -> float:
        """Read the terms (the one place where the device is waited for), log their mean over the processes."""
        stacked = torch.stack([*terms.values()]).double()
        if world_size() > 1:
            dist.all_reduce(stacked)
            stacked /= world_size()
        values = dict(zip(terms, stacked.tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise ValueError(f"the loss is {values['loss']} at step {step}: try a lower lr, or precision=fp32")
        if log is not None:
            log.write(step, values | {"lr": self.optimizer.param_groups[0]["lr"]}, speed=progress.speed)
        return values["loss"]

    def _validate(self, store: Store, log: RunLog | None, step: int) -> None:
        """Accuracy on the validation split; a copy of the checkpoint where it is the best so far."""
        keys = evaluation_keys(len(store), 256)
        loader = self._loader(EvaluationData(store, self.settings.data.image_size), keys, 0)
        self.method.eval()
        accuracy = torch.tensor(float(collect(self.method, loader, store.images).correct.mean()))
        if world_size() > 1:
            dist.broadcast(accuracy, 0)
        if log is not None:
            log.write(step, {"val_accuracy": float(accuracy)})
        if float(accuracy) > self.best:
            self.best = float(accuracy)
            self._save("best_val", step)

    def _save(self, selection: str, step: int) -> None:
        about = {"classes": list(self.images.classes), "best": self.best, "starting_weights": self.starting_weights}
        file = self.out / CHECKPOINTS[selection]
        if selection != "last":
            save_checkpoint(file, self.method, step=step, about=about)
            return
        save_checkpoint(
            file,
            self.method,
            step=step,
            about=about,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            scaler=self.scaler,
        )

    def _restore(self) -> int:
        state = load_checkpoint(self.out / CHECKPOINTS["last"])
        if state["about"]["classes"] != list(self.images.classes):
            raise ValueError(f"{self.out} was trained on other classes: {', '.join(state['about']['classes'])}")
        self.best, self.starting_weights = state["about"]["best"], state["about"]["starting_weights"]
        return restore_training(self.method, state, self.optimizer, self.scheduler, self.scaler)

    def _training_data(self) -> TrainingData:
        settings = self.settings
        needs = "composites" in find_method(settings.method).needs
        store = self._open(self.images, composites=_needs_masks(settings))
        self.images = store.images
        return TrainingData(
            store,
            build_augmentation(settings),
            seed=settings.run.seed,
            images=settings.data.images,
            composites=needs,
            balance=settings.data.balance,
        )

    def _validation_store(self) -> Store | None:
        splits = [name for name in ("val", "valid") if name in splits_of(self.inputs.data)]
        if not splits or not self.settings.run.validate_epochs:
            return None
        images = read_images(self.inputs.data, splits[0], classes=self.images.classes)
        return self._open(images, composites=False)

    def _open(self, images: ImageSet, *, composites: bool) -> Store:
        """The records, decoded by the first process; shorter side an eighth above the input's, as 256 is to 224."""
        recipe = Recipe(side=math.ceil(self.settings.data.image_size * 8 / 7), composites=composites)

        def open_() -> Store:
            return open_store(
                images,
                recipe,
                mode=self.settings.data.cache,
                folder=self.inputs.cache,
                skip_bad=self.inputs.skip_bad,
                say=self.say,
            )

        return on_first_process_first(open_)

    def _loader(self, data: Dataset[dict[str, Tensor]], keys: Any, workers: int) -> BatchLoader:
        normalisation = build_normalisation(self.settings)
        return BatchLoader(data, keys, normalisation=normalisation, device=self.device, workers=workers)

    def _log(self, start: int) -> AbstractContextManager[RunLog | None]:
        return RunLog(self.out, start) if rank() == 0 else nullcontext()

    def _progress(self, start: int) -> ProgressLine:
        return ProgressLine(start, self.steps, self.out.name, silent=rank() != 0)

    def _heading(self, images: int, start: int) -> str:
        where = f"{self.device.type}, {self.precision}" + (f", {world_size()} processes" if world_size() > 1 else "")
        begin = f"going on from step {start}" if start else f"starting weights: {self.starting_weights}"
        return f"{self.settings.preset}: {images} images, {self.steps} steps on {where}; {begin}"


def _draw_batch(data: TrainingData, order: Order, path: Path) -> None:
    """The first batch as the network sees it: anchors above, composites below where there are any."""
    if path.exists():
        return
    epoch, indices = next(order.keys(0, 1))
    batch = data[epoch, indices[:16]]
    rows = [np.concatenate([*batch[name].numpy()], axis=1) for name in ("images", "composites") if name in batch]
    write_image(path, np.concatenate(rows, axis=0))
