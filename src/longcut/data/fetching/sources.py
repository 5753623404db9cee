"""Where the public data sets are: addresses, published checksums, terms and layouts."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from longcut.data.fetching.idx import write_digits
from longcut.data.fetching.stl10 import write_stl10


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        url: direct address, without a key or a form.
        checksum: `md5:...` or `sha256:...` as published; None where none is.
        size: bytes, as published; None where unknown.
    """

    url: str
    checksum: str | None = None
    size: int | None = None

    @property
    def filename(self) -> str:
        """Name that the file is kept by."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Source:
    """A public data set.

    Attributes:
        archives: its files; a single top folder inside them becomes the destination itself.
        licence: what its authors allow.
        layout: what lies in the destination afterwards.
        convert: makes the destination from the folder of downloaded files, where they are no archives.
    """

    archives: tuple[Archive, ...]
    licence: str
    layout: str
    convert: Callable[[Path, Path], None] | None = None


_ZENODO = "https://zenodo.org/record/2235448/files/"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"

SOURCES = {
    "background_challenge": Source(
        (
            Archive(
                "https://github.com/MadryLab/backgrounds_challenge/releases/download/data/backgrounds_challenge_data.tar.gz"
            ),
        ),
        "ImageNet's terms: non-commercial research",
        "<variant>/val/<class>/*.JPEG, eight variants of 4,050 images, and fg_mask/val/<class>/*.npy",
    ),
    "waterbirds": Source(
        (Archive("https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz"),),
        "non-commercial research (birds of CUB-200-2011 on Places)",
        "metadata.csv and <species>/*.jpg",
    ),
    "bar": Source(
        (Archive("https://github.com/alinlab/BAR/archive/master.tar.gz"),),
        "research; the licence of each image is in metadata.json",
        "train/<action>_<n>.jpg (1,941), test/<action>_<n>.jpg (654) and metadata.json",
    ),
    "cub": Source(
        (
            Archive(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                "md5:97eceeb196236b17998738112f37df78",
                1150585339,
            ),
            Archive(
                "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz",
                "md5:4d47ba1228eae64f2fa547c47bc65255",
                39272883,
            ),
        ),
        "non-commercial research",
        "CUB_200_2011/images/<species>/*.jpg, CUB_200_2011/bounding_boxes.txt and segmentations/<species>/*.png",
    ),
    "imagenet_c": Source(
        (
            Archive(_ZENODO + "noise.tar", "md5:e80562d7f6c3f8834afb1ecf27252745", 22565673785),
            Archive(_ZENODO + "blur.tar", "md5:2d8e81fdd8e07fef67b9334fa635e45c", 7112704951),
            Archive(_ZENODO + "weather.tar", "md5:33ffea4db4d93fe4a428c40a6ce0c25d", 12797438995),
            Archive(_ZENODO + "digital.tar", "md5:89157860d7b10d5797849337ca2e5c03", 7757510705),
            Archive(_ZENODO + "extra.tar", "md5:d492dfba5fc162d8ec2c3cd8ee672984", 15789490144),
        ),
        "CC BY 4.0 for the record; the images under ImageNet's terms: non-commercial research",
        "<corruption>/<severity>/<wordnet id>/*.JPEG, 19 corruptions of 5 severities",
    ),
    "imagenet_r": Source(
        (
            Archive(
                "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
                "md5:a61312130a589d0ca1a8fca1f2bd3337",
            ),
        ),
        "research; the images belong to their makers",
        "<wordnet id>/*.jpg, 30,000 images of 200 classes",
    ),
    "imagenet_sketch": Source(
        (Archive("https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip"),),
        "research; the images belong to their makers",
        "<wordnet id>/*.JPEG, 50,889 images of 1,000 classes",
    ),
    "stl10": Source(
        (
            Archive(
                "https://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                "md5:91f7769df0f17e558f3565bffb0c7dfb",
            ),
        ),
        "research; the images are ImageNet's",
        "train/<class>/*.png (5,000), test/<class>/*.png (8,000), unlabeled/*.png (100,000), 96 px",
        convert=write_stl10,
    ),
    "mnist": Source(
        (
            Archive(_MNIST + "train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            Archive(_MNIST + "train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
            Archive(_MNIST + "t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
            Archive(_MNIST + "t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        "CC BY-SA 3.0",
        "train/<digit>/*.png (60,000) and test/<digit>/*.png (10,000), 28 px",
        write_digits,
    ),
}
"""Public sets by the names that `longcut data fetch` takes."""


def find_source(name: str) -> Source:
    """Look a data set up.

    Raises:
        ValueError: the name is unknown; the nearest are named.
    """
    if name not in SOURCES:
        nearest = difflib.get_close_matches(name, SOURCES, n=2, cutoff=0.5) or sorted(SOURCES)
        raise ValueError(f"no data set is called {name!r}; take {', '.join(nearest)}")
    return SOURCES[name]
