"""Few labels: how many are needed, what pre-training saves of them, and which images to label next."""

from __future__ import annotations

from potency.labelling.choose import HOWS, Pool, find_how

__all__ = ["HOWS", "Pool", "find_how"]
