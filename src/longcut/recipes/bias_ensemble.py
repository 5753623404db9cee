"""Biased models, and the samples that they tell apart.

Lee, Park, Kim, Lee, Choi and Choo, "Revisiting the importance of amplifying bias for debiasing" (AAAI 2023), called
BiasEnsemble; its candidates are those of Park et al. (CVPR 2024), section 3.1.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from longcut.core import Method
from longcut.core.distributed import rank, world_size
from longcut.core.seeding import generators_kept, seed_everything
from longcut.data.batches import BiasedSets, EvaluationData, TrainingData
from longcut.data.cache import locked
from longcut.data.layouts.samples import counted
from longcut.data.loader import BatchLoader
from longcut.data.order import Order, evaluation_keys
from longcut.data.store import Store
from longcut.data.telling import GO_ON
from longcut.engine.build import build_biased_classifier, build_normalisation
from longcut.engine.launch import Stopper, find_precision
from longcut.engine.logs import ProgressLine
from longcut.engine.optimizers import create_optimizer
from longcut.engine.settings import Settings
from longcut.engine.train import train
from longcut.evaluation.collect import collect
from longcut.recipes.array_files import write_arrays
from longcut.recipes.watching import Watch

Say = Callable[[str], None]
_SECTIONS = ("data", "augmentation", "backbone", "ensemble", "optimizer")
_BATCH = 256
_WATCHED = 100  # steps between two looks at the losses, for which the device is waited for


@dataclass(frozen=True)
class Votes:
    """What `m` biased models say of every training sample."""

    confidence: NDArray[np.float32]
    """`[m, s]` probability of its own class."""
    correct: NDArray[np.bool_]
    """`[m, s]` whether that class has the largest."""

    def sets(self, *, confidence: float, agreement: int) -> BiasedSets:
        """Samples of which at least `agreement` models are sure, and those that most models get wrong."""
        amplified = (self.confidence > confidence).sum(axis=0) >= agreement
        candidates = (~self.correct).sum(axis=0) * 2 > len(self.correct)
        return BiasedSets(amplified, candidates)


@dataclass(frozen=True)
class BiasEnsemble:
    """Trains the biased models of a run, or finds them trained.

    Attributes:
        settings: of the run; the models have its data, backbone, optimizer and batch size, and a constant rate.
        data: augmented batches to train on.
        store: the same images, for the models to judge as evaluation sees them.
        folder: keeps a file for each model, so that an interrupted ensemble goes on and others may share it.
        device: where they are trained.
        say: is told what is trained.
    """

    settings: Settings
    data: TrainingData
    store: Store
    folder: Path
    device: torch.device
    say: Say

    def sets(self, read: Collection[str] = ("amplified", "candidates")) -> BiasedSets | None:
        """The bias-amplified set and the candidates; None where it was asked to stop.

        Where no sample is in the amplified set, all of them are, and it says so. The global generators are left as
        they were: a run is the same whether it trained its models or found them.

        Args:
            read: which of the two the method reads, as a person is told of no other that it is empty.

        Raises:
            ValueError: the loss or a weight of a model is no finite number.
        """
        chosen = self.settings.ensemble
        with self._alone(), generators_kept():
            votes = self._votes(chosen.models)
        if votes is None:
            return None
        sets = votes.sets(confidence=chosen.confidence, agreement=chosen.agreement)
        amplified, candidates = int(sets.amplified.sum()), int(sets.candidates.sum())
        self.say(f"biased models: {amplified} of {len(self.store)} samples amplified, {candidates} candidates")
        if not candidates and "candidates" in read:
            self.say("no sample is a candidate: most biased models know every one; what reads candidates rests")
        if amplified:
            return sets
        if "amplified" in read:
            self.say("the bias-amplified set is empty: the biased network learns from every sample; lower "
                     "ensemble.confidence or raise ensemble.model_steps to have one")  # fmt: skip
        return BiasedSets(np.ones_like(sets.amplified), sets.candidates)

    def _alone(self) -> AbstractContextManager[None]:
        """Runs that share the folder wait for the one that fills it."""
        return locked(self.folder) if rank() == 0 else nullcontext()

    def _votes(self, count: int) -> Votes | None:
        columns, missing = [], sum(not self._file(place).is_file() for place in range(count))
        if missing:
            steps = self.settings.ensemble.model_steps
            self.say(f"first {counted(missing, 'biased model')} of {steps} steps, to tell the samples apart")
        for place in range(count):
            found = self._load(place) or self._train(place)
            if found is None:
                self.say(f"stopped at biased model {place + 1} of {count}; {GO_ON}")
                return None
            columns.append(found)
        confidence, correct = zip(*columns, strict=True)
        return Votes(np.stack(confidence), np.stack(correct))

    def _load(self, place: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """A model's votes as the first process finds them, on every process."""
        found: list[Any] = [None]
        if rank() == 0 and (file := self._file(place)).is_file():
            try:
                with file.open("rb") as opened, np.load(opened) as arrays:
                    found = [(arrays["confidence"], arrays["correct"])]
            except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
                raise ValueError(f"{file} is broken ({error}): remove it, and its model is trained again") from None
        if world_size() > 1:
            dist.broadcast_object_list(found, 0)
        votes: tuple[NDArray[Any], NDArray[Any]] | None = found[0]
        return votes

    def _train(self, place: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Train a model and keep its votes; None where it was asked to stop."""
        settings, run = self.settings, self.settings.run
        seed = int(np.random.SeedSequence([run.seed, place]).generate_state(1)[0])
        seed_everything(seed)
        model = build_biased_classifier(settings, len(self.store.images.classes)).to(self.device)
        optimizer = create_optimizer(model, **dict(settings.optimizer))
        order = Order(len(self.store), run.batch_size, seed, 1, rank(), world_size())
        steps = settings.ensemble.model_steps
        loader = BatchLoader(
            self.data,
            order.keys(0, steps),
            normalisation=build_normalisation(settings),
            device=self.device,
            workers=settings.data.workers,
        )
        precision = find_precision(run.precision, self.device)
        logs = train(model, loader, optimizer, precision=precision)
        label = self._name(place)
        watch = Watch(model, order, self.store.images, None, precision=precision, whose=label)
        with Stopper() as stopper, ProgressLine(0, steps, label, silent=rank() != 0) as progress:
            for step, terms in enumerate(logs, 1):
                watch.add(terms["loss"])
                if step % _WATCHED == 0:
                    watch.check_losses(step)
                progress.advance(step, order.images_per_step, None)
                if stopper.asked():
                    return None
            watch.check(steps)
        return self._judge(model, place)

    def _judge(self, model: Method, place: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """What a model says of every sample, in evaluation mode and without augmentation."""
        loader = BatchLoader(
            EvaluationData(self.store, self.settings.data.image_size),
            evaluation_keys(len(self.store), _BATCH),
            normalisation=build_normalisation(self.settings),
            device=self.device,
        )
        predictions = collect(model.eval(), loader, self.store.images, whose=self._name(place))
        logits, targets = predictions.logits.astype(np.float64), predictions.targets
        logits -= logits.max(axis=1, keepdims=True)
        own = np.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
        votes = np.exp(own - np.log(np.exp(logits).sum(axis=1))).astype(np.float32), predictions.correct
        if rank() == 0:
            write_arrays(self._file(place), confidence=votes[0], correct=votes[1])
        return self._load(place) or votes

    def _name(self, place: int) -> str:
        return f"biased model {place + 1} of {self.settings.ensemble.models}"

    def _file(self, place: int) -> Path:
        return self.folder / f"model-{place}.npz"


def ensemble_folder(settings: Settings, store: Store, shared: Path) -> Path:
    """Where an ensemble lies among others: runs with equal settings on equal images share it."""
    table = settings.to_dict()
    about = {name: table[name] for name in _SECTIONS}
    about |= {name: table["run"].get(name) for name in ("seed", "batch_size", "precision")}
    text = json.dumps([about, store.digest], sort_keys=True)
    return shared / hashlib.sha256(text.encode()).hexdigest()[:16]
