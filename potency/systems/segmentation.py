"""Area C: segmentation, detection, counting."""

from __future__ import annotations

from potency.systems import outlines, xresnet_count
from potency.systems.recipe import row

FAMILIES = "one comparison table: accuracy (AP, PQ, AJI), seconds, memory, parameters"

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
    row(
        "unet", "U-Net semantic segmentation", "binary labels; about 1 h on an 8 GB card",
        (("finding", "fastest; cannot split touching nuclei", ""),), FAMILIES,
    ),
    row(
        "keypoint-graph", "Key points to boxes to masks", "ResNet34, 5 points a cell grouped by a graph; 100 epochs",
        (("training time", "about 4 h", "on an 8 GB card"),), FAMILIES,
    ),
    row(
        "mask-rcnn", "Region proposals to masks", "grey 256x256",
        (("training time", "2 h 30", "on a 24 GB card; slowest, most memory"),), FAMILIES,
    ),
    *outlines.SYSTEMS.values(),
    row(
        "cellvit", "CellViT (PanNuke)", "ViT encoder (pathology or SAM), HoVer-style decoder, type head",
        (("mPQ", ".50", ""), ("detection F1", ".83", "")),
        "ViT encoder, HV maps, types", "mPQ, bPQ and F1 by the PanNuke protocol", "pre-trained weights loadable",
    ),
    xresnet_count.RECIPE,
)  # fmt: skip
