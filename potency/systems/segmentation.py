"""Area C: segmentation, detection, counting."""

from __future__ import annotations

from potency.systems import families, outlines, xresnet_count
from potency.systems.recipe import row

ROWS = (
    row(
        "deepcell", "Conv-net segmentation of nuclei, cytoplasm, bacteria (Van Valen 2016)",
        "pixel classes interior/boundary/background; type at the same time; growth by linear-assignment lineages",
        (
            ("Jaccard", ".95 bacteria, .89 nuclei, .77/.84 cytoplasm", ""),
            ("type accuracy", "86 % / 100 %", "3T3 / MCF10A"),
        ),
        "instance segmentation of nuclei, cytoplasm and bacteria", "type head",
        "growth curves, growth-rate histogram and spatial map from a movie",
    ),
    *families.SYSTEMS.values(),
    *outlines.SYSTEMS.values(),
    row(
        "cellvit", "CellViT (PanNuke)", "ViT encoder (pathology or SAM), HoVer-style decoder, type head",
        (("mPQ", ".50", ""), ("detection F1", ".83", "")),
        "ViT encoder, HV maps, types", "mPQ, bPQ and F1 by the PanNuke protocol", "pre-trained weights loadable",
    ),
    xresnet_count.RECIPE,
)  # fmt: skip
