"""Why an answer is what it is: the visible list of methods, each from images and a score to a map."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from potency.errors import PlanError, nearest
from potency.explanation.account import Account
from potency.explanation.activation import cam, cam_plus
from potency.explanation.attention import attention
from potency.explanation.gradient import integrated, saliency, smooth, times_input
from potency.explanation.masking import masks, occlusion
from potency.explanation.method import Map, Method, background
from potency.explanation.relevance import Run, Score, propagate
from potency.explanation.rules import LADDER, Composite, Rule


def handed_back(run: Run, focus: Score, images: Tensor, composite: Composite | None = None) -> Map:
    """See `propagate`; what is handed back is what the image has beyond its background."""
    found = propagate(run, focus, images, composite, background(images).expand_as(images))
    return Map(found.relevance, found.score, found.parts)


METHODS: Mapping[str, Method] = {
    "relevance": Method(
        "layer-wise relevance propagation, every unit accounted for", "Bach 2015", handed_back,
        {way: partial(handed_back, composite=composite) for way, composite in LADDER.items()}, "guarded",
    ),
    "saliency": Method("size of the gradient", "Simonyan 2014", saliency),
    "smoothgrad": Method("size of the gradient, mean over noisy copies", "Smilkov 2017", smooth),
    "gradient-input": Method("gradient times the image beyond its background", "Shrikumar 2016", times_input),
    "integrated": Method("gradients on the way from an empty image", "Sundararajan 2017", integrated),
    "grad-cam": Method("the last map, weighed by its gradients", "Selvaraju 2017", cam),
    "grad-cam++": Method("the same, weighed place by place", "Chattopadhay 2018", cam_plus),
    "attention": Method("how much each patch weighs, of networks that pool patches", "Ilse 2018", attention),
    "occlusion": Method("what is lost when a block is hidden", "Zeiler 2014", occlusion),
    "masks": Method("mean score over random masks (RISE)", "Petsiuk 2018", masks),
}  # fmt: skip


def find_method(name: str) -> Method:
    """The method of this name; an unknown one is refused and the nearest named."""
    if name not in METHODS:
        raise PlanError(f"there is no method {name!r}", "method", nearest(name, METHODS))
    return METHODS[name]


__all__ = ["METHODS", "Account", "Composite", "Map", "Method", "Rule", "background", "find_method", "propagate"]
