"""The methods, by the names that the command line and the presets use."""

from longcut.core import Method
from longcut.methods.byol import BYOL
from longcut.methods.clad import CLAD
from longcut.methods.cmc import CMC
from longcut.methods.disent import DisEnt
from longcut.methods.end import EnD
from longcut.methods.erm import ERM
from longcut.methods.gce import GCE
from longcut.methods.group_dro import GroupDRO
from longcut.methods.hex import HEX
from longcut.methods.insdis import InsDis
from longcut.methods.intrinsic import Intrinsic
from longcut.methods.jtt import JTT
from longcut.methods.lff import LfF
from longcut.methods.lnl import LNL
from longcut.methods.moco import MoCo
from longcut.methods.rebias import ReBias
from longcut.methods.reweighting import Reweighting
from longcut.methods.simclr import SimCLR
from longcut.methods.supcon import SupCon

METHODS: dict[str, type[Method]] = {
    "byol": BYOL,
    "clad": CLAD,
    "cmc": CMC,
    "disent": DisEnt,
    "end": EnD,
    "erm": ERM,
    "gce": GCE,
    "group_dro": GroupDRO,
    "hex": HEX,
    "insdis": InsDis,
    "intrinsic": Intrinsic,
    "jtt": JTT,
    "lff": LfF,
    "lnl": LNL,
    "moco": MoCo,
    "rebias": ReBias,
    "reweighting": Reweighting,
    "simclr": SimCLR,
    "supcon": SupCon,
}

__all__ = [
    "BYOL",
    "CLAD",
    "CMC",
    "ERM",
    "GCE",
    "HEX",
    "JTT",
    "LNL",
    "METHODS",
    "DisEnt",
    "EnD",
    "GroupDRO",
    "InsDis",
    "Intrinsic",
    "LfF",
    "MoCo",
    "ReBias",
    "Reweighting",
    "SimCLR",
    "SupCon",
]
