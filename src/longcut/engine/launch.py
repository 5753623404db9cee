"""Where a run computes: devices, processes, precision, determinism and signals."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Literal

import torch
import torch.distributed as dist

from longcut.core.distributed import world_size
from longcut.engine.train import Precision

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>
_PATIENCE = timedelta(days=1)


def find_device() -> torch.device:
    """This process's GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def find_precision(wish: Precision | Literal["auto"], device: torch.device) -> Precision:
    """The precision of the forward passes; "auto" is the fastest, bf16 or fp16 on GPUs and bf16 on a CPU with AMX.

    A CPU that multiplies bf16 without AMX's tiles takes 1.4 to 1.8 times as long in it as in fp32 (AVX-512, a
    ResNet-18 and a small ViT, forward and backward).
    """
    if wish != "auto":
        return wish
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the processes that `torchrun` started, for as long as the block lasts; alone without it.

    They wait a day for each other, not torch's half hour: the first one may decode a large set of images for longer,
    and what it had decoded till then would be lost. For a process that ends nobody waits.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ and int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cuda:nccl,cpu:gloo" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def keep_memory() -> None:
    """Have glibc keep what is freed for this process, as long as it lasts.

    Else the pages of each batch, freed and taken again, are faulted in anew, which costs more than what is computed on
    them. Elsewhere than with glibc nothing is changed.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)
        set_option(_MMAP_MAX, 0)
        set_option(_TRIM_THRESHOLD, -1)


def flush_denormals() -> None:
    """Have the processor take numbers below 1e-38 for 0: a step on them lasts up to twice as long.

    Adam's momenta fade to such numbers where a unit is dead.
    """
    torch.set_flush_denormal(True)


def make_deterministic() -> None:
    """Have torch refuse kernels whose results change from run to run."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


class Stopper:
    """Turns SIGINT and SIGTERM into a question that the loop asks between steps; a second one stops at once."""

    def __init__(self) -> None:
        self._received = 0
        self._former = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> Stopper:
        for number in self._former:
            signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether any process was asked to stop; the same answer on all of them."""
        if world_size() == 1:
            return self._received > 0
        flag = torch.tensor(self._received)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received += 1
        if self._received > 1:
            raise KeyboardInterrupt
