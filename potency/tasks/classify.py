"""Classify: one class out of several for an image, by cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Category
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks.task import Sample, Task


class Classify(Task):
    """Which class an image shows: differentiation fate, culture quality, phenotype."""

    name = "classify"
    title = "one class out of several for each image (fate, quality, phenotype)"
    answer = Category
    estimates: ClassVar[str] = "label"
    mixable: ClassVar[tuple[str, ...]] = ("target",)

    def outputs(self, plan: Plan) -> int:
        return len(plan.classes)

    def encode(self, truth: Answer, plan: Plan) -> Sample:
        """The probability of each class: all of it on the true one, until samples are mixed."""
        assert isinstance(truth, Category)
        if truth.label not in plan.classes:
            mend = nearest(truth.label, plan.classes)
            raise PlanError(f"the class {truth.label!r} is not in the plan", "plan.classes", mend)
        return {"target": np.eye(len(plan.classes), dtype=np.float32)[plan.classes.index(truth.label)]}

    def stratum(self, truth: Answer) -> str:
        assert isinstance(truth, Category)
        return truth.label

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        output = self.forward(nets, batch)["output"].float()
        yield "net", nn.functional.cross_entropy(output, batch["target"], label_smoothing=plan.smoothing)

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Category:
        """Softmax of "output" (K,); classical learners give the logarithm of their probabilities there."""
        logits = output["output"].astype(np.float64)
        power = np.exp(logits - logits.max())
        return Category.of_probability(plan.classes, power / power.sum())

    def focus(self, output: Mapping[str, Tensor], where: object = None) -> Tensor:
        """The logit of the class `where` (an index), or of the most probable class of each sample."""
        logits = output["output"]
        return logits.max(1).values if where is None else logits[:, int(str(where))]
