"""Networks by name: a plan names one, this room builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

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
}

__all__ = ["BACKBONES", "DENSE", "NETWORKS", "Dense", "Encoder", "Network"]
