"""Two processes, each with its share of every batch, held against one that has it all."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from longcut.core import Batch
from longcut.core.distributed import rank, world_size

Found = dict[str, Any]
_PATIENCE = timedelta(minutes=2)  # or a process that waits in vain is waited for half an hour


def part_of(batch: Batch) -> Batch:
    """This process's share of a batch."""
    tensors: dict[str, Any] = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return Batch(**{name: t.chunk(world_size())[rank()] for name, t in tensors.items() if t is not None})


def over_processes(values: Tensor) -> Tensor:
    """The mean over the processes."""
    total = values.clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return total / world_size()


def in_pair(find: Callable[[], Found], folder: Path) -> list[Found]:
    """What a function of a module finds in each of two processes."""
    spawn(_process, (find, str(folder)), nprocs=2)
    return [torch.load(folder / f"{place}.pt") for place in range(2)]


def _process(place: int, find: Callable[[], Found], folder: str) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=place, world_size=2, timeout=_PATIENCE)
    try:
        torch.save(find(), Path(folder, f"{place}.pt"))
    except Exception:
        Path(folder, f"{place}.txt").write_text(traceback.format_exc())
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def check_pair(case: str, pair: list[Found], alone: Mapping[str, Any], *, tolerance: float = 1e-5) -> None:
    """Losses and state of both are those of one process, and the two have the same state bit for bit."""
    near = {"rtol": tolerance, "atol": 1e-5}
    for found in pair:
        torch.testing.assert_close(found[case]["losses"], alone["losses"], **near)
        for name, tensor in alone["state"].items():
            torch.testing.assert_close(found[case]["state"][name], tensor, **near, msg=f"{case} {name}")
    for name, tensor in pair[0][case]["state"].items():
        assert torch.equal(tensor, pair[1][case]["state"][name]), f"the processes differ in {name}"
