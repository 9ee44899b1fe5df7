"""Optics: what a microscope and a camera make of drawn cells, in phase contrast, brightfield and fluorescence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]
WAVELENGTH = 0.55  # micrometres


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


def _frequencies(shape: tuple[int, int], pixel: float) -> Floats:
    """Squared spatial frequency (H, W // 2 + 1) in cycles per micrometre."""
    y, x = fft.fftfreq(shape[0], pixel), fft.rfftfreq(shape[1], pixel)
    return (y[:, None] ** 2 + x[None, :] ** 2).astype(np.float32)


def brightfield(phase: Floats, setting: Setting, pixel: float) -> Floats:
    """Brightfield of a phase object out of focus, background 1: rims turn from dark to bright through focus.

    Weak-object transfer sin(pi lambda z q^2), damped by partial coherence (Born & Wolf; Teague 1983 for the limit of
    small z), and a little absorption.
    """
    square = _frequencies((phase.shape[1], phase.shape[2]), pixel)
    chi = (np.pi * WAVELENGTH) * setting.focus[:, None, None] * square
    damp = np.exp(-square * (0.30 + 0.10 * np.abs(setting.focus[:, None, None])))
    transfer = (2.0 * np.sin(chi) - 0.10 * np.cos(chi)) * damp * setting.contrast[:, None, None]
    seen = fft.irfft2(fft.rfft2(phase) * transfer, s=phase.shape[1:])
    seen = np.asarray(seen, np.float32)
    # A soft knee keeps caustics of thick cells in range, as a real condenser does.
    return np.exp(0.75 * np.tanh(seen / 0.75))


def phase_contrast(phase: Floats, setting: Setting, pixel: float) -> Floats:
    """Positive phase contrast, background 1: dark cells, bright halo, shade-off inside flat cells, bright round cells.

    The phase ring also shifts the lowest spatial frequencies of the specimen; taking a blurred copy away gives both
    halo and shade-off. Thick cells go through the quarter wave and turn bright.
    """
    square = _frequencies((phase.shape[1], phase.shape[2]), pixel)
    low = 0.55 * np.exp(-square * (2 * (np.pi * 3.2) ** 2)) + 0.45 * np.exp(-square * (2 * (np.pi * 11.0) ** 2))
    sharp = np.exp(-square * (0.35 + 0.06 * setting.focus[:, None, None] ** 2))
    transfer = sharp * (1 - np.minimum(setting.halo, 1.2)[:, None, None] * low)
    local = np.asarray(fft.irfft2(fft.rfft2(phase) * transfer, s=phase.shape[1:]), np.float32)
    local *= 0.9 * setting.contrast[:, None, None]
    return np.maximum(0.04, 1 - 0.62 * np.sin(local) + 0.55 * (1 - np.cos(local)))


def fluorescence(stain: Floats, setting: Setting, pixel: float) -> Floats:
    """Widefield fluorescence of a stain density (N, H, W): blur that grows out of focus, and a haze of out-of-focus light."""
    square = _frequencies((stain.shape[1], stain.shape[2]), pixel)
    width = 0.28**2 + (0.09 * setting.focus[:, None, None]) ** 2
    transfer = 0.86 * np.exp(-square * width * (2 * np.pi**2)) + 0.14 * np.exp(-square * (2 * (np.pi * 6.0) ** 2))
    return np.maximum(0, np.asarray(fft.irfft2(fft.rfft2(stain) * transfer, s=stain.shape[1:]), np.float32))


def illumination(setting: Setting, shape: tuple[int, int]) -> Floats:
    """Uneven light (N, H, W), mean about 1: a tilt and a bowl around a centre off the axis."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[None, :, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, None, :]
    tilt_y, tilt_x, bowl, mid_y, mid_x = (setting.shade[:, i, None, None] for i in range(5))
    return 1 + tilt_y * y + tilt_x * x - bowl * ((y - mid_y) ** 2 + (x - mid_x) ** 2 - 0.67)


def expose(light: Floats, setting: Setting, rng: np.random.Generator, level: float = 24000.0) -> NDArray[np.uint16]:
    """Camera: shot and read noise, gain and an offset of 400 counts, clipped to 16 bit."""
    noise = rng.standard_normal(light.shape, np.float32)
    variance = np.maximum(light, 0) / setting.photons[:, None, None] + 9e-6
    counts = 400 + level * setting.gain[:, None, None] * (light + noise * np.sqrt(variance))
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
