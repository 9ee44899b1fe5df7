"""Quantify: one number for an image (efficiency, DNA content, confluence), by a Huber loss on the scaled target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Number
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.errors import PlanError
from potency.tasks.task import Focus, Sample, Task


class Quantify(Task):
    """How much of something an image shows; the target's mean and spread come from the training rows."""

    name = "quantify"
    title = "one number for each image (efficiency, content, dose)"
    answer = Number
    estimates: ClassVar[str] = "value"
    mixable: ClassVar[tuple[str, ...]] = ("target",)
    scores: ClassVar[tuple[str, ...]] = ("value",)

    def outputs(self, plan: Plan) -> int:
        return 1

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        values = np.array([truth.value for truth in truths if isinstance(truth, Number)])
        spread = float(values.std()) if len(values) > 1 else 0.0
        return plan.but(settings={**plan.settings, "mean": float(values.mean()), "spread": spread or 1.0})

    def encode(self, truth: Answer, plan: Plan) -> Sample:
        assert isinstance(truth, Number)
        return {"target": np.array((truth.value - plan.settings["mean"]) / plan.settings["spread"], np.float32)}

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        output = self.forward(nets, batch)["output"].float()
        yield "net", nn.functional.smooth_l1_loss(output[:, 0], batch["target"])

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Number:
        """ "output" (1,) in spreads from the mean, back to the unit of the truth."""
        return Number(float(output["output"][0]) * plan.settings["spread"] + plan.settings["mean"])

    def focus(self, output: Mapping[str, Tensor], plan: Plan, what: Focus) -> Tensor:
        """The predicted number of each sample, in spreads from the mean."""
        if what.label or what.against:
            raise PlanError(f"{self.name} knows no classes", "the class to explain", "leave the class out")
        return output["output"][:, 0] if what.score in ("", *self.scores) else super().focus(output, plan, what)
