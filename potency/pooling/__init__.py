"""Many answers as one: from patches to images, wells and clones, and forward in time."""

from __future__ import annotations

from potency.pooling.pool import pool
from potency.pooling.rules import RULES

__all__ = ["RULES", "pool"]
