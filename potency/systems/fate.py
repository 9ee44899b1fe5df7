"""Area A: stem-cell fate and quality from label-free images."""

from __future__ import annotations

from potency.systems import culture_qc, ipsc_ec, mixed_culture, nsc_fate
from potency.systems.recipe import row

ROWS = (
    nsc_fate.RECIPE,
    row(
        "nsc-web", "Web tool: upload an image, get its class (Parthasarathy et al. 2024)",
        "upload one image, a server answers with the class within minutes; also pluripotency; about and code pages", (),
        "upload of one or many images in a browser", "class, calibrated probabilities and explanation in seconds",
        "a differentiation-medium model and a pluripotent/differentiated model to choose from", "about/method page",
    ),
    row(
        "beta-efficiency", "Early prediction of iPSC to beta-cell efficiency (bioRxiv 2025.05.22.652867)",
        "phase contrast, EfficientNetV2-S on patches, outcome per well; relevance maps; Fourier; patch variance",
        (
            ("clone accuracy", "76.7 % at 24 h, 96.7 % at 53 h", "original paper"),
            ("finding", "the negative class shows more hole-like regions", ""),
            ("finding", "patch normalisation raises patch accuracy after washing", ""),
        ),
        "patches to a prediction per well", "accuracy per time point", "relevance maps with conservation check",
        "frequency-band occlusion curve", "patch-variance baseline beside the network",
        "with and without patch normalisation", "splits by clone or line only",
    ),
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
    row(
        "early-onset", "Onset of pluripotent differentiation (Waisman 2019)",
        "transmitted light minutes to hours after induction, ResNet/DenseNet, three tasks",
        (("accuracy", "> 99 %", "from about 20 min; networks not confirmed"),),
        "accuracy as a function of time since induction", "group-aware split by experiment",
    ),
    row(
        "lineage-choice", "Haematopoietic lineage choice (Buggenthin 2017)",
        "brightfield single-cell time-lapse patches + displacement, CNN and recurrent net over a track",
        (("finding", "lineage predicted up to 3 generations early", ""),),
        "track-level classifier: CNN features per frame and recurrent or attention pooling",
        "AUC against time before marker onset",
    ),
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
    row(
        "cardio-efficiency", "hPSC to cardiomyocyte efficiency from phase contrast",
        "the beta-efficiency recipe with another outcome", (),
        "the beta-efficiency recipe on this outcome", "regression of efficiency, not only positive or negative",
    ),
)  # fmt: skip
