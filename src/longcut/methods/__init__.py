"""The methods, by the names that the command line and the presets use."""

from longcut.core import Method
from longcut.methods.byol import BYOL
from longcut.methods.clad import CLAD
from longcut.methods.cmc import CMC
from longcut.methods.erm import ERM
from longcut.methods.insdis import InsDis
from longcut.methods.moco import MoCo
from longcut.methods.simclr import SimCLR
from longcut.methods.supcon import SupCon

METHODS: dict[str, type[Method]] = {
    "byol": BYOL,
    "clad": CLAD,
    "cmc": CMC,
    "erm": ERM,
    "insdis": InsDis,
    "moco": MoCo,
    "simclr": SimCLR,
    "supcon": SupCon,
}

__all__ = ["BYOL", "CLAD", "CMC", "ERM", "METHODS", "InsDis", "MoCo", "SimCLR", "SupCon"]
