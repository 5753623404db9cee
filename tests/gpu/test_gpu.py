"""What only a GPU can show."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from longcut.backbones import SmallConvNet
from longcut.core import Batch, Method
from longcut.core.distributed import gather, rank, world_size
from longcut.engine import train
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.engine.train import Precision
from longcut.methods import CLAD, METHODS
from longcut.negatives import draw_backgrounds, patch_negatives
from longcut.queues import BiasNegatives, ClassQueue, SampleLoss
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
    with waiting_refused():
        next(steps)


@contextmanager
def waiting_refused() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


FACTS: dict[str, Any] = {
    "num_classes": CLASSES,
    "num_samples": 100,
    "num_steps": 10,
    "num_bias": 2,
    "class_counts": [44] * CLASSES,
    "group_counts": [[40, 4]] * CLASSES,
}
DEBIASING: dict[str, dict[str, Any]] = {
    "lff": {},
    "disent": {"swap_start": 0},
    "intrinsic": {"reference_step": 0, "guidance_step": 0},
    "group_dro": {},
    "end": {},
    "rebias": {},
}


def debiasing_method(name: str) -> Method:
    signature = inspect.signature(METHODS[name]).parameters
    nets = [SmallConvNet((8, 16, 16), (2, 2, 2)) for p in signature.values() if p.kind is not p.KEYWORD_ONLY]
    return METHODS[name](*nets, **{fact: FACTS[fact] for fact in FACTS if fact in signature}, **DEBIASING[name])


def biased_batch(seed: int = 0) -> Batch:
    batch, aligned = made_batch(seed=seed), torch.arange(8) % 4 != 3
    return replace(batch, bias=(~aligned).long(), amplified=aligned, candidates=~aligned)


@pytest.mark.parametrize("name", DEBIASING)
def test_a_debiasing_step_waits_for_nothing(name: str) -> None:
    """Nor do the tables that it keeps of all samples; partners are on the GPU already."""
    method, batch = debiasing_method(name).cuda(), biased_batch().to("cuda")
    images = torch.randn(FACTS["num_samples"], 3, 16, 16, device="cuda")
    method.fetch = lambda indices, step: images[indices]
    steps = train(method, [batch] * 3, create_optimizer(method, name="sgd"), precision="bf16")
    next(steps)
    with waiting_refused():
        next(steps)


@pytest.mark.parametrize("name", DEBIASING)
def test_debiasing_methods_keep_to_the_contract_on_a_gpu(name: str) -> None:
    images = torch.randn(FACTS["num_samples"], 3, 16, 16, device="cuda")

    def make() -> Method:
        method = debiasing_method(name).cuda()
        method.fetch = lambda indices, step: images[indices]
        return method

    check_method(make, biased_batch().to("cuda"), num_classes=CLASSES, lr=1e-2)


def test_what_is_kept_of_samples_is_the_same_on_both_devices() -> None:
    generator = torch.Generator().manual_seed(0)
    averages, negatives = SampleLoss(100, CLASSES), BiasNegatives(100, CLASSES)
    on_gpu = copy.deepcopy(averages).cuda(), copy.deepcopy(negatives).cuda()
    for step in range(20):
        indices = torch.randint(100, (24,), generator=generator)
        losses, uniforms = torch.rand(2, 24, generator=generator)
        batch = losses + step, indices, indices % CLASSES
        averages.push(*batch)
        negatives.update(*batch, indices % 2 == 0, referenced=step > 5)
        moved = [each.cuda() for each in batch]
        on_gpu[0].push(*moved)
        on_gpu[1].update(*moved, (indices % 2 == 0).cuda(), referenced=step > 5)
        torch.testing.assert_close(on_gpu[0].class_maxima().cpu(), averages.class_maxima())
        shares = on_gpu[0].normalised(*moved[1:])
        torch.testing.assert_close(shares.cpu(), averages.normalised(*batch[1:]))
        drawn, found = on_gpu[1].sample(moved[2], uniforms.cuda())
        expected, there = negatives.sample(batch[2], uniforms)
        assert torch.equal(found.cpu(), there)
        assert torch.equal(drawn.cpu()[there], expected[there])
    assert there.all()


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


def test_backgrounds_are_drawn_with_a_generator_of_the_gpu() -> None:
    targets = torch.tensor([0, 1, 2, 0], device="cuda")
    drawn = draw_backgrounds(targets, targets, generator=torch.Generator("cuda").manual_seed(0))
    assert drawn.device == targets.device
    assert (targets[drawn] != targets).all()


def test_patch_negatives_are_those_of_the_cpu_and_wait_for_nothing() -> None:
    images = torch.rand(8, 3, 64, 48)
    expected = patch_negatives(images, generator=torch.Generator().manual_seed(0))
    found = patch_negatives(images.cuda(), generator=torch.Generator().manual_seed(0))
    assert torch.equal(expected, found.cpu())
    images, generator = images.cuda(), torch.Generator("cuda").manual_seed(0)
    patch_negatives(images, generator=generator)
    with waiting_refused():
        patch_negatives(images, generator=generator)
