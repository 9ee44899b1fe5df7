"""Rows as points: what networks make of images, how the points lie, which are alike, which stand for a class."""

from __future__ import annotations

from potency.embedding.embed import embed
from potency.embedding.exemplars import Exemplars, exemplars
from potency.embedding.layout import LAYOUTS, Layout, layouts
from potency.embedding.nearest import Nearest, nearest_rows, purity
from potency.embedding.similar import similar

__all__ = [
    "LAYOUTS", "Exemplars", "Layout", "Nearest", "embed", "exemplars", "layouts", "nearest_rows", "purity", "similar",
]  # fmt: skip
