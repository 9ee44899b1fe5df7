"""Confounding: whether something beside the cells tells the label, and whether a network has learned it."""

from __future__ import annotations

from potency.confounding.audit import audit
from potency.confounding.result import Audit
from potency.confounding.rules import RULES

__all__ = ["RULES", "Audit", "audit"]
