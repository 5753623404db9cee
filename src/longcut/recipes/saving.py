"""What a run keeps in its folder, and how it goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longcut.core.distributed import rank
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.run_folder import CHECKPOINTS, note_data
from longcut.recipes.array_files import write_arrays
from longcut.recipes.inputs import Say
from longcut.recipes.preparing import PreparedRun


def save_run(run: PreparedRun, out: Path, selection: str, step: int) -> None:
    """Write the checkpoint of a selection rule; only that of the last step can be gone on from.

    Args:
        run: after the step.
        out: folder of the run.
        selection: a key of `CHECKPOINTS`.
        step: how many are done.

    Raises:
        OSError: the file cannot be written; the former checkpoint is untouched.
    """
    about = {
        "classes": list(run.images.classes),
        "best": run.selector.best,
        "starting_weights": run.starting_weights,
        "data_hash": run.store.digest,
        "facts": run.facts.to_dict(),
        "precision": run.precision,
    }
    file = out / CHECKPOINTS[selection]
    if selection != "last":
        save_checkpoint(file, run.method, step=step, about=about)
        return
    save_checkpoint(
        file,
        run.method,
        step=step,
        about=about,
        optimizer=run.optimizer,
        scheduler=run.scheduler,
        scaler=run.scaler,
    )


def restore_run(run: PreparedRun, out: Path, say: Say) -> int:
    """Put a run back to where its checkpoint of the last step was written.

    Args:
        run: as it was prepared.
        out: folder of the run, in which is noted where its images lie now.
        say: is told where `precision=auto` would be another one here.

    Returns:
        Steps done.

    Raises:
        ValueError: the checkpoint is of other classes, other images, another method or another precision.
    """
    state = load_checkpoint(out / CHECKPOINTS["last"])
    about = state["about"]
    if about["classes"] != list(run.images.classes):
        raise ValueError(f"{out} was trained on other classes: {', '.join(about['classes'])}")
    groups, ours = ([list(row) for row in facts] for facts in (about["facts"]["group_counts"], run.facts.group_counts))
    _check_same_images(run, out, groups == ours)
    run.selector.best, run.starting_weights = about["best"], about["starting_weights"]
    _keep_precision(run, state, say)
    step = restore_training(run.method, state, run.optimizer, run.scheduler, run.scaler)
    _check_same_images(run, out, about.get("data_hash", run.store.digest) == run.store.digest)
    if rank() == 0:
        note_data(out, run.inputs.data)
    return step


def _keep_precision(run: PreparedRun, state: dict[str, Any], say: Say) -> None:
    """Where `precision=auto` would be another one here, go on in the one that it was."""
    # Before it was kept, auto was bf16 on all GPUs, those that take fp16 now among them.
    unkept = "bf16" if run.precision == "fp16" and state["scaler"] is None else run.precision
    began = state["about"].get("precision", unkept)
    if run.settings.run.precision == "auto" and began != run.precision:
        say(f"precision=auto is {run.precision} here; the run goes on in {began}, in which it began")
        run.compute_in(began)


def _check_same_images(run: PreparedRun, out: Path, same: bool) -> None:
    """Do not go on with other images, wherever they lie."""
    if not same:
        raise ValueError(
            f"{out} was trained on other images than {run.inputs.data} holds now: give those, or choose another --out"
        )


def write_sample_state(run: PreparedRun, out: Path, step: int) -> None:
    """Keep what the method knows of every sample after a step, for analyses."""
    state = run.method.sample_state()
    if rank() == 0 and state:
        arrays = {name: values.cpu().numpy() for name, values in state.items()}
        write_arrays(out / "sample_state" / f"{step:08d}.npz", **arrays)
