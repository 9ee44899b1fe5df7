"""Turn what files say about size (units by name, pixels per inch) into micrometres, or into None."""

from __future__ import annotations

import math
from collections.abc import Mapping

from potency.data.pixels import believable

UM = {
    "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3, "å": 1e-4, "angstrom": 1e-4, "pm": 1e-6, "picometer": 1e-6,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3, "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "m": 1e6, "meter": 1e6, "metre": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
PRINTER = 20.0  # um: coarser than 1270 dots an inch is the default of a printer or a screen, not a measurement


def in_um(value: object, unit: str | None, units: Mapping[str, float] = UM) -> float | None:
    """Give a length in um (or what else `units` has); None if it is no number or the unit is unknown ("pixel").

    >>> in_um("650", "nm"), in_um(0.65, "pixel")
    (0.65, None)
    """
    factor = units.get(str(unit or "").strip().lower())
    try:
        length = float(str(value)) * (factor or math.nan)
    except ValueError:
        return None
    return length if math.isfinite(length) and length > 0 else None


def from_resolution(x: float, y: float, um: float, *, measured: bool = False) -> dict[str, float] | None:
    """Give the pixel size of x and y pixels in `um`; print defaults (72, 96, 300 dpi) are not measurements.

    >>> from_resolution(300, 300, 25400), from_resolution(20000, 20000, 1e4)
    (None, {'Y': 0.5, 'X': 0.5})
    """
    if min(x, y) <= 0 or (not measured and um / min(x, y) > PRINTER):
        return None
    return believable({"Y": um / y, "X": um / x})
