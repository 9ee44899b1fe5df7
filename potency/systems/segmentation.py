"""Area C: segmentation, detection, counting."""

from __future__ import annotations

from potency.systems import cellvit, deepcell, outlines
from potency.systems.recipe import row

FAMILIES = "one comparison table: accuracy (AP, PQ, AJI), seconds, memory, parameters"

ROWS = (
    deepcell.RECIPE,
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
    cellvit.RECIPE,
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
