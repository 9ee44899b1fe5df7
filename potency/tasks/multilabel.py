"""Multilabel: every class that an image shows, several at once or none, by a sigmoid each on one shared network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Labelset
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks.task import Focus, Sample, Task

LEAST = 0.5  # probability from which on a class is said to be there


class Multilabel(Task):
    """Which classes are there: the compartments of a protein, the findings in an image.

    One network with an output a class, each of which is learned by itself (binary cross-entropy).
    `settings.least` is the probability from which on a class is named.
    """

    name = "multilabel"
    title = "every class that is there, several at once or none (localisation, findings)"
    answer = Labelset
    mixable: ClassVar[tuple[str, ...]] = ("target",)
    scores: ClassVar[tuple[str, ...]] = ("logit", "probability")

    def outputs(self, plan: Plan) -> int:
        return len(plan.classes)

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        """Nothing more than there is: the classes of the plan are those of all rows, or folds would differ in them."""
        if not plan.classes:
            raise PlanError("no row names a class", "truth", "name what is there, like nucleus | membrane")
        return plan

    def encode(self, truth: Answer, plan: Plan) -> Sample:
        assert isinstance(truth, Labelset)
        for label in truth.labels:
            _index(label, plan)
        return {"target": np.array([label in truth.labels for label in plan.classes], np.float32)}

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        output = self.forward(nets, batch)["output"].float()
        soft = batch["target"] * (1 - plan.smoothing) + plan.smoothing / 2
        yield "net", nn.functional.binary_cross_entropy_with_logits(output, soft)

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Labelset:
        """Sigmoid of "output" (K,)."""
        share = 1 / (1 + np.exp(-np.clip(output["output"].astype(np.float64), -60, 60)))
        return Labelset.of_probability(plan.classes, share, plan.settings.get("least", LEAST))

    def focus(self, output: Mapping[str, Tensor], plan: Plan, what: Focus) -> Tensor:
        """The logit or the probability of a class, by itself the most probable one, or less that of `what.against`."""
        logits, name = output["output"], what.score or self.scores[0]
        if name not in self.scores:
            return super().focus(output, plan, what)
        told = logits if name == "logit" else logits.sigmoid()
        own = logits.argmax(1) if not what.label else torch.full_like(logits[:, 0], _index(what.label, plan)).long()
        score = told.gather(1, own[:, None])[:, 0]
        return score - told[:, _index(what.against, plan)] if what.against else score


def _index(label: str, plan: Plan) -> int:
    if label not in plan.classes:
        raise PlanError(f"the class {label!r} is not in the plan", "plan.classes", nearest(label, plan.classes))
    return plan.classes.index(label)
