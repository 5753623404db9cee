"""One run, from a folder of images to a checkpoint."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import SyncBatchNorm
from torch.utils.data import Dataset

from longcut.core import Method
from longcut.core.distributed import on_first_process_first, rank, world_size
from longcut.core.seeding import seed_everything
from longcut.data.batches import EvaluationData, TrainingData
from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader
from longcut.data.order import Order, evaluation_keys
from longcut.data.store import Store
from longcut.engine.build import Facts, build_method, build_normalisation, build_optimizer
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.launch import Stopper, find_device, find_precision, keep_memory, make_deterministic, processes
from longcut.engine.logs import ProgressLine, RunLog
from longcut.engine.run_folder import CHECKPOINTS, check_run_folder, open_run_folder
from longcut.engine.settings import Settings
from longcut.engine.train import check_accumulation, train
from longcut.evaluation.collect import collect
from longcut.recipes.inputs import Inputs, Say, training_data, training_images, validation_store, with_companions


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
        images = training_images(settings, inputs)
        table = inputs.table(settings)
        on_first_process_first(lambda: check_run_folder(out, table, resume=resume or rank() != 0))
        if device.type == "cpu":
            keep_memory()
        if settings.run.deterministic:
            make_deterministic()
        run = _Run(settings, inputs, out, images, device, say)
        going_on = resume and (out / CHECKPOINTS["last"]).exists()
        run.prepare(with_weights=not going_on)
        # Only now, so that what was refused leaves no folder in the way of the next attempt.
        on_first_process_first(lambda: open_run_folder(out, table, resume=resume or rank() != 0))
        return run.go(resume=going_on)


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
        run = self.settings.run
        method = self._build(with_weights=with_weights)
        check_accumulation(method, run.accumulate)
        images = with_companions(self.settings, method, self.inputs, self.images, self.say)
        self.data, self.images = training_data(self.settings, method, self.inputs, images, self.say)
        if self._facts() != self.facts:
            method = self._build(with_weights=with_weights)
        self.validation = validation_store(self.settings, self.inputs, self.images, self.say)
        self.method = self._synchronised(method).to(self.device)
        self.order, self.steps = self._order(), self.facts.num_steps
        self.optimizer, self.scheduler = build_optimizer(self.settings, method, self.steps)
        self.precision = find_precision(run.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None
        # Every process starts from the same weights and then draws its own dropout.
        torch.manual_seed(run.seed * world_size() + rank())

    def _build(self, *, with_weights: bool) -> Method:
        """The method for the images as they are known now: which of them it can use depends on what it needs."""
        self.facts = self._facts()
        seed_everything(self.settings.run.seed)
        method, self.starting_weights = build_method(self.settings, self.facts, with_weights=with_weights)
        return method

    def _facts(self) -> Facts:
        run = self.settings.run
        steps = run.steps or max(1, round((run.epochs or 0) * self._order().steps_per_epoch))
        return Facts(len(self.images.classes), len(self.images), steps)

    def _order(self) -> Order:
        run = self.settings.run
        return Order(len(self.images), run.batch_size, run.seed, run.accumulate, rank(), world_size())

    def _synchronised(self, method: Method) -> Method:
        """With `sync_batchnorm`, BatchNorm's statistics are those of the global batch."""
        if not self.settings.run.sync_batchnorm:
            return method
        if self.device.type != "cuda":
            raise ValueError("sync_batchnorm needs GPUs: torch's SyncBatchNorm refuses the CPU; leave it out")
        return SyncBatchNorm.convert_sync_batchnorm(method)

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
        about = {
            "classes": list(self.images.classes),
            "best": self.best,
            "starting_weights": self.starting_weights,
            "facts": self.facts.to_dict(),
        }
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
    """The first batch as the network sees it: images above, and what was made of each of them below."""
    if path.exists():
        return
    epoch, indices = next(order.keys(0, 1))
    batch = data[epoch, indices[:16]]
    rows = [np.concatenate([*batch[name].numpy()], axis=1) for name in ("images", "composites") if name in batch]
    stacks = [batch[name].numpy() for name in ("views", "non_semantic") if name in batch]
    rows += [np.concatenate([*stack[:, view]], axis=1) for stack in stacks for view in range(stack.shape[1])]
    write_image(path, np.concatenate(rows, axis=0))
