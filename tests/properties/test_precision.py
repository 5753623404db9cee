"""The precision that a run takes where none is asked for."""

from __future__ import annotations

import pytest
import torch

from longcut.engine.launch import find_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("tiles", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_cpu_computes_in_bf16_where_it_has_tiles_for_it(
    tiles: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    assert find_precision("auto", CPU) == precision


@pytest.mark.parametrize(("computes", "precision"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_computes_in_bf16_where_it_need_not_emulate_it(
    computes: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or computes

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert find_precision("auto", torch.device("cuda")) == precision


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert find_precision("bf16", CPU) == "bf16"
