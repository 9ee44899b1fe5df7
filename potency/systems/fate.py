"""Area A: stem-cell fate and quality from label-free images."""

from __future__ import annotations

from potency.systems import (
    beta_efficiency,
    cardio_efficiency,
    culture_qc,
    early_onset,
    ipsc_ec,
    lineage_choice,
    mixed_culture,
    nsc_fate,
)
from potency.systems.recipe import row

ROWS = (
    nsc_fate.RECIPE,
    row(
        "nsc-web", "Web tool: upload an image, get its class (Parthasarathy et al. 2024)",
        "upload one image, a server answers with the class within minutes; also pluripotency; about and code pages", (),
        "upload of one or many images in a browser", "class, calibrated probabilities and explanation in seconds",
        "a differentiation-medium model and a pluripotent/differentiated model to choose from", "about/method page",
    ),
    beta_efficiency.RECIPE,
    row(
        "ipsc-colony", "iPSC colony quality (Kavitha 2017, V-CNN)",
        "colony by iterative threshold; 9 shape, 13 texture features by Fisher score as a virtual image; 5-fold",
        (
            ("accuracy", "95.5 % shape, 91.0 % texture, 93.2 % both", ""),
            ("accuracy, SVM", "86.7 / 83.3 / 83.4 %", "the abstract gives 75-77 %"),
        ),
        "colony segmentation", "the three feature-vector CNNs", "SVM on the same features",
        "image CNN and image + vector fusion, paired",
    ),
    ipsc_ec.RECIPE,
    early_onset.RECIPE,
    lineage_choice.RECIPE,
    row(
        "diff-state-map", "Differentiation-state recognition in colonies (Piotrowski 2021)",
        "U-Net semantic segmentation: hiPSC colony, single cells, differentiated cells, dead cells", (),
        "semantic map with IoU per class", "area fraction per time point",
        "roundness, size, centre and inclusions per colony",
    ),
    row(
        "multimodal-id", "Stem cell identity from expression and image (Stumpf & MacArthur 2019)",
        "image embedding fused with an expression or clinical table", (),
        "late-fusion classifier of image and table", "ablation of each modality",
    ),
    culture_qc.RECIPE,
    row(
        "vlm-reader", "Vision-language model asked for the class (LLaVA, named as next step by the NSC paper)",
        "zero- and few-shot prompt on a local model", (),
        "adapter to a local vision-language model", "zero- and few-shot in the same table as the CNNs",
        "tested with a tiny random model",
    ),
    row(
        "arch-search", "Architecture search (named by the cellular-image-analysis review)",
        "search over a declared space", (),
        "search over depth, width, kernel and attention, scored inside the training split",
        "against the fixed networks at equal compute",
    ),
    row(
        "deep-map", "DEEP-MAP (Ren 2021): morphological profiles predict fate dynamics of hPSC",
        "H2B and two-colour FUCCI time-lapse, hundreds of features a cell, germ-layer fates", (),
        "feature profile of each cell over a movie", "fate probability against time",
        "cell-cycle phase from FUCCI-like channels",
    ),
    mixed_culture.RECIPE,
    cardio_efficiency.RECIPE,
)  # fmt: skip
