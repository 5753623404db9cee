"""Code that loads an exported classifier and predicts, for a model card: it runs as it stands, in the card's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from longcut.recipes.exporting.about import About

_PICTURE = """
known = json.loads(Path("preprocessing.json").read_text("utf-8"))
size = known["image_size"]
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
pixels = np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR), np.float32) / 255
"""
_NORMALISED = """images = torch.from_numpy(pixels).permute(2, 0, 1)[None]
images = (images - torch.tensor(known["mean"]).view(3, 1, 1)) / torch.tensor(known["std"]).view(3, 1, 1)
"""
_SHARES = """
with torch.inference_mode():
    shares = network(images).softmax(1)[0]
for place in shares.argsort(descending=True)[:5].tolist():
    print(known["classes"][place], f"{shares[place]:.1%}")
"""
_IMPORTS = """import json
from pathlib import Path

import numpy as np
import torch
"""


def snippet(about: About) -> str:
    """Python that loads what was exported from the current folder, and predicts the class of `picture.jpg`."""
    return {"safetensors": _safetensors, "timm": _timm, "torchvision": _torchvision, "onnx": _onnx}[about.target](about)


def _safetensors(about: About) -> str:
    ours = "from longcut.backbones import create_backbone\n"
    return (
        f"{_IMPORTS}from PIL import Image, ImageOps\nfrom safetensors.torch import load_file\n\n{ours}{_PICTURE}"
        f"{_NORMALISED}\n"
        f"network = torch.nn.Sequential()\n"
        f'network.add_module("backbone", create_backbone({_arguments(about.backbone)}))\n'
        f'network.add_module("head", torch.nn.Linear({about.num_features}, {len(about.classes)}))\n'
        f'network.load_state_dict(load_file("{about.file}"))\n'
        f"network.eval()\n{_SHARES}"
    )


def _torchvision(about: About) -> str:
    name = about.backbone["name"].partition(".")[0]
    return (
        f"{_IMPORTS}import torchvision\nfrom PIL import Image, ImageOps\nfrom safetensors.torch import load_file\n"
        f"{_PICTURE}{_NORMALISED}\n"
        f"network = torchvision.models.{name}(num_classes={len(about.classes)})\n"
        f'network.load_state_dict(load_file("{about.file}"))\n'
        f"network.eval()\n{_SHARES}"
    )


def _timm(about: About) -> str:
    return (
        "import timm\nimport torch\nfrom PIL import Image, ImageOps\n\n"
        'network = timm.create_model("local-dir:.", pretrained=True).eval()\n'
        "known = network.pretrained_cfg\n"
        "prepare = timm.data.create_transform(**timm.data.resolve_data_config(known))\n"
        'picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")\n'
        "images = prepare(picture)[None]\n" + _SHARES.replace('known["classes"]', 'known["label_names"]')
    )


def _onnx(about: About) -> str:
    normalise = "" if about.inputs.normalised_by == "graph" else 'pixels = (pixels - known["mean"]) / known["std"]\n'
    return (
        "import json\nfrom pathlib import Path\n\nimport numpy as np\nimport onnxruntime\n"
        f"from PIL import Image, ImageOps\n{_PICTURE}{normalise}"
        "images = pixels.transpose(2, 0, 1)[None].astype(np.float32)\n\n"
        f'network = onnxruntime.InferenceSession("{about.file}")\n'
        '(logits,) = network.run(["logits"], {"images": images})\n'
        "shares = np.exp(logits[0] - logits[0].max())\n"
        "shares /= shares.sum()\n"
        "for place in np.argsort(-shares)[:5]:\n"
        '    print(known["classes"][place], f"{shares[place]:.1%}")\n'
    )


def _arguments(values: Mapping[str, Any]) -> str:
    written = {name: json.dumps(value) if isinstance(value, str) else repr(value) for name, value in values.items()}
    return ", ".join(f"{name}={text}" for name, text in written.items())
