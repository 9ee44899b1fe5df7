"""Area C: segmentation, detection, counting."""

from __future__ import annotations

from potency.systems import families, outlines
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
    row(
        "xresnet-count", "Cell counting by regression (Lavitt 2021)",
        "xResNet, transfer learning; U2OS, HL-60; baselines feature extractors + regressors",
        (
            ("error", "12 +- 15 cells, milliseconds an image", "transfer"),
            ("error", "32 +- 33 scratch, 41 +- 37 forest on HOG", "original paper"),
        ),
        "count regression, density map and detection-based counts in one table", "MAE, MAPE, ms an image",
    ),
)  # fmt: skip
