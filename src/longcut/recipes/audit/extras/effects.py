"""All suites beyond the core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from longcut.evaluation.audit.result import Effect, NotRun
from longcut.recipes.audit.effects import Scored
from longcut.recipes.audit.extras.adversarial import adversarial_effect
from longcut.recipes.audit.extras.conflicts import conflict_effect
from longcut.recipes.audit.extras.corrupted import corruption_effect
from longcut.recipes.audit.extras.texture_only import texture_effect
from longcut.recipes.audit.preparing import AuditOptions, Prepared, Say
from longcut.recipes.audit.scores import Scorer


def extra_effects(
    prepared: Prepared,
    scorer: Scorer,
    scored: Scored,
    options: AuditOptions,
    conflicts: Path | None = None,
    *,
    say: Say = lambda line: None,
) -> tuple[list[Effect], list[NotRun]]:
    """Effects of the suites beyond the core that are among `options.suites`, and which of them could not run.

    Args:
        prepared: what the audit works on.
        scorer: that ran the core's passes; what is done is kept beside theirs.
        scored: the unchanged images' scores, and the classes that count as right.
        options: of the audit.
        conflicts: folder of cue-conflict stimuli.
        say: is told, in lines, what a person wants to know.

    Raises:
        ValueError: `conflicts` holds no stimuli, or one cannot be read.
    """
    measures: dict[str, Callable[[], Effect | NotRun]] = {
        "adversarial": lambda: adversarial_effect(prepared, scorer, scored, options.seed),
        "textures": lambda: texture_effect(prepared, scorer, scored, options.seed),
        "corruptions": lambda: corruption_effect(prepared, scorer, scored, options.seed),
        "cue-conflict": lambda: conflict_effect(prepared, scorer, conflicts, options, say),
    }
    found = [measure() for suite, measure in measures.items() if suite in options.suites]
    effects = [each for each in found if isinstance(each, Effect)]
    return effects, [each for each in found if isinstance(each, NotRun)]
