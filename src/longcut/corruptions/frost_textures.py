"""Frost on glass, made rather than photographed.

Each texture is drawn from crystals (facets, ferns), ripples and clouds; then its colour, contrast and octave bands are
set to figures measured on the photographs that ImageNet-C lays over its images. The textures are periodic, so a crop
may begin anywhere and be of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Plane = NDArray[np.float64]

SIDE = 512
_MARGIN = 128
_OCTAVES = (1, 2, 4, 8, 16, 32, 64, 112)
"""Edges of the bands, in periods per 224 pixels."""


@dataclass(frozen=True)
class _Frost:
    colour: tuple[int, int, int]
    """Mean of red, green and blue, 0 to 255."""
    bands: tuple[float, ...]
    """Standard deviation of the grey levels within each octave band."""
    tint: tuple[int, int, int] = (0, 0, 0)
    """By how much each channel follows slow clouds of its own, in levels."""
    facets: float = 0.0
    """Share of flat splinters, and below of ripples and ferns."""
    ripples: float = 0.0
    ferns: float = 0.0


_KINDS = (
    _Frost((78, 149, 166), (7.8, 5.4, 3.7, 3.0, 3.9, 6.1, 5.6), tint=(-13, 4, 9), ripples=1.0),
    _Frost((201, 205, 214), (6.9, 5.2, 5.9, 7.9, 8.2, 8.9, 6.9), tint=(2, 0, -2), facets=1.0),
    _Frost((201, 205, 214), (6.2, 4.6, 5.6, 7.9, 8.0, 8.5, 6.5), tint=(2, 0, -2), facets=1.0, ferns=0.5),
    _Frost((138, 153, 165), (6.0, 4.1, 6.4, 9.1, 11.5, 14.5, 12.0), tint=(-2, 0, 2), facets=0.6, ripples=0.8),
    _Frost((112, 123, 135), (8.8, 10.8, 14.4, 14.1, 14.7, 15.0, 13.9), tint=(-2, 0, 2), ferns=1.0),
)


@lru_cache(maxsize=1)
def frost_textures() -> Tensor:
    """Five textures, uint8 `[5, 3, 512, 512]`, periodic and always the same; on the CPU."""
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.stack([_texture(kind, generator) for kind in _KINDS]))


def _texture(kind: _Frost, generator: np.random.Generator) -> NDArray[np.uint8]:
    clouds = _clouds(generator)
    grey = 0.3 * clouds
    if kind.facets:
        grey += kind.facets * _standard(_facets(generator))
    if kind.ripples:
        grey += kind.ripples * _standard(_ripples(generator))
    if kind.ferns:
        grey += kind.ferns * _standard(_ferns(generator))
    grey = _set_bands(grey, kind.bands)
    channels = [level + grey + tint * clouds for level, tint in zip(kind.colour, kind.tint, strict=True)]
    return np.clip(np.stack(channels), 0, 255).round().astype(np.uint8)


def _standard(plane: Plane) -> Plane:
    return (plane - plane.mean()) / plane.std()


def _frequencies() -> Plane:
    """Distance of each Fourier coefficient from zero, in periods per 224 pixels."""
    axis = np.fft.fftfreq(SIDE) * 224
    return np.hypot(axis[:, None], axis)


def _clouds(generator: np.random.Generator) -> Plane:
    """Noise whose amplitude falls with the square of the frequency, from one period per 224 pixels on."""
    noise = np.fft.fft2(generator.standard_normal((SIDE, SIDE)))
    return _standard(np.fft.ifft2(noise / np.maximum(_frequencies(), 1) ** 2).real)


def _ripples(generator: np.random.Generator) -> Plane:
    """Creases of a crumpled sheet, lit from one side: the slope of ridges in a field that clouds have bent."""
    frequencies = _frequencies()
    noise = np.fft.fft2(generator.standard_normal((SIDE, SIDE)))
    field = np.fft.ifft2(noise * np.exp(-(((frequencies - 12) / 8) ** 2)) / np.maximum(frequencies, 1)).real
    grid = np.mgrid[:SIDE, :SIDE] + 12 * np.stack([_clouds(generator), _clouds(generator)])
    bent = _at(_standard(field), grid)
    ridges = -np.sqrt(np.abs(bent))
    return ridges - np.roll(ridges, (1, 1), (0, 1))


def _at(plane: Plane, places: NDArray[np.float64]) -> Plane:
    wrapped = (places % SIDE).astype(np.float32)
    padded = np.pad(plane, ((0, 1), (0, 1)), mode="wrap").astype(np.float32)
    return np.asarray(cv2.remap(padded, wrapped[1], wrapped[0], cv2.INTER_LINEAR), np.float64)


def _facets(generator: np.random.Generator) -> Plane:
    """Splinters laid over one another, the large ones first, in sheaves of nearly one direction."""
    canvas = np.zeros((SIDE + 2 * _MARGIN,) * 2, np.float32)
    directions = np.pi * _clouds(generator)
    for length in np.geomspace(110, 14, 1600):
        y, x = generator.integers(0, SIDE, 2)
        angle = directions[y, x] + 0.35 * generator.standard_normal()
        along = 0.5 * length * _direction(angle)
        across = np.array([-along[1], along[0]]) * generator.uniform(0.06, 0.3)
        corners = np.array([x, y]) + _MARGIN + np.stack([-along, 0.3 * along + across, along, 0.3 * along - across])
        shade = float(generator.standard_normal())
        cv2.fillConvexPoly(canvas, corners.round().astype(np.int32), shade, cv2.LINE_8)
        cv2.polylines(canvas, [corners.round().astype(np.int32)[1:3]], False, shade + 1.5)
    return _wrapped(canvas)


def _ferns(generator: np.random.Generator) -> Plane:
    """Feathers: a stem with branches at 60 degrees that shorten to its tip, and twigs on them."""
    canvas = np.zeros((SIDE + 2 * _MARGIN,) * 2, np.float32)
    for length in np.geomspace(100, 18, 450):
        root = _MARGIN + generator.integers(0, SIDE, 2).astype(np.float64)
        light = float(generator.uniform(0.3, 1.0))
        angle = generator.uniform(0, 2 * np.pi)
        side = length / 3
        stem = _direction(angle)
        _line(canvas, root, root + length * stem, light)
        for share in np.arange(0.08, 1, 4.5 / length):
            for turn in (-1, 1):
                reach = side * (1 - share) * generator.uniform(0.6, 1.1)
                start, branch = root + share * length * stem, _direction(angle + turn * np.pi / 3)
                _line(canvas, start, start + reach * branch, light * generator.uniform(0.6, 1.0))
                for place in np.arange(0.3, 1, 4 / max(reach, 4)):
                    twig = start + place * reach * branch
                    _line(canvas, twig, twig + 0.25 * reach * (1 - place) * stem, light * 0.8)
    return _wrapped(canvas)


def _direction(angle: float) -> Plane:
    return np.array([np.cos(angle), np.sin(angle)])


def _line(canvas: NDArray[np.float32], start: Plane, end: Plane, light: float) -> None:
    ends = [tuple(int(value) for value in point.round()) for point in (start, end)]
    cv2.line(canvas, ends[0], ends[1], light)


def _wrapped(canvas: NDArray[np.float32]) -> Plane:
    """What was drawn over the border goes on at the opposite side, where nothing lies there."""
    folded = canvas.astype(np.float64)
    for axis in (0, 1):
        folded = np.moveaxis(folded, axis, 0)
        middle = folded[_MARGIN:-_MARGIN].copy()
        for inside, outside in ((middle[-_MARGIN:], folded[:_MARGIN]), (middle[:_MARGIN], folded[-_MARGIN:])):
            inside[...] = np.where(np.abs(outside) > np.abs(inside), outside, inside)
        folded = np.moveaxis(middle, 0, axis)
    return folded


def _set_bands(plane: Plane, deviations: tuple[float, ...]) -> Plane:
    """Give each octave band its standard deviation; what is slower or finer goes with the nearest band."""
    spectrum, frequencies = np.fft.fft2(plane - plane.mean()), _frequencies()
    gains = []
    for low, high, deviation in zip(_OCTAVES[:-1], _OCTAVES[1:], deviations, strict=True):
        inside = (frequencies >= low) & (frequencies < high)
        gains.append(deviation / (np.sqrt((np.abs(spectrum[inside]) ** 2).sum()) / plane.size))
    centres = np.sqrt(np.array(_OCTAVES[:-1]) * np.array(_OCTAVES[1:]))
    gain = np.exp(np.interp(np.log(np.maximum(frequencies, 0.5)), np.log(centres), np.log(gains)))
    return np.fft.ifft2(spectrum * gain).real
