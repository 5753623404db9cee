"""`longcut.audit`: the audit of a model in memory, with its page."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from longcut.evaluation.audit.result import AuditResult
from longcut.evaluation.heads import OWN, Head
from longcut.report.audit.page import FILE, write_audit_page
from longcut.report.audit.summary import format_audit

Triple = tuple[float, float, float]


class Audit(AuditResult):
    """What an audit found; printed, it is the table that the command prints.

    Attributes:
        folder: of `audit.html`, `audit.json`, the scores and the pictures.
    """

    folder: Path

    def __str__(self) -> str:
        return format_audit(self)

    def _repr_markdown_(self) -> str:
        return format_audit(self, "markdown")

    @property
    def page(self) -> Path:
        """The page, one file that needs no other."""
        return self.folder / FILE


def audit(
    model: Any,
    images: Any,
    targets: Any = None,
    *,
    masks: Any = None,
    bias: Any = None,
    split: str | None = None,
    suites: str | Sequence[str] = "core",
    classes: Sequence[str] | None = None,
    head: Head = OWN,
    out: str | Path | None = None,
    image_size: int | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Audit:
    """Find where a model cheats: every shortcut with its size.

    ```python
    import longcut

    found = longcut.audit(network, images, targets, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), out="audit")
    print(found)  # the verdict and every effect; audit/audit.html is the page
    print([shortcut.cue for shortcut in found.named])
    ```

    Args:
        model: a `torch.nn.Module` or a function from normalised images `[b, 3, h, w]` to scores `[b, n]`; a name as
            the command takes it, such as `timm:resnet18` or `run:DIR`; or what
            `longcut.recipes.models.open_model` opens. A module is in evaluation mode meanwhile.
        images: a folder, in class folders or not; a list of files; uint8 `[s, h, w, 3]`, or floats `[s, 3, h, w]` of 0
            to 1 that are not normalised yet, of numpy or torch.
        targets: `[s]` numbers of the model's classes, or their names. A folder says them itself; of one whose layout
            has several, such as CelebA, this is the name of the column. Without any, it is measured how often
            predictions move.
        masks: foreground masks: a folder, a tree like the images'; for arrays `[s, h, w]`; or a list of files. Where
            None they are made with GrabCut.
        bias: `[s]` numbers or names of a spurious attribute, for accuracy by groups; -1 or "" where it is not known. A
            number goes with the class of that number, a name with the class of that name, where there are no more of
            them than classes. For a folder the name of a column, likewise.
        split: of a folder; where None `test`, else `val` or `train`.
        suites: `core`, `all`, or names of suites.
        classes: names of the model's classes, in the order of its scores.
        head: of a run: its `own`, or the `linear` probe or the last layer of `dfr` that its folder holds.
        out: folder of the page, the numbers and the pictures; what was done there is not done again. Where None, one
            that goes when the result goes.
        image_size: side of the square that the model sees; where None and the model does not say it, that of the
            images in an array, or 224. Likewise
        mean: what is subtracted from each channel, and
        std: what it is divided by then; ImageNet's.
        limit: at most so many images, drawn at random.
        seed: of which image lends to which.

    Raises:
        ValueError: something of that is none, or does not go with the rest.
        NotFiniteError: some answers name no class; see `longcut.evaluation.finite.check_answers`.
    """
    from longcut.recipes.audit.changes import suites_of
    from longcut.recipes.audit.given import audit_given
    from longcut.recipes.audit.preparing import AuditOptions
    from longcut.recipes.opening.model import ModelOptions

    names = suites_of(suites if isinstance(suites, str) else ",".join(suites))
    folder = Path(tempfile.mkdtemp(prefix="longcut-") if out is None else out)
    options = AuditOptions(suites=names, limit=limit, seed=seed, cache=folder / "cache" if out is None else None)
    try:
        found = audit_given(
            model,
            images,
            targets,
            folder,
            options,
            masks=masks,
            bias=bias,
            classes=classes,
            split=split,
            said=ModelOptions(head=head, image_size=image_size, mean=mean, std=std),
        )
        result = Audit(**{field.name: getattr(found, field.name) for field in fields(found)})
        result.folder = folder
        write_audit_page(folder)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
    return result
