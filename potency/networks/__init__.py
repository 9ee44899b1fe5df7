"""Networks by name: a plan names one, this room builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from potency.networks.anchored import ANCHORED, MASKED, Anchored, AnchoredMasks
from potency.networks.backbones import BACKBONES, Backbone
from potency.networks.dense import DENSE, Dense
from potency.networks.encoder import Encoder
from potency.networks.keypoint import GRAPHS, KeypointGraph
from potency.networks.network import Network

if TYPE_CHECKING:
    from potency.data.plan import Plan

# Networks that outline objects by boxes with a mask inside each, in place of maps that a decoder reads.
OUTLINED: Mapping[str, Backbone] = {**MASKED, **GRAPHS}

# Kind of network a task asks for -> how it is built from the plan and the numbers that it gives, head by head.
NETWORKS: Mapping[str, Callable[[Plan, Sequence[int]], Network]] = {
    "encoder": lambda plan, heads: Encoder(
        plan.network, len(plan.channels), sum(heads), plan.tile, plan.dropout, plan.normalise
    ),
    # Its head is thrown away: what two views must share is asked behind a hidden layer, so that the embedding may keep
    # more (Chen 2020, section 4.2).
    "projector": lambda plan, heads: Encoder(
        plan.network, len(plan.channels), sum(heads), plan.tile, plan.dropout, plan.normalise, hidden=sum(heads)
    ),
    "dense": lambda plan, heads: Dense(plan.network, len(plan.channels), heads, plan.tile, plan.normalise),
    "detector": lambda plan, heads: (
        _anchored(plan, Anchored) if _short(plan) in ANCHORED else NETWORKS["dense"](plan, heads)
    ),
    "outliner": lambda plan, heads: (
        _anchored(plan, AnchoredMasks) if _short(plan) in MASKED
        else KeypointGraph(plan.network, len(plan.channels), _classes(plan), plan.tile, plan.normalise)
        if _short(plan) in GRAPHS else NETWORKS["dense"](plan, heads)
    ),
}  # fmt: skip


def _anchored(plan: Plan, kind: type[Anchored]) -> Anchored:
    """A network of torchvision; its boxes are laid out by the size of the objects."""
    said = plan.settings
    side = (said.get("height", 0.0) * said.get("width", 0.0)) ** 0.5
    smallest = said.get("smallest") or min(32.0, max(8.0, side / 3)) if side else 32.0
    most = int(min(2000, max(100, 2 * said.get("most", 0))))
    return kind(plan.network, len(plan.channels), _classes(plan), smallest, most, plan.normalise)


def _short(plan: Plan) -> str:
    """The name of the plan's network without its options."""
    return plan.network.partition(":")[0]


def _classes(plan: Plan) -> int:
    return max(1, len(plan.classes))


__all__ = ["ANCHORED", "BACKBONES", "DENSE", "NETWORKS", "OUTLINED", "Anchored", "AnchoredMasks", "Dense", "Encoder",
           "KeypointGraph", "Network"]  # fmt: skip
