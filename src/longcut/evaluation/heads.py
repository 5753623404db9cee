"""What can classify an encoder's features, and where it is kept in the folder of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Head = Literal["own", "linear", "dfr"]
"""The model's own last layer; or one that was fitted on its frozen features, a key of `KEPT`."""
OWN: Head = "own"


@dataclass(frozen=True)
class Kept:
    """A last layer that was fitted on frozen features.

    Attributes:
        file: in the run's folder.
        title: what it is called.
        command: that fits it.
    """

    file: str
    title: str
    command: str


KEPT = {
    "linear": Kept("linear_head.npz", "linear probe", "longcut probe"),
    "dfr": Kept("dfr_head.npz", "last layer retrained by DFR", "longcut dfr"),
}


def check_head(head: str) -> None:
    """Refuse what is no head.

    Raises:
        ValueError: it is none.
    """
    if head not in (OWN, *KEPT):
        raise ValueError(f"--head {head}: there are {', '.join((OWN, *KEPT))}")


def measure_of(metric: str) -> str:
    """The measure that a metric of results is of, through whatever head: `accuracy` of `linear_accuracy`."""
    kind = next((kind for kind in KEPT if metric.startswith(f"{kind}_")), None)
    return metric if kind is None else metric.removeprefix(f"{kind}_")


def kind_of(head: str) -> str:
    """The kind of a head that results name, which may end in its hash: `linear` of `linear:3f1c9a0b`."""
    return head.partition(":")[0]
