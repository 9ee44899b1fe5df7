"""A rule as a member: grey values of a sample as maps, and the few numbers that were fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from potency.bundle.member import Member, Output
from potency.data.plan import Plan
from potency.errors import BundleError
from potency.estimators.rules import Numbers, find_rule
from potency.tasks import Sample, Task


class RuleMember(Member):
    """The rule that `plan.network` names for the answers of its task, and its numbers."""

    learner = "rule"

    def __init__(self, task: Task, plan: Plan, fitted: Numbers) -> None:
        self.task, self.plan, self.fitted = task, plan, fitted
        self.rule = find_rule(plan.network, task.answer.kind)

    def outputs(self, samples: Sequence[Sample]) -> list[Output]:
        return [{"output": self.rule.maps(image, self.fitted, self.plan)} for image in self.images(samples)]

    @classmethod
    def suffixes(cls, plan: Plan) -> tuple[str, ...]:
        return (".safetensors",)

    def dumps(self) -> tuple[bytes, ...]:
        from safetensors.numpy import save

        return (save({name: np.ascontiguousarray(value) for name, value in self.fitted.items()}),)

    @classmethod
    def loads(cls, files: Mapping[str, bytes], task: Task, plan: Plan, where: str) -> Self:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            fitted: dict[str, Any] = dict(load(files[".safetensors"]))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"the numbers are damaged: {error}", where, "copy the bundle again") from error
        return cls(task, plan, fitted)
