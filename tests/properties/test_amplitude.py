"""Phase of one image, amplitude of another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from longcut.negatives.amplitude import mix_amplitude

SIZES = [(8, 8), (7, 9), (1, 6), (5, 1), (1, 1)]


def pictures(height: int, width: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    draw = np.random.default_rng([seed, height, width])
    first, second = draw.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return first, second


def by_formula(content: NDArray[np.float64], style: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The full complex transform, one channel at a time."""
    out = np.empty(content.shape)
    for channel in range(content.shape[2]):
        spectrum, other = np.fft.fft2(content[..., channel]), np.fft.fft2(style[..., channel])
        amplitude = (1 - share) * abs(spectrum) + share * abs(other)
        out[..., channel] = np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum))).real
    return out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_is_its_formula(size: tuple[int, int], share: float) -> None:
    content, style = pictures(*size)
    expected = by_formula(content.astype(np.float64), style.astype(np.float64), share).clip(0, 255)
    found = mix_amplitude(content, style, share=share)
    assert found.dtype == np.uint8
    assert abs(found - expected).max() < 0.5 + 1e-3
    fine = mix_amplitude(content / 255, style / 255, share=share)
    np.testing.assert_allclose(fine, expected / 255, atol=1e-12)


def test_single_precision_stays_single() -> None:
    content, style = (image.astype(np.float32) / np.float32(255) for image in pictures(12, 10))
    found = mix_amplitude(content, style, share=0.5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mix_amplitude(content.astype(float), style.astype(float), share=0.5), atol=1e-6)


def test_none_of_the_style_is_the_content_and_its_own_amplitude_too() -> None:
    content, style = pictures(33, 20)
    assert (mix_amplitude(content, style, share=0) == content).all()
    assert (mix_amplitude(content, content) == content).all()


def test_the_amplitude_becomes_the_style_s() -> None:
    content, style = (0.4 + image / 255 * 0.1 for image in pictures(16, 16))
    found = np.fft.rfft2(mix_amplitude(content, style), axes=(0, 1))
    np.testing.assert_allclose(abs(found), abs(np.fft.rfft2(style, axes=(0, 1))), atol=1e-9)


def with_phase(phase: NDArray[np.float64], style: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The image `[h, w, c]` of a phase `[h, w]` and the style's amplitude, in 0 to 255."""
    amplitude = abs(np.fft.fft2(style.astype(np.float64), axes=(0, 1)))
    found: NDArray[np.float64] = np.fft.ifft2(amplitude * np.exp(1j * phase[..., None]), axes=(0, 1)).real
    return found.clip(0, 255)


@pytest.mark.parametrize("size", [(8, 8), (97, 101), (224, 224), (223, 227)])
@pytest.mark.parametrize("value", [0, 1, 137, 255])
def test_a_plain_content_takes_its_phase_as_zero(size: tuple[int, int], value: int) -> None:
    _, style = pictures(*size)
    content, expected = np.full_like(style, value), with_phase(np.zeros(size), style)
    assert abs(mix_amplitude(content, style) - expected).max() < 0.5 + 1e-3
    for kind, within in ((np.float32, 1e-5), (np.float64, 1e-12)):
        found = mix_amplitude((content / 255).astype(kind), (style / 255).astype(kind))
        np.testing.assert_allclose(found, expected / 255, atol=within)


@pytest.mark.parametrize("size", [(97, 101), (224, 224)])
def test_a_content_of_stripes_has_a_phase_across_them_alone(size: tuple[int, int]) -> None:
    _, style = pictures(*size)
    line = np.random.default_rng(2).integers(0, 256, size[1], np.uint8)
    content = np.broadcast_to(line[None, :, None], style.shape)
    phase = np.zeros(size)
    phase[0] = np.angle(np.fft.fft(line))
    assert abs(mix_amplitude(content, style) - with_phase(phase, style)).max() < 0.5 + 1e-2


def test_a_batch_is_its_images() -> None:
    content, style = (np.stack(images) for images in zip(*(pictures(9, 6, seed) for seed in range(3)), strict=True))
    found = mix_amplitude(content, style)
    assert all((found[n] == mix_amplitude(content[n], style[n])).all() for n in range(3))


def test_what_does_not_fit_is_refused() -> None:
    content, style = pictures(6, 6)
    with pytest.raises(ValueError, match=r"must agree in size and type"):
        mix_amplitude(content, style[:5])
    with pytest.raises(ValueError, match=r"must agree in size and type"):
        mix_amplitude(content, style / 255)
    with pytest.raises(ValueError, match=r"not \[6, 6\] uint8"):
        mix_amplitude(content[..., 0], style[..., 0])
    with pytest.raises(ValueError, match="int64"):
        mix_amplitude(content.astype(np.int64), style.astype(np.int64))
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share is from 0"):
            mix_amplitude(content, style, share=share)
