"""Attention as a map: of networks that pool patches, each patch painted with its weight."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from potency.data.plan import Plan
from potency.errors import PlanError
from potency.explanation import METHODS
from potency.networks.bag import Bag
from potency.tasks import TASKS


def first(outputs: Mapping[str, Tensor]) -> Tensor:
    return outputs["output"][:, 0]


def test_attention_paints_the_weight_of_each_patch_and_is_refused_where_nothing_is_pooled() -> None:
    plan = Plan(channels=("a",), classes=("x", "y"), network="bag:patch=16:pool=gated", tile=40)
    nets = TASKS["classify"].build(plan).eval()
    images = torch.rand(2, 1, 40, 40)
    bag, given = next(module for module in nets.modules() if isinstance(module, Bag)), list[Tensor]()
    bag.register_forward_pre_hook(lambda _, images: given.append(images[0]))  # standardised by the network
    found = METHODS["attention"](lambda i: TASKS["classify"].forward(nets, {"image": i}), first, images)
    with torch.no_grad():
        weights = bag.pooled(given[0])[1]
    assert len(given) == 1 and weights.std() > 0
    assert weights.shape == (2, 3, 3) and found.values.shape == (2, 1, 40, 40)
    corners = found.values[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]  # where one patch lies alone
    torch.testing.assert_close(corners, 9 * weights[:, [0, 0, 2, 2], [0, 2, 0, 2]], rtol=1e-4, atol=1e-5)
    overlap = found.values[:, 0, 0, 13]  # patches start at 0, 12 and 24
    torch.testing.assert_close(overlap, 4.5 * weights[:, 0, :2].sum(1), rtol=1e-4, atol=1e-5)
    with pytest.raises(PlanError, match="pools no patches"):
        METHODS["attention"](lambda i: {"output": i.mean((2, 3))}, first, images)
