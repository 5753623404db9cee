"""One run, from a folder of images to a checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import SyncBatchNorm

from longcut.core import Method
from longcut.core.distributed import on_first_process_first, rank, world_size
from longcut.core.seeding import seed_everything
from longcut.data.batches import TrainingData
from longcut.data.decoding import write_image
from longcut.data.image_set import ImageSet
from longcut.data.loader import BatchLoader, fetcher
from longcut.data.order import Order
from longcut.engine.build import Facts, build_method, build_normalisation, build_optimizer
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.launch import (
    Stopper,
    find_device,
    find_precision,
    flush_denormals,
    keep_memory,
    make_deterministic,
    processes,
)
from longcut.engine.logs import ProgressLine, RunLog
from longcut.engine.run_folder import CHECKPOINTS, check_run_folder, note_data, open_run_folder
from longcut.engine.settings import Settings
from longcut.engine.train import check_accumulation, train
from longcut.recipes.array_files import write_arrays
from longcut.recipes.bias_ensemble import BiasEnsemble, ensemble_folder
from longcut.recipes.inputs import (
    Inputs,
    Say,
    check_labels,
    oracle_store,
    training_data,
    training_images,
    training_store,
    validation_store,
    with_companions,
)
from longcut.recipes.selecting import Selector
from longcut.recipes.watching import LossWatch


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
            flush_denormals()
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

    def prepare(self, *, with_weights: bool) -> None:
        """Read the images and make everything that the run needs; whatever is wrong is found here."""
        run = self.settings.run
        method = self._build(with_weights=with_weights)
        check_accumulation(method, run.accumulate)
        images = with_companions(self.settings, method, self.inputs, self.images, self.say)
        self.store = training_store(self.settings, method, self.inputs, images, self.say)
        self.images = self.store.images
        if self._facts() != self.facts:
            method = self._build(with_weights=with_weights)
        check_labels(self.settings, method, self.images)
        self.data = training_data(self.settings, method, self.inputs, self.store, self.say)
        self.selector = Selector(
            self.settings,
            validation_store(self.settings, self.inputs, self.images, self.say),
            oracle_store(self.settings, self.inputs, self.images, self.say),
            self.device,
        )
        self.selector.check(self.say)
        self.method = self._synchronised(method).to(self.device)
        self.order, self.steps = self._order(), self.facts.num_steps
        self.optimizer, self.scheduler = build_optimizer(self.settings, method, self.steps)
        self.precision = find_precision(run.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None

    def _build(self, *, with_weights: bool) -> Method:
        """The method for the images as they are known now: which of them it can use depends on what it needs."""
        self.facts = self._facts()
        seed_everything(self.settings.run.seed)
        method, self.starting_weights = build_method(self.settings, self.facts, with_weights=with_weights)
        return method

    def _facts(self) -> Facts:
        run, images = self.settings.run, self.images
        steps = run.steps or max(1, round((run.epochs or 0) * self._order().steps_per_epoch))
        counts = images.group_counts() or [[count] for count in images.class_counts()]
        batch = self._order().images_per_step
        return Facts(len(images.classes), len(images), steps, len(images.bias_names), counts, batch)

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
        # Every process starts from the same weights and then draws its own dropout.
        torch.manual_seed(self.settings.run.seed * world_size() + rank())
        start = self._restore() if resume else 0
        if start >= self.steps:
            self.say(f"{self.out} is finished: {self.steps} steps are done")
            return True
        for remark in (*self._remarks(), *self.method.remarks()):
            self.say(remark)
        if not self._tell_apart():
            return False
        if rank() == 0:
            _draw_batch(self.data, self.order, self.out / "pictures" / "batch.jpg")
        self.say(self._heading(len(self.data), start))
        return self._loop(start)

    def _remarks(self) -> list[str]:
        """What a person may not expect of the settings on these images."""
        size, images = self.settings.run.batch_size, len(self.images)
        return [f"batch_size {size} is more than the {images} images: each step takes all of them"] * (size > images)

    def _tell_apart(self) -> bool:
        """Have biased models tell the samples apart, where the method reads their sets; whether that is done."""
        read = self.method.needs & {"amplified", "candidates"}
        if read:
            folder = ensemble_folder(self.settings, self.store, self.inputs.ensembles or self.out / "ensemble")
            sets = BiasEnsemble(self.settings, self.data, self.store, folder, self.device, self.say).sets(read)
            if sets is None:
                return False
            self.data = training_data(self.settings, self.method, self.inputs, self.store, self.say, sets)
        if self.method.fetches:
            self.method.fetch = fetcher(self.data, build_normalisation(self.settings), self.device)
        return True

    def _loop(self, start: int) -> bool:
        loader = BatchLoader(
            self.data,
            self.order.keys(start, self.steps),
            normalisation=build_normalisation(self.settings),
            device=self.device,
            workers=self.settings.data.workers,
        )
        logs = train(
            self.method,
            loader,
            self.optimizer,
            scheduler=self.scheduler,
            scaler=self.scaler,
            precision=self.precision,
            accumulate=self.settings.run.accumulate,
        )
        run, epoch = self.settings.run, self.order.steps_per_epoch
        every, validate_every = run.checkpoint_every or epoch, run.validate_every or epoch
        watch = LossWatch(self.order, self.images, self.out / CHECKPOINTS["last"])
        with Stopper() as stopper, self._log(start) as log, self._progress(start) as progress:
            for step, terms in enumerate(logs, start + 1):
                last, loss = step == self.steps, None
                watch.add(terms["loss"])
                if step % run.log_every == 0 or last:
                    watch.check(step)
                    loss = self._write_terms(log, step, terms, progress)
                progress.advance(step, self.order.images_per_step, loss)
                if self.selector.active and (step % validate_every == 0 or last):
                    watch.check(step)  # or a network that has diverged would be kept as the best so far
                    self._validate(log, step)
                if run.sample_state_every and (step % run.sample_state_every == 0 or last):
                    watch.check(step)
                    self._write_sample_state(step)
                stop = stopper.asked() and not last
                if step % every == 0 or last or stop:
                    watch.check(step)
                    self._save("last", step)
                if stop:
                    self.say(f"stopped after step {step} of {self.steps}; go on with --resume")
                    return False
        return True

    def _write_terms(self, log: RunLog | None, step: int, terms: dict[str, Tensor], progress: ProgressLine) -> float:
        """Read the terms (the device is waited for), log their mean over the processes."""
        stacked = torch.stack([*terms.values()]).double()
        if world_size() > 1:
            dist.all_reduce(stacked)
            stacked /= world_size()
        values = dict(zip(terms, stacked.tolist(), strict=True))
        if log is not None:
            log.write(step, values | {"lr": self.optimizer.param_groups[0]["lr"]}, speed=progress.speed)
        return values["loss"]

    def _validate(self, log: RunLog | None, step: int) -> None:
        """Scores of the selection rules; a copy of the checkpoint for each rule by which it is the best so far."""
        found, improved = self.selector.measure(self.method)
        if log is not None:
            log.write(step, found)
        for rule in improved:
            self._save(rule, step)

    def _write_sample_state(self, step: int) -> None:
        """What the method keeps of every sample, for analyses."""
        state = self.method.sample_state()
        if rank() == 0 and state:
            arrays = {name: values.cpu().numpy() for name, values in state.items()}
            write_arrays(self.out / "sample_state" / f"{step:08d}.npz", **arrays)

    def _save(self, selection: str, step: int) -> None:
        about = {
            "classes": list(self.images.classes),
            "best": self.selector.best,
            "starting_weights": self.starting_weights,
            "data_hash": self.store.digest,
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
        about = state["about"]
        if about["classes"] != list(self.images.classes):
            raise ValueError(f"{self.out} was trained on other classes: {', '.join(about['classes'])}")
        groups, ours = (
            [list(row) for row in facts] for facts in (about["facts"]["group_counts"], self.facts.group_counts)
        )
        self._refuse_others(groups != ours)
        self.selector.best, self.starting_weights = about["best"], about["starting_weights"]
        step = restore_training(self.method, state, self.optimizer, self.scheduler, self.scaler)
        self._refuse_others(about.get("data_hash", self.store.digest) != self.store.digest)
        if rank() == 0:
            note_data(self.out, self.inputs.data)
        return step

    def _refuse_others(self, different: bool) -> None:
        """Do not go on with other images, wherever they lie."""
        if different:
            raise ValueError(
                f"{self.out} was trained on other images than {self.inputs.data} holds now: give those, or choose "
                "another --out"
            )

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
