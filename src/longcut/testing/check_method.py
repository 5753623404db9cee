"""The contract that every method meets, ours and strangers'."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from longcut.core import Batch, Method
from longcut.core.seeding import generator_states, generators_kept, seed_everything
from longcut.engine.checkpoint import load_checkpoint, restore_training, save_checkpoint
from longcut.engine.train import Precision, train

RESERVED = frozenset({"loss", "step", "lr"})
"""Names that a log line has of its own."""


class ContractError(AssertionError):
    """A method breaks the contract; the message names the method, the check and what was found."""


def check_method(
    make: Callable[[], Method],
    batch: Batch,
    *,
    num_classes: int,
    overfit_steps: int = 60,
    lr: float = 1e-3,
    without: Collection[str] = (),
) -> None:
    """Check that a method can be trained, evaluated, saved and resumed by everything here.

    The checks are the functions in `CHECKS`, by name. The global generators are left as they were found.

    Args:
        make: gives a new, randomly initialised method; called many times, so let the network be small.
        batch: at least four images of different classes, with every field in the method's `needs`; where the method
            accumulates, of even length.
        num_classes: columns of the logits.
        overfit_steps: updates after which the method must know the batch by heart.
        lr: learning rate (of Adam) that it is given for that.
        without: names of checks to leave out; say in the test why.

    Raises:
        ContractError: the first check that fails.
        ValueError: `without` names a check that there is not.
    """
    unknown = sorted(set(without) - set(CHECKS))
    if unknown:
        raise ValueError(f"no check is called {', '.join(unknown)}: there are {', '.join(CHECKS)}")
    subject = _Subject(make, batch, num_classes, overfit_steps, lr)
    for name, check in CHECKS.items():
        if name in without:
            continue
        with generators_kept():
            try:
                check(subject)
            except AssertionError as error:
                raise ContractError(f"{subject.name} breaks the contract, {name}: {error}") from error


@dataclass(frozen=True)
class _Subject:
    make: Callable[[], Method]
    batch: Batch
    num_classes: int
    overfit_steps: int
    lr: float

    @property
    def name(self) -> str:
        return type(self.make()).__name__

    def fresh(self, seed: int = 0) -> Method:
        seed_everything(seed)
        return self.make()

    def steps(
        self, method: Method, count: int, *, optimizer: Optimizer | None = None, precision: Precision = "fp32"
    ) -> Iterator[dict[str, Tensor]]:
        optimizer = optimizer or torch.optim.Adam(method.parameter_groups(self.lr), lr=self.lr)
        return train(method, [self.batch] * count, optimizer, precision=precision)


def needs_fields_that_batches_have(subject: _Subject) -> None:
    """`needs` names optional fields of `Batch`, and the batch given here has them."""
    method = subject.fresh()
    known = {field.name for field in fields(Batch)} - {"images", "targets", "indices"}
    unknown = sorted(method.needs - known)
    assert not unknown, f"needs {', '.join(unknown)}, which is no optional field of Batch ({', '.join(sorted(known))})"
    subject.batch.require(method.needs, "check_method")


def names_a_missing_field(subject: _Subject) -> None:
    """Without a field that it needs, a step raises a ValueError that names the field."""
    method = subject.fresh()
    for field in sorted(method.needs):
        missing: dict[str, Any] = {field: None}
        refusal = _refusal(method.training_step(replace(subject.batch, **missing)))
        assert refusal is not None, f"a batch without {field} is trained on; begin with batch.require(self.needs, ...)"
        assert field in refusal, f"the error does not name the missing {field}: {refusal}"


def log_adds_up(subject: _Subject) -> None:
    """Every term is a finite scalar with a name of its own, the same names at every step, and they sum to the loss."""
    method = subject.fresh()
    names: list[list[str]] = []
    for terms in method.training_step(subject.batch):
        taken = RESERVED & set(terms)
        assert not taken, f"a term is called {', '.join(sorted(taken))}, which a log line has of its own"
        wrong = {name: tuple(term.shape) for name, term in terms.items() if term.shape != ()}
        assert not wrong, f"terms must be scalars: {wrong}"
        names.append(list(terms))
    assert names, "training_step yields nothing"
    flat = [name for terms in names for name in terms]
    assert len(flat) == len(set(flat)), f"two yields have a term of the same name, and the log keeps one: {flat}"
    for step, logs in enumerate(subject.steps(method, 3), 1):
        values = {name: float(term) for name, term in logs.items() if name != "loss"}
        assert sorted(values) == sorted(flat), f"step {step} has the terms {sorted(values)}, the first {sorted(flat)}"
        assert all(map(math.isfinite, values.values())), f"terms are not finite at step {step}: {values}"
        total, loss = sum(values.values()), float(logs["loss"])
        assert math.isclose(total, loss, rel_tol=1e-5, abs_tol=1e-6), f"terms sum to {total}, and loss is {loss}"


def evaluation_is_pure(subject: _Subject) -> None:
    """In evaluation mode, features and logits depend on the image alone, and nothing changes."""
    method = subject.fresh()
    list(subject.steps(method, 2))
    method.eval()
    images, state, generators = subject.batch.images, _state(method), generator_states()["cpu"]
    with torch.no_grad():
        features, again, logits = method.encode(images), method.encode(images), method(images)
        assert features.ndim == 2, f"encode gives {tuple(features.shape)}, not [b, d]"
        expected = (len(images), subject.num_classes)
        assert logits.shape == expected, f"forward gives {tuple(logits.shape)}, not {expected}"
        assert torch.equal(features, again), "encode gives two answers for the same images"
        assert torch.equal(logits, method.classify(features)), "forward is not classify(encode(images))"
        alone = method.encode(images[:1])
    assert torch.allclose(alone, features[:1], rtol=1e-3, atol=1e-4), "an image's features depend on its neighbours"
    changed = _differences(state, _state(method))
    assert not changed, f"evaluation changes {changed[0]}"
    assert torch.equal(generators, generator_states()["cpu"]), "evaluation draws from torch's generator"


def every_parameter_moves(subject: _Subject) -> None:
    """A few updates move every parameter that wants a gradient."""
    method = subject.fresh()
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    list(subject.steps(method, 3))
    for name, parameter in method.named_parameters():
        moved = not torch.equal(before[name], parameter)
        assert moved or not parameter.requires_grad, f"{name} never moves: use it, or set requires_grad to False"


def overfits_one_batch(subject: _Subject) -> None:
    """After some updates on one batch, its cross-entropy is well below that of a guess."""
    method = subject.fresh()
    list(subject.steps(method, subject.overfit_steps))
    method.eval()
    with torch.no_grad():
        found = float(functional.cross_entropy(method(subject.batch.images).float(), subject.batch.targets))
    guess = math.log(subject.num_classes)
    assert found < guess / 2, (
        f"cross-entropy is {found:.3f} after {subject.overfit_steps} updates; a guess has {guess:.3f}"
    )


def state_dict_is_all_state(subject: _Subject) -> None:
    """Another instance with the same `state_dict` goes on in the same way."""
    method, other = subject.fresh(0), subject.fresh(1)
    list(subject.steps(method, 3))
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    for each in (method, other):
        seed_everything(2)
        list(subject.steps(each, 1, optimizer=torch.optim.SGD(each.parameter_groups(subject.lr), lr=subject.lr)))
    changed = _differences(_state(method), _state(other))
    assert not changed, f"state outside parameters and persistent buffers: after one more step {changed[0]} differs"


def resumes_bit_identically(subject: _Subject) -> None:
    """Two steps, a checkpoint and two more, in another instance, equal four steps: losses and state, bit for bit."""
    unbroken = subject.fresh()
    optimizer, scheduler = _optimizer(subject, unbroken)
    expected = list(train(unbroken, [subject.batch] * 4, optimizer, scheduler=scheduler))
    first = subject.fresh()
    optimizer, scheduler = _optimizer(subject, first)
    found = list(train(first, [subject.batch] * 2, optimizer, scheduler=scheduler))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        save_checkpoint(path, first, step=2, about={}, optimizer=optimizer, scheduler=scheduler)
        resumed = subject.fresh(1)
        optimizer, scheduler = _optimizer(subject, resumed)
        restore_training(resumed, load_checkpoint(path), optimizer, scheduler, None)
    found += train(resumed, [subject.batch] * 2, optimizer, scheduler=scheduler)
    for step, (a, b) in enumerate(zip(expected, found, strict=True), 1):
        different = [name for name in a if not torch.equal(a[name], b[name])]
        assert not different, (
            f"{different[0]} of step {step} is {float(b[different[0]])}, unbroken {float(a[different[0]])}"
        )
    changed = _differences(_state(unbroken), _state(resumed))
    assert not changed, f"{changed[0]} differs after the run was resumed"


def trains_in_bf16(subject: _Subject) -> None:
    """Under bf16 autocast, terms and state stay finite."""
    method = subject.fresh()
    for logs in subject.steps(method, 2, precision="bf16"):
        wrong = [name for name, term in logs.items() if not bool(term.isfinite())]
        assert not wrong, f"{wrong[0]} is not finite under bf16 autocast"
    wrong = [name for name, tensor in method.state_dict().items() if not bool(tensor.isfinite().all())]
    assert not wrong, f"{wrong[0]} is not finite after training under bf16 autocast"


def accumulates_as_declared(subject: _Subject) -> None:
    """Two half batches give the step of the whole where `accumulates` says so, and are refused elsewhere.

    Not compared with BatchNorm, whose statistics are those of each half.
    """
    method = subject.fresh()
    halves = _halves(subject.batch)
    step = train(method, halves, _sgd(method), accumulate=2)
    if not method.accumulates:
        assert _refusal(step) is not None, "accumulation is not refused"
        return
    next(step)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in method.modules()):
        return
    whole = subject.fresh()
    list(train(whole, [subject.batch], _sgd(whole)))
    for (name, one), two in zip(whole.named_parameters(), method.parameters(), strict=True):
        distance = float((one - two).detach().abs().max())
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-5), f"{name} is {distance:.2g} away from one batch's"


CHECKS: dict[str, Callable[[_Subject], None]] = {
    check.__name__: check
    for check in (
        needs_fields_that_batches_have,
        names_a_missing_field,
        log_adds_up,
        evaluation_is_pure,
        every_parameter_moves,
        overfits_one_batch,
        state_dict_is_all_state,
        resumes_bit_identically,
        trains_in_bf16,
        accumulates_as_declared,
    )
}
"""The checks by name, in the order in which `check_method` makes them."""


def _optimizer(subject: _Subject, method: Method) -> tuple[Optimizer, LambdaLR]:
    optimizer = torch.optim.AdamW(method.parameter_groups(subject.lr), lr=subject.lr)
    return optimizer, LambdaLR(optimizer, lambda step: 1 / (1 + step))


def _sgd(method: Method) -> Optimizer:
    return torch.optim.SGD(method.parameter_groups(0.1), lr=0.1)


def _refusal(steps: Iterator[Any]) -> str | None:
    """What the ValueError says that the first step raises; None where it raises none."""
    try:
        next(steps)
    except ValueError as error:
        return str(error)
    return None


def _halves(batch: Batch) -> list[Batch]:
    def part(start: int, stop: int) -> Batch:
        tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
        cut: dict[str, Any] = {name: None if t is None else t[start:stop] for name, t in tensors.items()}
        return Batch(**cut)

    middle = len(batch) // 2
    return [part(0, middle), part(middle, len(batch))]


def _state(method: Method) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in method.state_dict().items()}


def _differences(one: dict[str, Tensor], two: dict[str, Tensor]) -> list[str]:
    return [name for name in one if not torch.equal(one[name], two[name])]
