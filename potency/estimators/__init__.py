"""Classical learners by name, what they see, and how they are kept without pickle."""

from __future__ import annotations

from potency.errors import PlanError, nearest
from potency.estimators.estimator import Estimator, Fitted
from potency.estimators.pipelines import ESTIMATORS


def find_estimator(name: str) -> Estimator:
    """The estimator of this name; an unknown one is refused and the nearest named."""
    if name not in ESTIMATORS:
        raise PlanError(f"there is no estimator {name!r}", "plan.network", nearest(name, ESTIMATORS))
    return ESTIMATORS[name]


__all__ = ["ESTIMATORS", "Estimator", "Fitted", "find_estimator"]
