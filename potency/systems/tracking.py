"""Area F: tracking and outcome."""

from __future__ import annotations

from potency.systems.recipe import row

ROWS = (
    row(
        "track", "Cell tracking: nearest neighbour, Kalman, linear programming, learned linking",
        "uTrack/TrackMate type linkers and learned linking", (),
        "all four behind one interface", "Cell Tracking Challenge SEG, DET, TRA, LNK with the public evaluator",
    ),
    row(
        "deepact", "Keratinocyte stem-cell tracking", "detector + state-space tracker",
        (("finding", "motility of colonies predicts stemness", ""),),
        "motility statistics per track", "the same per colony",
    ),
    row(
        "embryoid", "High-content embryoid analysis", "detect and classify structures", (),
        "detection, class and morphology table",
    ),
    row(
        "nano-radiomics", "Radiomics of contrast CT for therapy response",
        "radiomic features, selection, treated v. untreated", (),
        "IBSI feature set in 2D and 3D", "selection inside cross-validation", "AUC with interval",
    ),
)  # fmt: skip
