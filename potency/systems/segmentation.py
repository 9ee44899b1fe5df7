"""Area C: segmentation, detection, counting."""

from __future__ import annotations

from potency.systems import cellvit, deepcell, families, outlines, xresnet_count

ROWS = (
    deepcell.RECIPE,
    *families.SYSTEMS.values(),
    *outlines.SYSTEMS.values(),
    cellvit.RECIPE,
    xresnet_count.RECIPE,
)
