"""How early can it be told: score against time, with the earliest time that beats a trivial answer."""

from __future__ import annotations

from potency.timing.early import early
from potency.timing.models import MODELS, timed
from potency.timing.result import Early

__all__ = ["MODELS", "Early", "early", "timed"]
