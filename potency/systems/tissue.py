"""Area D: tissue biomarkers."""

from __future__ import annotations

from potency.systems import her2
from potency.systems.recipe import row

ROWS = (
    row(
        "tma-if", "Ki-67/ERG on immunofluorescence tissue microarrays",
        "Otsu, mean-shift clustering, level sets to boundaries, refined by a fully convolutional net; 648 samples",
        (("counts", "within 5 % of manual", ""), ("ERG-positive", "100 %", "")),
        "nuclear positivity and mean intensity per core", "tumour v. normal",
    ),
    row(
        "mihc", "Multiplex immunohistochemistry (Fassler 2020)",
        "ColorAE, U-Net on superpixel labels grown from seed dots, ensembles; CD3 CD4 CD8 CD20 CD16 K17",
        (("finding", "ensembles best", ""),),
        "seed dots to superpixels to labels", "ColorAE, U-Net, ensemble",
        "nearest-neighbour distance and counts within 10 um bands of the tumour edge",
    ),
    row(
        "pdl1", "PD-L1 in lymphoma slides",
        "region, detect and segment, select, sort, score membrane-positive tumour cells",
        (("ICC with pathologists", ".96-.98", "about .94 [.87, .97] on surgical specimens"),),
        "tumour proportion score per slide", "ICC with reader scores",
    ),
    row(
        "icos", "ICOS in colorectal cancer", "U-Net, EfficientNet-B7 encoder, BCE, Adam, batch 8; density; survival",
        (("finding", "best of the studied settings; pixel level beats object level", ""),),
        "grid over encoder, loss, batch and data size", "density map", "Kaplan-Meier and Cox on density",
    ),
    her2.RECIPE,
)  # fmt: skip
