"""What only a GPU can show."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from longcut.backbones import SmallConvNet
from longcut.core import Batch
from longcut.core.distributed import gather, rank, world_size
from longcut.engine import train
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.engine.train import Precision
from longcut.methods import CLAD
from longcut.negatives import patch_negatives
from longcut.queues import ClassQueue
from longcut.testing import check_method

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA finds")

CLASSES = 3


def made_batch(size: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(size) % CLASSES
    return Batch(
        images=torch.randn(size, 3, 16, 16, generator=generator),
        targets=targets,
        indices=torch.arange(size),
        composites=torch.randn(size, 3, 16, 16, generator=generator),
        background_targets=(targets + 1 + torch.arange(size) // CLASSES % 2) % CLASSES,
    )


def small_clad(norm: Any = "group") -> CLAD:
    net = SmallConvNet(widths=(8, 16, 16), strides=(2, 2, 2), norm=norm)
    return CLAD(net, num_classes=CLASSES, num_negatives=4)


def test_the_queue_is_the_same_on_both_devices() -> None:
    generator = torch.Generator().manual_seed(0)
    on_cpu = ClassQueue(5, 7, 16)
    on_gpu = copy.deepcopy(on_cpu).cuda()
    for _ in range(4):
        embeddings = torch.randn(12, 16, generator=generator)
        keys = torch.randint(0, 5, (12,), generator=generator)
        on_cpu.push(embeddings, keys)
        on_gpu.push(embeddings.cuda(), keys.cuda())
        torch.testing.assert_close(on_gpu.embeddings.cpu(), on_cpu.embeddings)
        assert torch.equal(on_gpu.pointers.cpu(), on_cpu.pointers)
        assert torch.equal(on_gpu.counts.cpu(), on_cpu.counts)
        anchors = torch.randn(12, 16, generator=generator)
        similarities, mask = on_cpu.similarities(anchors, keys)
        gathered, gathered_mask = on_gpu.similarities(anchors.cuda(), keys.cuda())
        assert torch.equal(gathered_mask.cpu(), mask)
        torch.testing.assert_close(gathered.cpu()[mask], similarities[mask], rtol=1e-4, atol=1e-5)


def test_a_step_waits_for_nothing() -> None:
    """No copy to the host within a step: CUDA is told to refuse whatever waits."""
    method, batch = small_clad("batch").cuda(), made_batch().to("cuda")
    optimizer = create_optimizer(method, name="sgd")
    steps = train(method, [batch] * 3, optimizer, precision="bf16")
    next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_batch_is_learnt_in_every_precision(precision: Precision) -> None:
    torch.manual_seed(0)
    method, batch = small_clad("batch").cuda(), made_batch().to("cuda")
    optimizer = create_optimizer(method, lr=1e-2)
    logs = [float(terms["cross_entropy"]) for terms in train(method, [batch] * 40, optimizer, precision=precision)]
    assert logs[-1] < logs[0] / 2


def test_methods_keep_to_the_contract_on_a_gpu() -> None:
    check_method(lambda: small_clad().cuda(), made_batch().to("cuda"), num_classes=CLASSES, lr=1e-2)


def test_a_resumed_fp16_run_is_bit_identical(tmp_path: Path) -> None:
    def parts(seed: int) -> tuple[Any, ...]:
        torch.manual_seed(seed)
        method = small_clad().cuda()
        optimizer = create_optimizer(method)
        return method, optimizer, create_scheduler(optimizer, steps=6), torch.amp.GradScaler("cuda")

    batches = [made_batch(seed=step).to("cuda") for step in range(6)]
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        unbroken, optimizer, scheduler, scaler = parts(0)
        list(train(unbroken, batches, optimizer, scheduler=scheduler, scaler=scaler, precision="fp16"))
        first, optimizer, scheduler, scaler = parts(0)
        list(train(first, batches[:3], optimizer, scheduler=scheduler, scaler=scaler, precision="fp16"))
        save_checkpoint(
            tmp_path / "c.pt", first, step=3, about={}, optimizer=optimizer, scheduler=scheduler, scaler=scaler
        )
        resumed, optimizer, scheduler, scaler = parts(1)
        restore_training(resumed, load_checkpoint(tmp_path / "c.pt"), optimizer, scheduler, scaler)
        list(train(resumed, batches[3:], optimizer, scheduler=scheduler, scaler=scaler, precision="fp16"))
    finally:
        torch.use_deterministic_algorithms(False)
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def process(place: int, folder: str) -> None:
    torch.cuda.set_device(place)
    dist.init_process_group("cuda:nccl,cpu:gloo", init_method=f"file://{folder}/meeting", rank=place, world_size=2)
    try:
        torch.save(steps_of_clad(), Path(folder, f"{place}.pt"))
        assert gather(torch.full((1,), place, device="cuda")).tolist() == [0, 1]
    finally:
        dist.destroy_process_group()


def steps_of_clad() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    method = small_clad().cuda()
    batches = [made_batch(seed=step) for step in range(4)]
    share = slice(rank() * 8 // world_size(), (rank() + 1) * 8 // world_size())
    names = ("images", "targets", "indices", "composites", "background_targets")
    mine = [Batch(**{name: getattr(batch, name)[share] for name in names}).to("cuda") for batch in batches]
    list(train(method, mine, torch.optim.SGD(method.parameters(), lr=0.1)))
    return {name: tensor.cpu() for name, tensor in method.state_dict().items()}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_processes_on_nccl_equal_one(tmp_path: Path) -> None:
    spawn(process, (str(tmp_path),), nprocs=2)
    alone = steps_of_clad()
    for place in range(2):
        for name, tensor in torch.load(tmp_path / f"{place}.pt").items():
            torch.testing.assert_close(tensor, alone[name], rtol=1e-4, atol=1e-4, msg=name)


def test_patch_negatives_are_those_of_the_cpu_and_wait_for_nothing() -> None:
    images = torch.rand(8, 3, 64, 48)
    expected = patch_negatives(images, generator=torch.Generator().manual_seed(0))
    found = patch_negatives(images.cuda(), generator=torch.Generator().manual_seed(0))
    assert torch.equal(expected, found.cpu())
    images, generator = images.cuda(), torch.Generator("cuda").manual_seed(0)
    patch_negatives(images, generator=generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        patch_negatives(images, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
