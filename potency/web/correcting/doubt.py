"""How much a model doubts what it outlines: whether it finds the same cells when it sees the image mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.answers import Labels
from potency.answers.matching import overlap
from potency.errors import PotencyError

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

SEEN = 1024  # px a side, in the middle of the image, that are asked about twice
SAME = 0.5  # intersection over union from which on two outlines are one cell
NOTHING = 0.5  # the doubt where no cell is found at all: an empty image, or one the model cannot read


def doubt(manifest: Manifest, row: Mapping[str, Any], bundle: Bundle) -> tuple[float | None, str]:
    """How unsure a bundle that outlines cells is of an image, 0 to 1, and why, in words; None where it cannot tell.

    The middle of the image is outlined as it is and mirrored; 1 less the F1 score between the two is the doubt, 0
    where both find the same cells. What depends on chance alone is what such disagreement finds best (test-time
    augmentation: Wang et al. 2019, Neurocomputing 338; for choosing what to label: Gao et al. 2020, ECCV).
    """
    from potency.data.tiles import Tile
    from potency.inference.view import View

    plan = bundle.card.plan
    try:
        view = View.of(manifest, row, plan)
        most = plan.tile if plan.halo is None else (SEEN, SEEN)
        high, wide = (min(side, size) for side, size in zip(most, view.shape, strict=True))
        crop = view.crop(Tile((view.shape[0] - high) // 2, (view.shape[1] - wide) // 2, high, wide))
        given = view.given(plan)
        one, two = bundle([{"image": crop, **given}, {"image": np.ascontiguousarray(crop[:, :, ::-1]), **given}])
    except PotencyError:
        return None, ""
    if not isinstance(one, Labels) or not isinstance(two, Labels):
        return None, ""
    return unlike(one.instances, two.instances[:, ::-1])


def unlike(one: Any, two: Any) -> tuple[float, str]:
    """1 less the F1 score between two label images of one size, and it in words.

    >>> unlike(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 0, 0]]))[1]
    '1 of 2 cells not found again when the image is mirrored'
    """
    found = overlap(np.asarray(one), np.ascontiguousarray(two))
    count, again, same = len(found.truths), len(found.said), int(found.pairs(SAME).sum())
    if not count + again:
        return NOTHING, "no cell found: empty, or unlike what the model knows"
    score = 1 - 2 * same / (count + again)
    if score == 0:
        return 0.0, f"all {count} cells found again when the image is mirrored"
    if count > same:
        return score, f"{count - same} of {count} cells not found again when the image is mirrored"
    return score, f"{again - same} more cells found when the image is mirrored"
