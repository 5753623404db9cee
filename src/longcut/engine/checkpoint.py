"""Checkpoints: everything that the next step depends on, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from longcut.core import Method
from longcut.core.distributed import rank, world_size
from longcut.core.seeding import generator_states, restore_generators
from longcut.data.telling import GO_ON

FORMAT = 2


def save_checkpoint(
    path: Path,
    method: Method,
    *,
    step: int,
    about: dict[str, Any],
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Write a checkpoint; on several processes all of them call this, and the first writes.

    What the processes share (parameters, optimizer) is stored once, and what is each one's own (buffers such as
    BatchNorm's statistics, and random generators) in a list.

    Args:
        path: replaced at once when the new file is whole and on the disk.
        method: the method.
        step: optimizer steps done.
        about: settings and class names, in types that `torch.load(weights_only=True)` reads.
        optimizer: left out of a copy that is only evaluated.
        scheduler: likewise.
        scaler: likewise.

    Raises:
        OSError: the disk is full, say; the former checkpoint is untouched.
    """
    own = {"buffers": _buffers(method), "generators": generator_states()}
    every = [own]
    if world_size() > 1:
        gathered: list[Any] = [None] * world_size()
        dist.gather_object(own, gathered if rank() == 0 else None)
        every = gathered
    if rank() != 0:
        return
    state = {
        "format": FORMAT,
        "step": step,
        "about": about,
        "parameters": {name: parameter.detach() for name, parameter in method.named_parameters()},
        "ranks": every,
        "optimizer": optimizer.state_dict() if optimizer else None,
        "scheduler": scheduler.state_dict() if scheduler else None,
        "scaler": scaler.state_dict() if scaler else None,
    }
    _write(path, state)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; as weights only, so that no code in the file is run.

    Raises:
        ValueError: there is none, or it is something else.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: {path.parent} holds no finished or interrupted run")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # it is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, AttributeError) as error:
        reason = (str(error) or "it is empty or cut short").splitlines()[0].partition(". ")[0]
        raise ValueError(f"{path} is no checkpoint of longcut: {reason}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version of longcut (format {FORMAT})")
    return state


def restore_method(method: Method, state: dict[str, Any], *, place: int = 0) -> None:
    """Put a checkpoint's parameters, and one process's buffers, into a method.

    Raises:
        ValueError: the checkpoint is of another method or backbone; names the first key that differs.
    """
    stored = {**state["parameters"], **state["ranks"][place]["buffers"]}
    own = method.state_dict()
    for key in [*own, *stored]:
        if key not in stored or key not in own:
            raise ValueError(f"the checkpoint is of another method or backbone: {key} is in one and not in the other")
        if own[key].shape != stored[key].shape:
            shapes = f"{tuple(stored[key].shape)}, not {tuple(own[key].shape)}"
            raise ValueError(f"the checkpoint is of another method, backbone or class list: {key} is {shapes}")
    method.load_state_dict(stored)


def restore_training(
    method: Method,
    state: dict[str, Any],
    optimizer: Optimizer,
    scheduler: LRScheduler,
    scaler: torch.amp.GradScaler | None,
) -> int:
    """Put everything back as it was when the checkpoint was written.

    Returns:
        Optimizer steps done.

    Raises:
        ValueError: it is of another method or number of processes, or holds no state of the scaler.
    """
    if len(state["ranks"]) != world_size():
        raise ValueError(
            f"the checkpoint was written by {len(state['ranks'])} processes and cannot be continued by {world_size()}"
        )
    if scaler is not None and state["scaler"] is None:
        raise ValueError(
            "the checkpoint was not written in fp16 and cannot be continued in it: give another precision=..."
        )
    restore_method(method, state, place=rank())
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    if scaler is not None:
        scaler.load_state_dict(state["scaler"])
    restore_generators(state["ranks"][rank()]["generators"])
    return int(state["step"])


def _buffers(method: Method) -> dict[str, torch.Tensor]:
    parameters = dict(method.named_parameters())
    return {name: tensor.cpu() for name, tensor in method.state_dict().items() if name not in parameters}


def _write(path: Path, state: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        before = "the checkpoint that was there before is whole" if path.exists() else "none was there before"
        raise OSError(f"cannot write {path} ({_reason(error)}); {before}; {GO_ON}") from error


def _reason(error: BaseException) -> str:
    """What the system said; torch's own error, of a file that is too short, hides a full disk behind it."""
    behind = error.__cause__ or error.__context__
    return _reason(behind) if behind is not None and not isinstance(error, OSError) else str(error)
