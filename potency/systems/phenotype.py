"""Area B: cell state and phenotype classification."""

from __future__ import annotations

from potency.systems import actin, cell_line, lineage_panel, live_dead, localization, uptake
from potency.systems.recipe import row

ROWS = (
    row(
        "cell-death", "CellDeathPred (Schorpp 2023)",
        "4-channel cell painting, EfficientNet-B0 + embedder + classifier, contrastive + cross-entropy, 512 px crops",
        (("finding", "DMSO, apoptosis and ferroptosis told apart near-perfectly", ""),),
        "same architecture and losses", "forest, logistic regression and AdaBoost on classical features",
        "retrieval page (10 nearest neighbours)", "plate heat map", "dose-response fit",
    ),
    live_dead.RECIPE,
    row(
        "ffocm-viability", "Viability from intracellular dynamics (D-FFOCM, HeLa)",
        "mean and magnitude of temporal fluctuation per cell; logistic regression, forest, SVM, Gaussian naive Bayes",
        (("balanced accuracy", "93.92 +- 0.86 %", ""), ("viability", "95.6 % to 16.3 % over 6 h", "")),
        "dynamic features from an image series", "four classifiers", "confusion matrices", "viability over time",
    ),
    cell_line.RECIPE,
    actin.RECIPE,
    lineage_panel.RECIPE,
    uptake.RECIPE,
    row(
        "cecile", "CeCILE: living, dividing, round, dead in phase-contrast video (CHO-K1, HeLa)",
        "Faster R-CNN with ResNet-101 + classification",
        (("F1", ".93", ""), ("mAP", ".91", "below 100 cells a frame")),
        "detector with 4 states", "mAP against cell density", "proliferation and state curves over time",
        "dense frames", "single-cell lineages",
    ),
    row(
        "mitosis", "Spatio-temporal mitosis detection (Su 2017)", "CNN-LSTM over candidate patches in phase", (),
        "candidate to sequence classifier", "F1 with the usual tolerance in space and time",
    ),
    localization.RECIPE,
)  # fmt: skip
