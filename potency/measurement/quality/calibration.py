"""Constants of the combined focus measure, as `python recipes/focus.py` prints them; not written by hand."""

from __future__ import annotations

NAMES = ("laplacian", "tenengrad", "brenner", "high_share", "slope", "reblur")
CENTRE = (-5.0362, -2.9128, -2.2114, -4.4161, -5.5786, -1.9215)
SPREAD = (2.1041, 1.2638, 1.4040, 2.1965, 1.9689, 1.0303)
WEIGHTS = (-0.1432, -0.0882, -0.0794, -0.2548, -0.2391, -0.1896)
KNOTS = (-1.7432, -1.1508, -0.7723, -0.3640, -0.0024, 0.4163, 0.7776, 1.0832, 1.7279)
LEVELS = (0.6522, 0.7504, 1.1729, 1.7090, 2.0829, 2.7611, 3.4450, 5.0083, 5.6895)
