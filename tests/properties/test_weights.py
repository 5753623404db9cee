from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from longcut.backbones import create_backbone, load_weights
from longcut.core import Method
from longcut.engine.checkpoint import save_checkpoint
from longcut.methods import ERM, MoCo


@pytest.fixture
def backbone() -> nn.Module:
    torch.manual_seed(1)
    return create_backbone("resnet20")


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(2)
    return create_backbone("resnet20").state_dict()


def load(backbone: nn.Module, source: Path | str) -> str:
    return load_weights(backbone, str(source), timm_name="resnet20")


def holds(backbone: nn.Module, weights: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, weights[key]) for key, value in backbone.state_dict().items())


def test_none_leaves_the_network_alone(backbone: nn.Module) -> None:
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    assert load(backbone, "none") == "from scratch"
    assert holds(backbone, before)


def test_safetensors(backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "net.safetensors")
    assert load(backbone, tmp_path / "net.safetensors").startswith("net.safetensors (sha256:")
    assert holds(backbone, weights)


@pytest.mark.parametrize("suffix", ["pt", "pth"])
@pytest.mark.parametrize("wrap", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_checkpoints_are_unwrapped(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path, suffix: str, wrap: str, prefix: str
) -> None:
    content: object = {prefix + key: value for key, value in weights.items()}
    path = tmp_path / f"net.{suffix}"
    torch.save({wrap: content, "epoch": 3} if wrap else content, path)
    load(backbone, path)
    assert holds(backbone, weights)


def moco() -> Method:
    return MoCo(create_backbone("resnet20"), num_classes=3, num_steps=4, capacity=8, dim=4)


@pytest.mark.parametrize("make", [lambda: ERM(create_backbone("resnet20"), num_classes=3), moco], ids=["erm", "moco"])
def test_a_run_s_checkpoint_gives_its_backbone(backbone: nn.Module, tmp_path: Path, make: Callable[[], Method]) -> None:
    method = make()
    method.encode(torch.randn(4, 3, 32, 32))  # BatchNorm's statistics are no parameters
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    save_checkpoint(tmp_path / "checkpoint.pt", method, step=1, about={"classes": ["a"]}, optimizer=optimizer)
    assert load(backbone, tmp_path / "checkpoint.pt").startswith("checkpoint.pt (sha256:")
    assert holds(backbone, method.backbone.state_dict())


def test_a_method_beside_its_backbone_is_left_behind(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    content = {f"backbone.{key}": value for key, value in weights.items()} | {"queue": torch.zeros(3)}
    torch.save(content, tmp_path / "net.pt")
    load(backbone, tmp_path / "net.pt")
    assert holds(backbone, weights)


@pytest.mark.parametrize("head", ["fc", "head", "classifier"])
def test_a_head_is_left_out_and_said(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path, head: str
) -> None:
    save_file(weights | {f"{head}.weight": torch.zeros(7, 64)}, tmp_path / "net.safetensors")
    assert load(backbone, tmp_path / "net.safetensors").endswith(f"; left out: {head}.weight)")
    assert holds(backbone, weights)


def test_old_files_that_do_not_count_batches_fit(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    old = {key: value for key, value in weights.items() if "num_batches" not in key}
    save_file(old, tmp_path / "net.safetensors")
    load(backbone, tmp_path / "net.safetensors")
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in old.items())


def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    wrong = {key: value for key, value in weights.items() if key != "bn1.weight"}
    wrong |= {"conv1.weight": torch.zeros(64, 3, 7, 7), "stem.weight": torch.zeros(1)}
    save_file(wrong, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"net\.safetensors does not fit resnet20") as caught:
        load(backbone, tmp_path / "net.safetensors")
    text = str(caught.value)
    assert "1 missing: bn1.weight" in text
    assert "1 unexpected: stem.weight" in text
    assert "1 of another shape: conv1.weight is [64, 3, 7, 7] in the file and [16, 3, 3, 3] in the network" in text
    assert "\n" not in text
    assert holds(backbone, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem.weight": torch.zeros(1)}, "1 unexpected: stem"),
        ({"bn1.weight": torch.zeros(8)}, r"1 of another shape: bn1\.weight is \[8\]"),
    ],
)
def test_one_wrong_tensor_is_enough(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor], message: str
) -> None:
    save_file(weights | change, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=message):
        load(backbone, tmp_path / "net.safetensors")


def test_only_the_first_few_are_listed(backbone: nn.Module, tmp_path: Path) -> None:
    save_file({f"layer{i}": torch.zeros(1) for i in range(9)}, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"9 unexpected: layer0, layer1, layer2, \.\.\.;"):
        load(backbone, tmp_path / "net.safetensors")


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused(backbone: nn.Module, tmp_path: Path, zipped: bool) -> None:
    path, proof = tmp_path / "evil.pt", tmp_path / "ran"
    if zipped:
        torch.save({"state_dict": Malicious(proof)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(proof)))
    with pytest.raises(ValueError, match=r"evil\.pt is a pickle that is not weights alone: refused") as caught:
        load(backbone, path)
    assert not proof.exists()
    assert "\n" not in str(caught.value)


def test_a_whole_network_is_refused(backbone: nn.Module, tmp_path: Path) -> None:
    torch.save(backbone, tmp_path / "net.pt")
    with pytest.raises(ValueError, match="is a pickle that is not weights alone"):
        load(backbone, tmp_path / "net.pt")


@pytest.mark.parametrize(
    "content", [[1, 2], {"epoch": 3}, {}, {"state_dict": {"a": "text"}}, {"parameters": {}, "ranks": []}]
)
def test_a_file_without_a_state_dict_is_refused(backbone: nn.Module, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(ValueError, match="holds no state dict"):
        load(backbone, tmp_path / "net.pt")


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
def test_a_damaged_file_is_named(
    backbone: nn.Module, weights: dict[str, Tensor], tmp_path: Path, suffix: str, kind: str
) -> None:
    path = tmp_path / f"net.{suffix}"
    if suffix == "pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    path.write_bytes({"cut": path.read_bytes()[:5000], "empty": b"", "text": b"<html>not found</html>"}[kind])
    with pytest.raises(ValueError, match=rf"net\.{suffix} is damaged or not") as caught:
        load(backbone, path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(backbone: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights file .*/net\.pth; give an existing file"):
        load(backbone, tmp_path / "net.pth")


def test_names_that_timm_does_not_have() -> None:
    backbone = nn.Identity()
    with pytest.raises(ValueError, match="called 'in1k'; timm has no weights for resnet20"):
        load(backbone, "in1k")
    with pytest.raises(ValueError, match=r"called 'resnet50\.a1_in1k'; timm has resnet18"):
        load_weights(backbone, "resnet50.a1_in1k", timm_name="resnet18")


@pytest.mark.parametrize("source", ["resnet18.a1_in1k", "a1_in1k", "resnet18"])
def test_offline_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("longcut.backbones.weights._is_cached", lambda _: False)
    with pytest.raises(ValueError, match=r"cannot reach http://127\.0\.0\.1:9 for resnet18\.a1_in1k; download its"):
        load_weights(nn.Identity(), source, timm_name="resnet18")
