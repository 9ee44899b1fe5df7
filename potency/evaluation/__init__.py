"""Numbers a sceptic believes: columns are compared with the truth, intervals come from a bootstrap over groups."""

from __future__ import annotations

from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Contest, Interval, Report

__all__ = ["Contest", "Interval", "Report", "evaluate"]
