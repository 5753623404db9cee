"""How processes find each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist

from longcut.engine.launch import processes


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "cuda:nccl,cpu:gloo")])
def test_processes_wait_for_each_other_longer_than_it_takes_to_decode(
    device: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, timedelta]] = []

    def join(backend: str, *, timeout: timedelta, **_: Any) -> None:
        asked.append((backend, timeout))

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr(dist, "init_process_group", join)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    with processes(torch.device(device)):
        pass
    ((joined, timeout),) = asked
    assert joined == backend
    assert timeout >= timedelta(hours=12)
