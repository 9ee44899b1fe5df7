"""Area A: stem-cell fate and quality from label-free images."""

from __future__ import annotations

from potency.systems import (
    beta_efficiency,
    cardio_efficiency,
    culture_qc,
    diff_state_map,
    early_onset,
    ipsc_colony,
    ipsc_ec,
    lineage_choice,
    mixed_culture,
    nsc_fate,
    nsc_web,
)
from potency.systems.recipe import row

ROWS = (
    nsc_fate.RECIPE,
    nsc_web.RECIPE,
    beta_efficiency.RECIPE,
    ipsc_colony.RECIPE,
    ipsc_ec.RECIPE,
    early_onset.RECIPE,
    lineage_choice.RECIPE,
    diff_state_map.RECIPE,
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
