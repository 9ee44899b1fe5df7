"""Controls: what a network's answers rest on, asked by taking it away: frequencies, arrangement, one plain number."""

from __future__ import annotations

from potency.reliance.controls import controls
from potency.reliance.result import Controls

__all__ = ["Controls", "controls"]
