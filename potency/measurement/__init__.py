"""Measurement: named numbers of crops, in families, for classical learners and for people."""

from __future__ import annotations

from potency.measurement.measure import FAMILIES, Family, features, measure

__all__ = ["FAMILIES", "Family", "features", "measure"]
