"""Out of focus by a known amount: real images blurred with their noise kept, and simulated fields through focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError
from potency.simulate.field import Field, Ground, take
from potency.simulate.population import overview, settle
from potency.simulate.world import World, wells_of

Floats = NDArray[np.floating[Any]]


def blurred(image: Floats, sigma: float, noise: float, rng: np.random.Generator, *, whole: bool = True) -> Floats:
    """A (H, W) image as it would be, had the optics blurred it by `sigma` pixels more; float32, same scale.

    The blur also takes the camera's noise away, by which a blurred image would be known at once; white noise is put
    back so that the standard deviation is `noise` again. `whole` rounds to counts as a camera does.

    >>> sharp = np.random.default_rng(0).normal(100, 4, (64, 64))
    >>> again = blurred(sharp, 3.0, 4.0, np.random.default_rng(1), whole=False)
    >>> 3.8 < float(again.std()) < 4.3
    True
    """
    from scipy.ndimage import gaussian_filter

    image = np.asarray(image, np.float32)
    if sigma <= 0:
        return image
    soft = gaussian_filter(image, sigma, mode="reflect", truncate=4.0)
    left = noise**2 * min(1.0, 1 / (4 * np.pi * sigma**2))  # of the noise, after a Gaussian
    soft = soft + np.float32(np.sqrt(noise**2 - left)) * rng.standard_normal(image.shape, np.float32)
    return np.asarray(np.clip(np.rint(soft), 0, None) if whole else soft, np.float32)


def sigma_of(look: str, focus: float, pixel: float) -> float:
    """The width in pixels of the Gaussian by which the optics of `simulate` blur, `focus` um out of focus.

    Only fluorescence and phase contrast are blurred by a Gaussian there. Brightfield is not: its rims turn from dark to
    bright through focus, and in focus a cell is hardly seen.

    >>> round(sigma_of("fluorescence", 4.0, 0.65), 2)
    1.02
    """
    if look == "fluorescence":
        return float(np.hypot(0.28, 0.15 * focus)) / pixel
    if look == "phase":
        return float(np.sqrt((0.25 + 0.03 * focus**2) / (2 * np.pi**2))) / pixel
    raise PlanError(f"the defocus of look {look!r} is no Gaussian blur", "look", "use fluorescence or phase")


def through_focus(world: World, focus: Sequence[float], well: int = 0) -> list[Field]:
    """The same cells of one well, pictured at each distance from focus (um, signed), with the noise of each picture."""
    wells = wells_of(world)
    rng = np.random.default_rng([world.seed, 17, well])
    share = world.cells // len(wells)
    fate = rng.choice(world.classes, share, p=wells.taste[well] / wells.taste[well].sum())
    who = settle(world, wells, well, fate, float(world.hours[1]), rng)
    ground = Ground.of(rng, world.field, world.pixel_size, float(wells.debris[well]))
    setting = overview(wells, well, rng)
    settings = [replace(setting, focus=np.array([away], np.float32)) for away in focus]
    return [take(who, ground, each, world.channels, world.pixel_size, rng) for each in settings]
