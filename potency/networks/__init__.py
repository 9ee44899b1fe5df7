"""Networks by name: a plan names one, this room builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from potency.networks.anchored import ANCHORED, Anchored
from potency.networks.backbones import BACKBONES
from potency.networks.dense import DENSE, Dense
from potency.networks.encoder import Encoder
from potency.networks.network import Network

if TYPE_CHECKING:
    from potency.data.plan import Plan

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
    "detector": lambda plan, heads: _anchored(plan) or NETWORKS["dense"](plan, heads),
}


def _anchored(plan: Plan) -> Anchored | None:
    """A detector of torchvision, where the plan names one; its boxes are laid out by the size of the objects."""
    if plan.network.partition(":")[0] not in ANCHORED:
        return None
    said = plan.settings
    side = (said.get("height", 0.0) * said.get("width", 0.0)) ** 0.5
    smallest = said.get("smallest") or min(32.0, max(8.0, side / 3)) if side else 32.0
    most = int(min(2000, max(100, 2 * said.get("most", 0))))
    return Anchored(plan.network, len(plan.channels), max(1, len(plan.classes)), smallest, most, plan.normalise)



__all__ = ["ANCHORED", "BACKBONES", "DENSE", "NETWORKS", "Anchored", "Dense", "Encoder", "Network"]
