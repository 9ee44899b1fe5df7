"""Optics: what a microscope and a camera make of drawn cells, in phase contrast, brightfield and fluorescence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.floating[Any]]
WAVELENGTH = 0.55  # micrometres
_FOCUS_STEP = 0.25  # micrometres
_CONDENSER = 0.13  # half angle of the light, in radians: what is out of focus is blurred by it


@dataclass(frozen=True)
class Setting:
    """How each of N pictures was taken; every array is (N,) unless said otherwise."""

    focus: Floats  # micrometres away from best focus, signed
    gain: Floats  # brightness of the background relative to mid-scale
    contrast: Floats  # 1 = nominal
    halo: Floats  # 0..1.5, strength of the phase halo
    shade: Floats  # (N, 5) illumination: tilt y, tilt x, bowl, and its centre y, x (relative units)
    photons: Floats  # at background, per pixel: sets the shot noise
    stain: Floats  # (N, channels) brightness of each stain

    def __len__(self) -> int:
        return len(self.focus)


def _filter(layer: Floats, setting: Setting, look: str, pixel: float, strength: Floats | None = None) -> Floats:
    """Apply the transfer function of `look` to each layer (N, H, W) at its own focus, in Fourier space."""
    steps = np.rint(setting.focus / _FOCUS_STEP).astype(int)
    shape = (layer.shape[1], layer.shape[2])
    transfer = np.stack([_transfer(look, shape, pixel, int(step)) for step in steps])
    if strength is not None:
        transfer = transfer - strength[:, None, None].astype(np.float32) * _transfer("halo", shape, pixel, 0) * transfer
    seen = fft.irfft2(fft.rfft2(layer.astype(np.float32, copy=False)) * transfer, s=shape, overwrite_x=True)
    return np.asarray(seen, np.float32)


@lru_cache(maxsize=512)
def _transfer(look: str, shape: tuple[int, int], pixel: float, step: int) -> NDArray[np.float32]:
    """Transfer function (H, W // 2 + 1) of a look, `step` focus steps out of focus; kept, as few steps are in use."""
    y, x = fft.fftfreq(shape[0], pixel), fft.rfftfreq(shape[1], pixel)
    square, focus = y[:, None] ** 2 + x[None, :] ** 2, step * _FOCUS_STEP
    if look == "brightfield":
        chi = np.pi * WAVELENGTH * focus * square
        made = (2.0 * np.sin(chi) - 0.02 * np.cos(chi)) * np.exp(-square * (0.25 + (np.pi * _CONDENSER * focus) ** 2))
    elif look == "phase":
        made = np.exp(-square * (0.25 + 0.03 * focus**2))
    elif look == "halo":
        made = 0.58 * _gauss(square, 2.4) + 0.42 * _gauss(square, 9.0)
    else:
        made = 0.86 * _gauss(square, np.hypot(0.28, 0.15 * focus)) + 0.14 * _gauss(square, 6.0)
    return np.asarray(made, np.float32)


def _gauss(square: Floats, sigma: float) -> Floats:
    """Fourier transform of a Gaussian of `sigma` micrometres at squared frequencies."""
    return np.asarray(np.exp(-2 * (np.pi * sigma) ** 2 * square))


def brightfield(path: Floats, setting: Setting, pixel: float) -> Floats:
    """Brightfield of a phase object (N, H, W) out of focus, background 1: rims turn from dark to bright through focus.

    Weak-object transfer sin(pi lambda z q^2), damped by partial coherence (its limit at small z is the transport of
    intensity, Teague 1983), and a little absorption.
    """
    seen = _filter(path, setting, "brightfield", pixel) * setting.contrast[:, None, None].astype(np.float32)
    # A soft knee keeps the caustics of thick cells in range.
    return np.asarray(1 + seen / (1 + np.abs(seen)))


def phase_contrast(path: Floats, setting: Setting, pixel: float) -> Floats:
    """Positive phase contrast (N, H, W), background 1: dark cells, bright halo, shade-off in flat ones.

    The phase ring also shifts the lowest spatial frequencies of the specimen (Zernike): taking a blurred copy away
    gives halo and shade-off. Thick cells go beyond a quarter wave and turn bright.
    """
    local = _filter(path, setting, "phase", pixel, setting.halo) * (0.9 * setting.contrast[:, None, None]).astype("f4")
    return np.asarray(np.maximum(0.04, 1 - 0.62 * np.sin(local) + 0.55 * (1 - np.cos(local))))


def fluorescence(stain: Floats, setting: Setting, pixel: float) -> Floats:
    """Widefield fluorescence of a stain (N, H, W): blur that grows out of focus, and a haze of light from elsewhere."""
    return np.maximum(0, _filter(stain, setting, "fluorescence", pixel))


def illumination(setting: Setting, shape: tuple[int, int]) -> Floats:
    """Uneven light (N, H, W), mean about 1: a tilt and a bowl around a centre off the axis."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[None, :, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, None, :]
    tilt_y, tilt_x, bowl, mid_y, mid_x = (setting.shade[:, i, None, None] for i in range(5))
    return np.asarray(1 + tilt_y * y + tilt_x * x - bowl * ((y - mid_y) ** 2 + (x - mid_x) ** 2 - 0.67))


def expose(light: Floats, setting: Setting, rng: np.random.Generator, level: float = 24000.0) -> NDArray[np.uint16]:
    """Camera: shot and read noise, gain and an offset of 400 counts, clipped to 16 bit."""
    noise = rng.standard_normal(light.shape, np.float32)
    variance = np.maximum(light, 0) / setting.photons[:, None, None] + 9e-6
    counts = 400 + level * setting.gain[:, None, None] * (light + noise * np.sqrt(variance))
    return np.asarray(np.clip(np.rint(counts), 0, 65535), np.uint16)
