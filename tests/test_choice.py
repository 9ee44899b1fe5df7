"""The way of a method that suits a network is found by what its maps change, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from potency.explanation.choice import Case, fitted
from potency.explanation.method import Explain, Map, Method
from potency.explanation.relevance import Run, Score


def corner(images: Tensor) -> Mapping[str, Tensor]:
    """How bright the upper left quarter is, and nothing else."""
    return {"output": images[:, :, :16, :16].mean((2, 3))}


def first(output: Mapping[str, Tensor]) -> Tensor:
    return output["output"][:, 0]


def test_the_way_that_suits_a_network_is_chosen_by_what_its_maps_change() -> None:
    bright = torch.full((3, 1, 32, 32), 0.3)
    bright[:, :, 4:28, 4:28] += 0.4

    def told(images: Tensor) -> Tensor:
        return first(corner(images))

    def way(scale: float, factor: float = 1) -> Explain:
        def explain(run: Run, focus: Score, images: Tensor) -> Map:
            values = torch.zeros_like(images)
            values[:, :, :16, :16] = scale
            return Map(values * factor, focus(run(images)))

        return explain

    ladder = {"false": way(-1), "broken": way(1, torch.nan), "true": way(1)}
    method = Method("a method", "a paper", ladder["false"], ladder, "false")
    cases = [Case(bright[:2], first, told), Case(bright[1:], first, told), Case(bright[:1], first, told)]
    assert fitted(method, corner, cases).way == "true"
    assert fitted(method, corner, cases[:2]) is method  # four images say nothing
    assert fitted(replace(method, ladder={}), corner, cases).way == "false"


