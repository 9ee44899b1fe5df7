"""Pictures of an audit: how the forest gains from more groups, and from more images of the same groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from potency.evaluation.drawing import MAIN, OTHER, Plot, ruled, sheet
from potency.evaluation.wording import known, spoken

if TYPE_CHECKING:
    from potency.confounding.forest import Curve, Point

ARMS = {"groups": ("more groups, as many images", MAIN), "images": ("more images, the same groups", OTHER)}


def learning_curve(curve: Curve) -> Plot:
    """The figure on groups that were not learned from against the groups, and against the images, learned from."""
    title = known(curve.metric)[0]
    with sheet(860, 300) as page:
        panels = page.axes(1, 2, sharey=True)
        for axes, (arm, (label, colour)) in zip(panels, ARMS.items(), strict=True):
            points = sorted((p for p in curve.points if p.arm == arm), key=lambda point: _along(point, arm))
            axes.plot([_along(p, arm) for p in points], [p.figure.value for p in points], color=colour, linewidth=1.3)
            for point in points:
                place, figure = _along(point, arm), point.figure
                if figure.low is not None and figure.high is not None:
                    axes.plot([place, place], [figure.low, figure.high], color=colour, linewidth=1.8, alpha=0.55)
                (dot,) = axes.plot([place], [figure.value], "o", color=colour, markersize=6, markeredgewidth=0)
                page.tip(dot, f"{point.groups} groups, {point.images:,} images: {spoken(figure, curve.metric)}")
            axes.set_xlim(left=0)
            ruled(axes, f"{arm} learned from", title if arm == "groups" else "", label)
        look = (
            "A curve that still rises at its right end says what to collect: new groups (clones, donors, wells) on the "
            "left, more images of those there are on the right; lines through dots are 95 % intervals over groups."
        )
        drawn = page.svg("curve", look)
        return Plot("learning-curve", "More groups or more images?", look, drawn, curve.told, wide=True)


def _along(point: Point, arm: str) -> int:
    return point.groups if arm == "groups" else point.images
