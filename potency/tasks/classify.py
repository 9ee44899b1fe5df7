"""Classify: one class out of several for an image, by cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Category
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks.task import Focus, Sample, Task


class Classify(Task):
    """Which class an image shows: differentiation fate, culture quality, phenotype."""

    name = "classify"
    title = "one class out of several for each image (fate, quality, phenotype)"
    answer = Category
    estimates: ClassVar[str] = "label"
    mixable: ClassVar[tuple[str, ...]] = ("target",)
    scores: ClassVar[tuple[str, ...]] = ("odds", "logit", "probability")

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

    def focus(self, output: Mapping[str, Tensor], plan: Plan, what: Focus) -> Tensor:
        """The logit of a class, its probability, its log-odds, or how far its logit is above that of `what.against`.

        The log-odds are against the other classes weighted by their own probabilities, those taken as given.
        """
        logits, name = output["output"], what.score or self.scores[0]
        if name not in self.scores:
            return super().focus(output, plan, what)
        own = logits.argmax(1) if not what.label else torch.full_like(logits[:, 0], _index(what.label, plan)).long()
        chosen = nn.functional.one_hot(own, logits.shape[1]).bool()
        score = logits[chosen]
        if what.against:
            if what.against == what.label:
                raise PlanError(f"{what.label!r} against itself is no question", "the class to explain",
                                "name two classes")  # fmt: skip
            return score - logits[:, _index(what.against, plan)]
        if name == "probability":
            return logits.softmax(1)[chosen]
        if name == "odds":
            others = logits.detach().masked_fill(chosen, -torch.inf).softmax(1)
            return score - (others * logits).sum(1)
        return score


def _index(label: str, plan: Plan) -> int:
    if label not in plan.classes:
        raise PlanError(f"the model knows no class {label!r}", "the class to explain", nearest(label, plan.classes))
    return plan.classes.index(label)
