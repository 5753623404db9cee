"""One run, from a folder of images to a checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from longcut.core.distributed import on_first_process_first, rank, world_size
from longcut.core.seeding import seed_everything
from longcut.data.destination import check_outside
from longcut.data.loader import BatchLoader
from longcut.data.telling import GO_ON
from longcut.engine.build import build_normalisation
from longcut.engine.folder_lock import release
from longcut.engine.launch import Stopper, find_device, flush_denormals, keep_memory, make_deterministic, processes
from longcut.engine.logs import ProgressLine, RunLog
from longcut.engine.run_folder import CHECKPOINTS, check_run_folder, open_run_folder
from longcut.engine.settings import Settings
from longcut.engine.train import train
from longcut.recipes.batch_picture import draw_first_batch
from longcut.recipes.inputs import Inputs, Say, training_images
from longcut.recipes.preparing import PreparedRun, prepare, tell_apart
from longcut.recipes.saving import restore_run, save_run, write_sample_state
from longcut.recipes.watching import Watch


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
        ValueError: images, masks, settings or the folder do not allow the run, or another process trains in it.
        DivergedError: the loss or a weight is no finite number; names the step and the last good checkpoint.
    """
    device = find_device()
    with processes(device):
        say = say if rank() == 0 else lambda line: None
        images = training_images(settings, inputs)
        table = inputs.table(settings)
        on_first_process_first(lambda: check_run_folder(out, table, resume=resume or rank() != 0, alone=rank() == 0))
        check_outside(inputs.data, out)
        if device.type == "cpu":
            keep_memory()
            flush_denormals()
        if settings.run.deterministic:
            make_deterministic()
        checkpoint = out / CHECKPOINTS["last"]
        run = prepare(settings, inputs, images, device, with_weights=not (resume and checkpoint.exists()), say=say)
        try:
            # Only now, so that what was refused leaves no folder in the way of the next attempt.
            on_first_process_first(lambda: open_run_folder(out, table, resume=resume or rank() != 0, alone=rank() == 0))
            return _go(run, out, resume and checkpoint.exists(), say)
        finally:
            release()


def _go(run: PreparedRun, out: Path, going_on: bool, say: Say) -> bool:
    """Train from the start or from the checkpoint; whether the run is finished."""
    # Every process starts from the same weights and then draws its own dropout.
    seed_everything(run.settings.run.seed * world_size() + rank())
    start = restore_run(run, out, say) if going_on else 0
    if start >= run.steps:
        say(f"{out} is finished: {run.steps} steps are done")
        return True
    for remark in (*_remarks(run), *run.method.remarks()):
        say(remark)
    if not tell_apart(run, out, say):
        return False
    if rank() == 0:
        draw_first_batch(run.data, run.order, out / "pictures" / "batch.jpg")
    say(_heading(run, start))
    return _Loop(run, out, say).go_from(start)


def _remarks(run: PreparedRun) -> list[str]:
    """What a person may not expect of the settings on these images."""
    size, images = run.settings.run.batch_size, len(run.images)
    return [f"batch_size {size} is more than the {images} images: each step takes all of them"] * (size > images)


def _heading(run: PreparedRun, start: int) -> str:
    where = f"{run.device.type}, {run.precision}" + (f", {world_size()} processes" if world_size() > 1 else "")
    begin = f"going on from step {start}" if start else f"starting weights: {run.starting_weights}"
    return f"{run.settings.preset}: {len(run.data)} images, {run.steps} steps on {where}; {begin}"


@dataclass(frozen=True)
class _Loop:
    """The steps of a run, and what is logged, measured and saved between them."""

    run: PreparedRun
    out: Path
    say: Say

    def go_from(self, start: int) -> bool:
        """Train to the end; False where it was asked to stop."""
        run, settings, epoch = self.run, self.run.settings.run, self.run.order.steps_per_epoch
        every, validate_every = settings.checkpoint_every or epoch, settings.validate_every or epoch
        logs = train(
            run.method,
            self._batches(start),
            run.optimizer,
            scheduler=run.scheduler,
            scaler=run.scaler,
            precision=run.precision,
            accumulate=settings.accumulate,
        )
        watch = Watch(run.method, run.order, run.images, self.out, precision=run.precision)
        lr = self._lr()
        with Stopper() as stopper, self._log(start) as log, self._progress(start) as progress:
            for step, terms in enumerate(logs, start + 1):
                last, loss = step == run.steps, None
                watch.add(terms["loss"])
                if step % settings.log_every == 0 or last:
                    watch.check_losses(step)
                    loss = self._write_terms(log, step, terms, lr, progress)
                progress.advance(step, run.order.images_per_step, loss)
                if run.selector.active and (step % validate_every == 0 or last):
                    watch.check(step)  # or a network that has diverged would be kept as the best so far
                    self._validate(log, step)
                if settings.sample_state_every and (step % settings.sample_state_every == 0 or last):
                    watch.check(step)
                    write_sample_state(run, self.out, step)
                stop = stopper.asked() and not last
                if step % every == 0 or last or stop:
                    watch.check(step)
                    save_run(run, self.out, "last", step)
                if stop:
                    self.say(f"stopped after step {step} of {run.steps}; {GO_ON}")
                    return False
                lr = self._lr()
        return True

    def _lr(self) -> float:
        """The first group's learning rate, of the step that comes."""
        return float(self.run.optimizer.param_groups[0]["lr"])

    def _batches(self, start: int) -> BatchLoader:
        run = self.run
        return BatchLoader(
            run.data,
            run.order.keys(start, run.steps),
            normalisation=build_normalisation(run.settings),
            device=run.device,
            workers=run.settings.data.workers,
        )

    def _log(self, start: int) -> AbstractContextManager[RunLog | None]:
        return RunLog(self.out, start) if rank() == 0 else nullcontext()

    def _progress(self, start: int) -> ProgressLine:
        return ProgressLine(start, self.run.steps, self.out.name, silent=rank() != 0)

    def _write_terms(
        self, log: RunLog | None, step: int, terms: dict[str, Tensor], lr: float, progress: ProgressLine
    ) -> float:
        """Read the terms (the device is waited for), log their mean over the processes."""
        stacked = torch.stack([*terms.values()]).double()
        if world_size() > 1:
            dist.all_reduce(stacked)
            stacked /= world_size()
        values = dict(zip(terms, stacked.tolist(), strict=True))
        if log is not None:
            log.write(step, values | {"lr": lr}, speed=progress.speed)
        return values["loss"]

    def _validate(self, log: RunLog | None, step: int) -> None:
        """Scores of the selection rules; a copy of the checkpoint for each rule by which it is the best so far."""
        found, improved = self.run.selector.measure(self.run.method)
        if log is not None:
            log.write(step, found)
        for rule in improved:
            save_run(self.run, self.out, rule, step)
