"""The trees of a fitted ensemble end to end in a few long arrays, where each alone would be five small files."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

NAME = "trees_"  # what the archive holds in place of `estimators_`


def felled(pipeline: Any) -> Any:
    """A copy of a fitted pipeline whose trees, if it ends in an ensemble of them, are laid end to end."""
    standing = vars(pipeline[-1]).get("estimators_", [])
    if not standing or not all("tree_" in vars(each) for each in standing):
        return pipeline
    states = [each.tree_.__getstate__() for each in standing]
    lying, ensemble = copy.copy(pipeline), copy.copy(pipeline[-1])
    lying.steps = [*pipeline.steps[:-1], (pipeline.steps[-1][0], ensemble)]
    ensemble.estimators_ = []
    first = copy.copy(standing[0])  # the trees differ in their nodes, and in seeds that only fitting needed
    first.random_state = None
    setattr(ensemble, NAME, {
        "first": first,
        "counts": np.array([state["node_count"] for state in states]),
        "depths": np.array([state["max_depth"] for state in states]),
        "nodes": np.concatenate([state["nodes"] for state in states]),
        "values": np.concatenate([state["values"] for state in states]),
    })  # fmt: skip
    return lying


def raised(pipeline: Any) -> Any:
    """The pipeline that `felled` laid down, its trees standing again; one that was written tree by tree as it is."""
    lying = vars(pipeline[-1]).pop(NAME, None)
    if lying is None:
        return pipeline
    kind, made, _ = lying["first"].tree_.__reduce__()
    edges = np.cumsum(lying["counts"])[:-1]
    standing = []
    parts = (lying["depths"], np.split(lying["nodes"], edges), np.split(lying["values"], edges))
    for depth, nodes, values in zip(*parts, strict=True):
        each = copy.copy(lying["first"])
        each.tree_ = kind(*made)
        state = {"max_depth": int(depth), "node_count": len(nodes), "nodes": nodes, "values": values}
        each.tree_.__setstate__(state)
        standing.append(each)
    pipeline[-1].estimators_ = standing
    return pipeline
