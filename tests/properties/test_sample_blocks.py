"""Tables of more samples than a block: maxima are those of the whole table, of one network or of several at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longcut.queues.bias_negatives import BiasNegatives
from longcut.queues.sample_loss import SampleLoss, last_of_each

SAMPLES = 83  # blocks of 16 leave a last one that is not full


def pushed(averages: SampleLoss, batches: list[tuple[Tensor, Tensor]]) -> SampleLoss:
    for losses, indices in batches:
        averages.push(losses, indices, indices * 7 % averages.num_classes)
    return averages


def made_batches(shape: tuple[int, ...] = ()) -> list[tuple[Tensor, Tensor]]:
    """Batches with samples that occur twice, whose losses rise and then fall."""
    generator = torch.Generator().manual_seed(0)
    scales = (1.0, 5.0, 2.0, 0.1, 0.0, 0.0)
    indices = [torch.randint(SAMPLES, (40,), generator=generator) for _ in scales]
    losses = [scale * torch.rand(*shape, 40, generator=generator) for scale in scales]
    return list(zip(losses, indices, strict=True))


def maxima_by_loop(averages: SampleLoss, table: Tensor) -> list[float]:
    found = [0.0] * averages.num_classes
    for value, target in zip(table.tolist(), averages.targets.tolist(), strict=True):
        found[max(target, 0)] = max(found[max(target, 0)], value)
    return found


@pytest.mark.parametrize("num_classes", [1, 3, 40])
def test_maxima_come_down_in_every_block(num_classes: int) -> None:
    averages = SampleLoss(SAMPLES, num_classes)
    for batch in made_batches():
        pushed(averages, [batch])
        assert averages.class_maxima().tolist() == maxima_by_loop(averages, averages.losses)


def test_several_networks_at_once_equal_each_alone() -> None:
    batches = made_batches((2,))
    both = pushed(SampleLoss(SAMPLES, 3, shape=(2,)), batches)
    indices = torch.arange(SAMPLES)
    shares = both.normalised(indices, indices * 7 % 3)
    for network in range(2):
        alone = pushed(SampleLoss(SAMPLES, 3), [(losses[network], rows) for losses, rows in batches])
        assert torch.equal(both.losses[network], alone.losses)
        assert torch.equal(both.class_maxima()[network], alone.class_maxima())
        assert torch.equal(shares[network], alone.normalised(indices, indices * 7 % 3))


def test_maxima_come_back_with_a_checkpoint() -> None:
    averages, other = pushed(SampleLoss(SAMPLES, 3), made_batches()), SampleLoss(SAMPLES, 3)
    other.load_state_dict(averages.state_dict())
    assert averages.class_maxima().min() > 0
    assert torch.equal(other.class_maxima(), averages.class_maxima())


def test_the_last_of_each_is_found() -> None:
    indices = torch.tensor([4, 0, 4, 82, 0, 4])
    assert last_of_each(indices, SAMPLES).tolist() == [5, 4, 5, 3, 4, 5]


@pytest.mark.parametrize("num_classes", [255, 256])
def test_partners_are_found_at_the_ends_of_short_numbers(num_classes: int) -> None:
    negatives = BiasNegatives(4, num_classes)
    indices, targets = torch.arange(4), torch.tensor([0, num_classes - 1, num_classes - 2, 7])
    for step in range(3):
        candidates = torch.tensor([True, True, True, False])
        negatives.update(torch.full((4,), 1.0 + step), indices, targets, candidates, step > 0)
    found, there = negatives.sample(targets, torch.rand(4))
    assert there.tolist() == [True, True, True, False]
    assert found[:3].tolist() == [0, 1, 2]
