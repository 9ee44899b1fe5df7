"""Segment: a class for every pixel, by cross-entropy and Dice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Regions
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks.dense import VOID, Dense, dice
from potency.tasks.task import Sample

MOST = 32  # classes without a name; maps with more numbers are labels of objects


class Segment(Dense):
    """Which class each pixel shows: colony, hole, border; tumour, stroma; cell, background.

    Classes are those that the truth names, or the numbers in its maps, called by themselves.
    """

    name = "segment"
    title = "a class for every pixel (colony, hole, background)"
    answer = Regions

    def outputs(self, plan: Plan) -> int:
        return max(1, len(plan.classes))  # they are not known before the truths are seen

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        if not plan.classes:
            plan = plan.but(classes=_classes(truths))
        return super().prepare(plan, truths)

    def around(self, plan: Plan, truths: Sequence[Answer]) -> float:
        return 0.0

    def drawn(self, truth: Answer, plan: Plan) -> NDArray[Any]:
        assert isinstance(truth, Regions)
        numbers = [int(value) for value in np.unique(truth.codes) if truth.ignore is None or value != truth.ignore]
        found = np.full((1, *truth.codes.shape), VOID, np.int16)
        for number in numbers:
            label = truth.classes[number] if number < len(truth.classes) else str(number)
            if label not in plan.classes:
                raise PlanError(f"the class {label!r} is not in the plan", "plan.classes",
                                nearest(label, plan.classes))  # fmt: skip
            found[0][truth.codes == number] = plan.classes.index(label)
        return found

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        return {"target": drawn[0].astype(np.int64)}

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        output, target = self.forward(nets, batch)["output"].float(), batch["target"]
        entropy = nn.functional.cross_entropy(output, target, ignore_index=VOID)
        yield "net", entropy + dice(output.softmax(1), target)

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Regions:
        """The class with the highest of "output" (K, H, W) at every pixel."""
        found = output["output"].argmax(0)
        if all(name.isdecimal() for name in plan.classes):  # called by their numbers
            return Regions(np.array([int(name) for name in plan.classes])[found])
        return Regions(found, plan.classes)


def _classes(truths: Sequence[Answer]) -> tuple[str, ...]:
    named: tuple[str, ...] = ()
    codes: set[int] = set()
    for truth in truths:
        assert isinstance(truth, Regions)
        named = named or truth.classes
        codes |= {int(code) for code in np.unique(truth.codes)} - {truth.ignore}
        if len(codes) > MOST:
            raise PlanError(f"the maps of the truth hold more than {MOST} numbers", "truth",
                            "labels of objects? train with --task instances; else name the classes in truth.classes"
                            )  # fmt: skip
    return named or tuple(str(code) for code in sorted(codes))
