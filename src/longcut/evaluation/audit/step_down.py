"""Which cues a model takes: the strongest is named, and the others are measured again with it made alike.

A model that looks at one cue falls for every swap that carries that cue along. So the strongest significant cue is
named first. Then each other significant cue is measured once more with what was named made alike in all images (its
neutral form): what vanishes was the named cue all along; the strongest of what is left is named next; and so on.

What measures is outside: `StepDown.request` says what to measure next, and `StepDown.after` takes what came of it.

    state = StepDown.begin(differences, inside={"border": "background"})
    while state.request is not None:
        state = state.after(measure(state.request.cues, neutral=state.request.neutral))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from longcut.evaluation.audit.design_effect import design_effect
from longcut.evaluation.audit.intervals import Estimate, simultaneous_interval

Differences = Mapping[str, NDArray[np.float64]]
"""Of each cue, `[s]` the score with the cue of the same class less that with another class's; nan where unusable."""
LEAST = 0.02


@dataclass(frozen=True)
class Finding:
    """What is known of a cue.

    Attributes:
        cue: its name.
        estimate: of its swap, with an interval that holds together with those of all cues tested.
        significant: whether the interval lies above 0 and the effect is large enough to count.
        named: whether the model is said to take it.
        explained_by: the named cue that leaves nothing of it, or that it is a part of.
        left: of its swap with the named cues alike, the last that was measured; None where none was.
    """

    cue: str
    estimate: Estimate
    significant: bool
    named: bool = False
    explained_by: str | None = None
    left: Estimate | None = None


@dataclass(frozen=True)
class Request:
    """What is to be measured next: the swaps of `cues`, with all of `neutral` made alike in all images."""

    cues: tuple[str, ...]
    neutral: tuple[str, ...]


@dataclass(frozen=True)
class StepDown:
    """How far the naming has come; a step gives a new one.

    Attributes:
        findings: by cue, of all that were tested.
        num_tests: how many cues the intervals hold together for.
        least: effects below it do not count.
        inside: a cue that lies inside another, by that other.
        carried: cues that swaps of all others carry along.
        lenders: `[s, 2]` positions of each image's donors, which make intervals wider; None leaves them out.
        named: cues in the order in which they were named.
        pending: the differences of significant cues that nothing is decided of, as they were last measured.
    """

    findings: Mapping[str, Finding]
    num_tests: int
    least: float
    inside: Mapping[str, str]
    carried: tuple[str, ...] = ()
    lenders: NDArray[np.int64] | None = None
    named: tuple[str, ...] = ()
    pending: Differences = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        differences: Differences,
        *,
        least: float = LEAST,
        inside: Mapping[str, str] | None = None,
        carried: tuple[str, ...] = (),
        lenders: NDArray[np.int64] | None = None,
    ) -> StepDown:
        """Test all cues, and name the strongest.

        Args:
            differences: of every cue's swap; a cue without a usable image is not tested, and has no finding.
            least: effects below it do not count, however sure they are.
            inside: a cue that lies inside another, by that other. Where both are significant, the inner one is named if
                it is significantly more than half of the outer one; else it is part of it.
            carried: cues that swaps of all others carry along, as every pasted part carries the JPEG quality of the
                file that it was cut from. Where one is significant it is named first, however large the others are.
            lenders: `[s, 2]` positions of each image's donors; see `longcut.evaluation.audit.design_effect`.

        Raises:
            ValueError: `least` is no share.
        """
        if not 0 <= least <= 1:
            raise ValueError(f"least is {least:g}: it is the smallest effect that counts, a share from 0 to 1")
        tested = {cue: values for cue, values in differences.items() if np.isfinite(values).any()}
        state = cls({}, len(tested), least, dict(inside or {}), carried, lenders)
        estimates = {cue: state._estimate(values) for cue, values in tested.items()}
        findings = {cue: Finding(cue, found, state.counts(found)) for cue, found in estimates.items()}
        pending = {cue: tested[cue] for cue, finding in findings.items() if finding.significant}
        return replace(state, findings=findings, pending=pending)._name_strongest()

    @property
    def request(self) -> Request | None:
        """What is to be measured next; None where everything is decided."""
        return Request(tuple(self.pending), self.named) if self.pending else None

    def after(self, differences: Differences) -> StepDown:
        """Go on with what was asked for.

        Args:
            differences: of each cue of the request.

        Raises:
            ValueError: nothing was asked for, or a cue of the request is not there.
        """
        if not self.pending:
            raise ValueError("everything is decided: no cue is to be measured again")
        for cue in self.pending:
            if not np.isfinite(differences.get(cue, np.empty(0))).any():
                raise ValueError(f"{cue} was to be measured again with {' and '.join(self.named)} alike, and was not")
        findings, pending = dict(self.findings), {}
        for cue in self.pending:
            left = self._estimate(differences[cue])
            findings[cue] = replace(findings[cue], left=left)
            if self.counts(left):
                pending[cue] = differences[cue]
            else:
                findings[cue] = replace(findings[cue], explained_by=self.named[-1])
        return replace(self, findings=findings, pending=pending)._name_strongest()

    def counts(self, estimate: Estimate) -> bool:
        """Whether an effect is sure and large enough to count."""
        return estimate.low > 0 and estimate.value >= self.least

    @property
    def ranked(self) -> tuple[Finding, ...]:
        """Findings: what was named, what that explains, and what is no shortcut; each from the largest effect."""
        return tuple(
            sorted(self.findings.values(), key=lambda f: (not f.named, f.explained_by is None, -f.estimate.value))
        )

    def _name_strongest(self) -> StepDown:
        if not self.pending:
            return self
        pool = [name for name in self.carried if name in self.pending] or self.pending
        cue = max(pool, key=lambda name: self._estimate(self.pending[name]).value)
        inner = next((name for name, outer in self.inside.items() if outer == cue and name in self.pending), None)
        part = None
        if inner is not None:
            cue, part = (inner, None) if self._is_most_of(inner, cue) else (cue, inner)
        findings = {**self.findings, cue: replace(self.findings[cue], named=True)}
        if part is not None:
            findings[part] = replace(findings[part], explained_by=cue)
        pending = {name: values for name, values in self.pending.items() if name not in (cue, part)}
        return replace(self, findings=findings, named=(*self.named, cue), pending=pending)

    def _is_most_of(self, inner: str, outer: str) -> bool:
        """Whether the inner cue's effect is sure to be more than half of the outer one's, on images that have both."""
        more = self.pending[inner] - self.pending[outer] / 2
        return bool(np.isfinite(more).any()) and self._estimate(more, bound=1.5).low > 0

    def _estimate(self, values: NDArray[np.float64], bound: float = 1.0) -> Estimate:
        design = 1.0 if self.lenders is None else design_effect(values, self.lenders)
        return simultaneous_interval(values[np.isfinite(values)], self.num_tests, bound=bound, design=design)
